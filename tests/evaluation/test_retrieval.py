"""Cases of retrieval against a loop over queries, texts and studies."""

import numpy as np
import pytest
from evaluated_cohort import CohortFiles
from sklearn.metrics import ndcg_score

from stages.evaluation import retrieval
from stages.evaluation.embeddings import Embeddings, normalise
from stages.evaluation.relevance import Relevance
from stages.evaluation.retrieval import RetrievalEvaluation, RetrievalParams

PARAMS = RetrievalParams(splits=["test"], relevant_gain=0.5)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return CohortFiles(tmp_path_factory.mktemp("cohort")).write({"clip": 1.0}, num_seeds=1)


@pytest.fixture(scope="module")
def embeddings(files):
    return Embeddings.load(files.path("embeddings/clip.safetensors"), files.path("embeddings/clip.parquet"))


@pytest.fixture(scope="module")
def relevance(files):
    return Relevance.load(files.path("relevance"))


@pytest.fixture(scope="module")
def cases(embeddings, relevance):
    return evaluate(embeddings, relevance)


def evaluate(embeddings, relevance):
    languages = dict.fromkeys(embeddings.text_rows, "en")
    # Texts of one parity say the same.
    collapsed = {text_id: text_id % 2 for text_id in embeddings.text_rows}
    return RetrievalEvaluation("clip", embeddings, relevance, languages, collapsed, PARAMS).run().to_pandas()


def values_of(cases, direction, metric):
    return cases[(cases["direction"] == direction) & (cases["metric"] == metric)]


def slow_image_to_text(embeddings, relevance):
    images = embeddings.images
    rows = [row for row, split in enumerate(images.splits) if split == "test"]
    texts = list(dict.fromkeys(images.text_ids[row] for row in rows))
    vectors = {kind: normalise(embeddings.arrays[f"0/{kind}"].astype(np.float32)) for kind in ("image", "text")}
    for row in rows:
        study = images.study_ids[row]
        scores, gains, hits = [], [], []
        for text in texts:
            others = [images.study_ids[other] for other in rows if images.text_ids[other] == text]
            gains.append(np.mean([relevance.gain([study], [other])[0, 0] for other in others]))
            hits.append(any(relevance.statement_set([other]) == relevance.statement_set([study]) for other in others))
            scores.append(vectors["image"][row] @ vectors["text"][embeddings.text_rows[text]])
        order = np.argsort(-np.array(scores))
        yield (
            study,
            {
                "ndcg@10": ndcg_score([gains], [np.round(scores, 6)], k=10),
                "recall@5": float(any(np.array(hits)[order[:5]])),
                "rank": float(np.argmax(np.array(hits)[order]) + 1),
                "precision@10": float(np.mean(np.array(gains)[order[:10]] >= 0.5)),
                **{
                    f"{kind}_recall@{k}": float(any(is_hit(texts[item], images.text_ids[row]) for item in order[:k]))
                    for kind, is_hit in (("exact", int.__eq__), ("coarse", lambda a, b: a % 2 == b % 2))
                    for k in range(1, 11)
                },
            },
        )


def test_image_to_text_is_that_of_a_loop(embeddings, relevance, cases):
    # Without Chinese twins of a text, whose embeddings are equal, no ties are left to chance.
    for study, expected in slow_image_to_text(embeddings, relevance):
        here = cases[(cases["study_id"] == study) & (cases["direction"] == "image_to_text")]
        found = dict(zip(here["metric"], here["value"], strict=True))
        assert found["ndcg@10"] == pytest.approx(expected["ndcg@10"], abs=1e-6)
        assert found["rank"] == pytest.approx(expected["rank"], abs=1.0)
        counted = [name for name in expected if "recall@" in name]
        assert len(counted) == 21
        for name in counted:
            if found[name] in (0, 1):
                assert found[name] == expected[name], name
    assert set(values_of(cases, "image_to_text", "exact_recall@3")["value"]) == {0.0, 1.0}


def test_a_text_is_asked_once(embeddings, cases):
    images = embeddings.images
    texts = {text for text, split in zip(images.text_ids, images.splits, strict=True) if split == "test"}
    assert len(values_of(cases, "text_to_image", "ndcg@10")) == len(texts)


def test_perfect_embeddings_give_a_perfect_ranking(files, relevance):
    files.write_embeddings("perfect", 0.0, 1)
    perfect = Embeddings.load(files.path("embeddings/perfect.safetensors"), files.path("embeddings/perfect.parquet"))
    cases = evaluate(perfect, relevance)
    for direction in ("image_to_text", "text_to_image"):
        assert values_of(cases, direction, "recall@5")["value"].min() == 1.0


def test_the_patients_own_images_are_not_in_the_gallery(embeddings, relevance):
    evaluation = RetrievalEvaluation("clip", embeddings, relevance, {}, {}, PARAMS)
    images = retrieval.judged_images(embeddings, relevance, "test")
    items = retrieval.select_items(embeddings, images, "image")
    judgement = evaluation._judge(items, items, is_same_kind=True)
    patients = [embeddings.images.patient_ids[row] for row in items.rows]
    for query, patient in enumerate(patients):
        assert judgement.is_excluded[query].tolist() == [other == patient for other in patients]
    assert judgement.is_excluded.sum() > len(patients)


def test_blocks_change_nothing(embeddings, relevance, cases, monkeypatch):
    monkeypatch.setattr(retrieval, "QUERY_BLOCK", 7)
    blocked = evaluate(embeddings, relevance)
    keys = ["direction", "metric", "study_id"]
    left, right = (frame.sort_values(keys)["value"].to_numpy() for frame in (cases, blocked))
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_chance_is_the_mean_of_random_rankings(files, embeddings, relevance):
    uninformed = Embeddings.uninformed(files.path("embeddings/clip.parquet"))
    expected = evaluate(uninformed, relevance)
    rng = np.random.default_rng(0)
    arrays = {}
    for seed in range(150):
        arrays[f"{seed}/image"] = rng.normal(size=(len(embeddings.images), 40))
        arrays[f"{seed}/text"] = rng.normal(size=(len(embeddings.text_rows), 40))
    random = Embeddings(embeddings.images, embeddings.text_rows, {}, list(range(150)), arrays, [])
    drawn = evaluate(random, relevance)
    for metric in ("ndcg@10", "recall@10", "precision@5", "exact_recall@5", "coarse_recall@3"):
        mean = values_of(drawn, "image_to_text", metric)["value"].mean()
        assert mean == pytest.approx(values_of(expected, "image_to_text", metric)["value"].mean(), abs=0.01)


def test_recall_of_more_texts_is_no_smaller(cases):
    for direction in ("image_to_text", "text_to_image"):
        for kind in ("exact", "coarse"):
            by_k = [values_of(cases, direction, f"{kind}_recall@{k}")["value"].to_numpy() for k in range(1, 11)]
            assert all((longer >= shorter).all() for shorter, longer in zip(by_k, by_k[1:], strict=False))
        for k in range(1, 11):
            exact, coarse = (values_of(cases, direction, f"{kind}_recall@{k}") for kind in ("exact", "coarse"))
            assert (coarse["value"].to_numpy() >= exact["value"].to_numpy() - 1e-6).all()
    assert not len(values_of(cases, "image_to_image", "coarse_recall@5"))


def test_an_unjudged_study_is_left_out(embeddings, relevance):
    class Partial:
        def __getattr__(self, name):
            return getattr(relevance, name)

        def knows(self, study_ids):
            return np.array([number > 0 for number, _ in enumerate(study_ids)])

    all_cases, fewer = (
        values_of(evaluate(embeddings, judge), "image_to_text", "ndcg@10") for judge in (relevance, Partial())
    )
    assert len(fewer) == len(all_cases) - 1
