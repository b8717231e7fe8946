"""Scores and labels of classification, against loops; metadata features by hand."""

import numpy as np
import pytest
from evaluated_cohort import FINDINGS, CohortFiles

from stages.artifacts import tables, truth_tables
from stages.evaluation import classification
from stages.evaluation.classification import ClassificationParams, Cohort
from stages.evaluation.embeddings import Embeddings, Images, normalise
from stages.evaluation.labels import Labels
from stages.evaluation.metadata import read_features

PARAMS = ClassificationParams(
    splits=["test"], min_positives=3, label_fractions=[0.1, 1.0], num_draws=2, draw_seed=0, probed="image"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CohortFiles(tmp_path_factory.mktemp("cohort")).write({"clip": 1.0}, num_seeds=2)


@pytest.fixture(scope="module")
def embeddings(files):
    return Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))


@pytest.fixture(scope="module")
def cohort(files, embeddings):
    return Cohort.build(embeddings.images, Labels.load(files.path("truth/labels.parquet")))


@pytest.fixture(scope="module")
def scorings(embeddings, cohort):
    prompts = {n: (FINDINGS[n % 5], "positive" if n < 5 else "negative") for n in range(10)}
    return list(classification.score_objective(embeddings, cohort, prompts, PARAMS))


def test_zero_shot_is_the_difference_of_two_cosines(embeddings, scorings):
    zero_shot = next(scoring for scoring in scorings if scoring.protocol == "zero_shot")
    images, prompts = (normalise(embeddings.arrays[f"0/{kind}"].astype(np.float32)) for kind in ("image", "prompt"))
    for column, finding in enumerate(zero_shot.classes):
        n = FINDINGS.index(finding)
        expected = images @ prompts[n] - images @ prompts[n + 5]
        np.testing.assert_allclose(zero_shot.scores[:, column], expected, atol=1e-5)


def test_prompts_of_one_meaning_are_averaged(embeddings, cohort):
    prompts = {n: ("mass", "positive" if n in {0, 3} else "negative") for n in range(10)}
    scoring = next(classification.score_objective(embeddings, cohort, prompts, PARAMS))
    images, vectors = (normalise(embeddings.arrays[f"0/{kind}"].astype(np.float32)) for kind in ("image", "prompt"))
    groups = [vectors[[0, 3]].mean(axis=0), vectors[[1, 2, 4, 5, 6, 7, 8, 9]].mean(axis=0)]
    expected = images @ (groups[0] / np.linalg.norm(groups[0]) - groups[1] / np.linalg.norm(groups[1]))
    assert scoring.classes == ["mass"]
    np.testing.assert_allclose(scoring.scores[:, 0], expected, atol=1e-5)


def test_every_seed_fraction_and_draw_is_there(scorings):
    probed = [(s.seed, s.label_fraction, s.draw) for s in scorings if s.protocol == "linear_probe"]
    assert probed == [(seed, *rest) for seed in (0, 1) for rest in ((0.1, 0), (0.1, 1), (1.0, 0))]


def test_cases_are_the_known_labels_of_the_evaluated_and_validation_splits(cohort, scorings):
    cases = classification.to_cases(scorings, cohort, PARAMS, name="clip")
    assert set(cases["split"].to_pylist()) == {"validation", "test"}
    assert len(cases) == len(scorings) * (24 + 40) * len(FINDINGS)


def test_a_probe_of_features_that_are_not_there_is_an_error(embeddings, cohort):
    params = PARAMS.model_copy(update={"probed": "feature"})
    with pytest.raises(ValueError, match="no 'feature' embeddings of seed 0"):
        list(classification.score_objective(embeddings, cohort, {n: ("mass", "positive") for n in range(10)}, params))


def test_an_unknown_label_is_no_case_and_trains_nothing(files, embeddings):
    table = tables.read(files.path("truth/labels.parquet"), truth_tables.LABELS).to_pylist()
    hidden = {study_id for study_id in embeddings.images.study_ids[::3]}
    rows = [row | {"label": None if row["study_id"] in hidden else row["label"]} for row in table]
    path = files.path("partly/labels.parquet")
    tables.write(path, tables.from_rows(truth_tables.LABELS, rows), truth_tables.LABELS)
    cohort = Cohort.build(embeddings.images, Labels.load(path))
    cases = classification.to_cases(
        classification.score_probes(np.eye(len(cohort.study_ids)), cohort, PARAMS, seed=0), cohort, PARAMS, name="x"
    )
    assert not hidden & set(cases["study_id"].to_pylist())


def test_truth_comes_before_what_reports_say(tmp_path):
    rows = [
        {"study_id": "a", "finding": "mass", "label": 1, "source": "truth"},
        {"study_id": "a", "finding": "cyst", "label": 1, "source": "mined"},
    ]
    tables.write(tmp_path / "labels.parquet", tables.from_rows(truth_tables.LABELS, rows), truth_tables.LABELS)
    labels = Labels.load(tmp_path / "labels.parquet")
    assert labels.classes == ["mass"]
    assert labels.of(["a", "b"]).tolist()[0] == [1.0]
    assert np.isnan(labels.of(["b"])).all()


def test_sequences_of_a_study_are_pooled(files):
    images = Images(["s1", "s2", "s1"], ["p1", "p2", "p1"], ["test"] * 3, [None] * 3)
    cohort = Cohort.build(images, Labels.load(files.path("truth/labels.parquet")))
    assert cohort.study_ids == ["s1", "s2"]
    pooled = cohort.pool(np.array([[1.0, 0.0], [5.0, 5.0], [0.0, 1.0]]))
    assert pooled.tolist() == [[0.5, 0.5], [5.0, 5.0]]


def test_metadata_names_sequences_vendor_spacing_age_and_field_strength(files):
    features = read_features(files.path("converted/series.parquet"), files.study_ids[:4])
    # Sequences FLAIR, T1, T2; vendors ge, siemens; then value and missing flag of four numbers.
    assert features[0].tolist() == [1, 1, 0, 0, 1, 5, 0, 1, 0, pytest.approx(42.0), 1, 1.5, 0]
    assert features[1].tolist() == [0, 1, 1, 1, 0, 5, 0, 1, 0, 41, 0, 1.5, 0]


def test_a_tensor_of_another_index_is_an_error(files):
    other = CohortFiles(files.folder / "other", num_test=10).write({"clip": 1.0})
    with pytest.raises(ValueError, match="come from different runs"):
        Embeddings.load(files.path("embeddings/clip.safetensors"), other.path("embeddings/clip.parquet"))
