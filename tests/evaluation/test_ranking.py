import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from stages.evaluation import ranking


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("decimals", [6, 0])
def test_ndcg_is_that_of_scikit_learn_with_and_without_ties(rng, decimals):
    scores, gains = rng.normal(size=(30, 25)).round(decimals), rng.random((30, 25))
    ours = ranking.ndcg(scores, gains, 10)
    assert ours.mean() == pytest.approx(ndcg_score(gains, scores, k=10))


def test_ndcg_without_any_gain_is_not_defined():
    assert np.isnan(ranking.ndcg(np.ones((1, 3)), np.zeros((1, 3)), 10)).all()


def test_an_excluded_item_is_as_if_it_were_not_there(rng):
    scores, gains = rng.normal(size=(8, 12)), rng.random((8, 12))
    hits = rng.random((8, 12)) < 0.3
    masked = scores.copy()
    masked[:, 3] = ranking.EXCLUDED
    fewer = [np.delete(values, 3, axis=1) for values in (scores, gains, hits)]
    np.testing.assert_allclose(ranking.ndcg(masked, gains, 10), ranking.ndcg(fewer[0], fewer[1], 10))
    np.testing.assert_allclose(ranking.precision(masked, hits, 20), ranking.precision(fewer[0], fewer[2], 20))
    ours, theirs = ranking.FirstHit(masked, hits), ranking.FirstHit(fewer[0], fewer[2])
    np.testing.assert_allclose(ours.recall(5), theirs.recall(5))
    np.testing.assert_allclose(ours.rank(), theirs.rank())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6), st.integers(1, 6))
def test_every_metric_is_its_mean_over_all_orders_of_ties(items, k):
    scores = np.array([[score for score, _ in items]], dtype=float)
    relevant = np.array([[is_hit for _, is_hit in items]])
    seen = {"recall": [], "rank": [], "precision": [], "ndcg": []}
    for order in itertools.permutations(range(len(items))):
        if [items[i][0] for i in order] != sorted((score for score, _ in items), reverse=True):
            continue
        ranked = [items[i][1] for i in order]
        seen["precision"].append(sum(ranked[:k]) / min(k, len(ranked)))
        if any(ranked):
            seen["recall"].append(any(ranked[:k]))
            seen["rank"].append(ranked.index(True) + 1)
            ideal = sum(1 / np.log2(i + 2) for i in range(min(k, sum(ranked))))
            seen["ndcg"].append(sum(hit / np.log2(i + 2) for i, hit in enumerate(ranked[:k])) / ideal)
    first = ranking.FirstHit(scores, relevant)
    ours = {
        "recall": first.recall(k),
        "rank": first.rank(),
        "precision": ranking.precision(scores, relevant, k),
        "ndcg": ranking.ndcg(scores, relevant.astype(float), k),
    }
    for name, values in seen.items():
        assert ours[name][0] == pytest.approx(np.mean(values) if values else np.nan, nan_ok=True), name


def test_all_scores_equal_is_chance_in_closed_form():
    hits = np.zeros((1, 20), dtype=bool)
    hits[0, :3] = True
    first = ranking.FirstHit(np.zeros((1, 20)), hits)
    assert first.rank()[0] == pytest.approx(21 / 4)
    assert first.recall(1)[0] == pytest.approx(3 / 20)
    assert first.recall(5)[0] == pytest.approx(1 - (17 * 16 * 15 * 14 * 13) / (20 * 19 * 18 * 17 * 16))
    assert ranking.precision(np.zeros((1, 20)), hits, 10)[0] == pytest.approx(3 / 20)


@pytest.mark.parametrize("decimals", [6, 0])
def test_the_mean_over_the_first_places_is_the_precision(rng, decimals):
    scores, relevant = rng.normal(size=(9, 12)).round(decimals), rng.random((9, 12)) < 0.3
    scores[:, 3] = ranking.EXCLUDED
    for k in (1, 5, 40):
        items, values = ranking.best_ranked(scores, relevant, k)
        assert values.shape == items.shape == (9, min(k, 11))
        np.testing.assert_allclose(values.mean(axis=1), ranking.precision(scores, relevant, k))
        assert not (items == 3).any()


def test_first_places_by_hand():
    items, values = ranking.best_ranked(np.array([[0.1, 0.9, 0.5, 0.5]]), np.array([[True, False, True, False]]), 3)
    assert items.tolist() == [[1, 2, 3]]
    assert values.tolist() == [[0.0, 0.5, 0.5]]
