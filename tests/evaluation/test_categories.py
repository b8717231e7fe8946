"""Category queries against a loop, by hand, and at chance."""

import numpy as np
import pytest
from evaluated_cohort import FINDINGS, CohortFiles

from stages.evaluation.categories import IMAGE_TO_IMAGE, TEXT_TO_IMAGE, CategoryEvaluation, Gallery
from stages.evaluation.embeddings import Embeddings, Images, normalise
from stages.evaluation.labels import Labels
from stages.evaluation.retrieval import RetrievalParams
from stages.evaluation.retrieval_inputs import RetrievalInputs

PARAMS = RetrievalParams(splits=["test"], relevant_gain=0.5, categories=[*FINDINGS, "unheard_of"], category_queries=4)


class EveryStudy:
    """Knows every study; those of an odd patient are abnormal."""

    def knows(self, study_ids):
        return np.ones(len(study_ids), dtype=bool)

    def is_abnormal(self, study_ids):
        return np.array([int(study_id[1:]) % 2 == 1 for study_id in study_ids])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CohortFiles(tmp_path_factory.mktemp("cohort"), num_queries=2).write({"clip": 1.0}, num_seeds=2)


@pytest.fixture(scope="module")
def inputs(files):
    folders = {name: files.path(name) for name in ("relevance", "texts", "reports")}
    return RetrievalInputs.load(labels=files.path("truth/labels.parquet"), **folders)


@pytest.fixture(scope="module")
def embeddings(files):
    return Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))


def evaluate(embeddings, inputs, params=PARAMS):
    cases = CategoryEvaluation("clip", embeddings, inputs.labels, inputs.relevance, inputs.queries, params).run()
    return cases.to_pandas()


def pick(cases, direction, finding, k, seed=0):
    of_query = (cases["direction"] == direction) & (cases["class"] == finding) & (cases["seed"] == seed)
    return cases[of_query & (cases["metric"] == f"precision@{k}")]


def test_image_queries_are_those_of_a_loop(files, inputs, embeddings):
    cases = evaluate(embeddings, inputs)
    images = embeddings.images
    tests = [row for row, split in enumerate(images.splits) if split == "test"]
    vectors = normalise(embeddings.arrays["1/image"].astype(np.float32))
    for column, finding in enumerate(FINDINGS):
        found = pick(cases, IMAGE_TO_IMAGE, finding, 5, seed=1)
        positives = [row for row in tests if files.labels[row, column]]
        assert len(found) == min(4, len(positives))
        for study, value in zip(found["study_id"], found["value"], strict=True):
            query = images.study_ids.index(study)
            assert files.labels[query, column]
            others = [row for row in tests if images.patient_ids[row] != images.patient_ids[query]]
            best = sorted(others, key=lambda row: -float(vectors[row] @ vectors[query]))[:5]
            assert value == pytest.approx(np.mean([files.labels[row, column] for row in best]))


def test_sentence_queries_are_those_of_a_loop(files, inputs, embeddings):
    cases = evaluate(embeddings, inputs)
    images = embeddings.images
    tests = [row for row, split in enumerate(images.splits) if split == "test"]
    vectors = normalise(embeddings.arrays["0/image"].astype(np.float32))
    prompts = normalise(embeddings.arrays["0/prompt"].astype(np.float32))
    assert len(inputs.queries) == 2 * len(FINDINGS)
    for column, finding in enumerate(FINDINGS):
        asked = [prompt for prompt, of in inputs.queries.items() if of == finding]
        found = pick(cases, TEXT_TO_IMAGE, finding, 5)
        retrieved = []
        for prompt in asked:
            scores = np.round([prompts[prompt] @ vectors[row] for row in tests], 6)
            retrieved += [tests[place] for place in np.argsort(-scores, kind="stable")[:5]]
        assert found["study_id"].tolist() == [images.study_ids[row] for row in retrieved]
        assert found["value"].tolist() == [files.labels[row, column] for row in retrieved]


def test_precision_by_hand():
    # Five images on a line; the sentence points along it. Image 4 is not known, 0 and 1 are of one patient.
    vectors = {
        "image": np.array([[1.0, 0.0], [0.9, 0.1], [0.7, 0.3], [0.5, 0.5], [1.0, 0.0]]),
        "prompt": np.array([[1.0, 0.0]]),
    }
    ids = [f"s{n}" for n in range(5)]
    images = Images(ids, ["p0", "p0", "p2", "p3", "p4"], ["test"] * 5, [0] * 5)
    embeddings = Embeddings(images, {0: 0}, {7: 0}, [0], {f"0/{kind}": rows for kind, rows in vectors.items()}, [])
    labels = Labels(["mass"], {f"s{n}": np.array([value]) for n, value in enumerate([1.0, 0.0, 1.0, 0.0, np.nan])})
    params = RetrievalParams(splits=["test"], relevant_gain=0.5, categories=["mass"])
    evaluation = CategoryEvaluation("clip", embeddings, labels, EveryStudy(), {7: "mass"}, params)
    cases = evaluation.run().to_pandas()
    by_image = pick(cases, IMAGE_TO_IMAGE, "mass", 5).set_index("study_id")["value"]
    # From 0 only 2 (a mass) and 3 are left; from 2 images 0 (a mass), 1 and 3.
    assert by_image.to_dict() == pytest.approx({"s0": 1 / 2, "s2": 1 / 3})
    by_sentence = pick(cases, TEXT_TO_IMAGE, "mass", 5)
    assert by_sentence["study_id"].tolist() == ["s0", "s1", "s2", "s3"]
    assert by_sentence["value"].tolist() == [1, 0, 1, 0]
    assert by_sentence["patient_id"].tolist() == ["p0", "p0", "p2", "p3"]
    assert by_sentence["is_abnormal"].tolist() == [False, True, False, True]


def test_chance_is_the_prevalence(files, inputs):
    uninformed = Embeddings.uninformed(files.path("embeddings/clip.parquet"))
    cases = evaluate(uninformed, inputs)
    tests = np.array(files.splits) == "test"
    for column, finding in enumerate(FINDINGS):
        for k in (5, 10, 50):
            values = pick(cases, TEXT_TO_IMAGE, finding, k)["value"]
            np.testing.assert_allclose(values, files.labels[tests, column].mean(), rtol=1e-6)
            # From a query the image itself, which shows the finding, is left out.
            by_image = pick(cases, IMAGE_TO_IMAGE, finding, k)["value"]
            assert (by_image < files.labels[tests, column].mean()).all()


def test_queries_are_spread_over_all_images_of_a_finding():
    gallery = Gallery(np.arange(100, 110), np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 1], dtype=bool))
    assert gallery.draw_queries(3).tolist() == [0, 5, 9]
    assert gallery.draw_queries(20).tolist() == [0, 2, 3, 5, 6, 8, 9]
    assert gallery.draw_queries(1).tolist() == [0]


def test_an_objective_without_prompts_is_asked_by_images_only(inputs, embeddings):
    images = {name: values for name, values in embeddings.arrays.items() if name.endswith("/image")}
    silent = Embeddings(embeddings.images, {}, {}, embeddings.seeds, images, [])
    assert set(evaluate(silent, inputs)["direction"]) == {IMAGE_TO_IMAGE}
    assert not len(evaluate(silent, inputs, PARAMS.model_copy(update={"categories": ["unheard_of"]})))
