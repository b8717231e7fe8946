"""Resampling against slow loops; its coverage is tested in ``test_coverage.py``."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from stages.evaluation import bootstrap
from stages.evaluation.bootstrap import Resampling


@pytest.fixture(scope="module")
def resampling():
    return Resampling.draw([f"p{n}" for n in range(20)], 60, 0)


@pytest.fixture(scope="module")
def studies():
    rng = np.random.default_rng(1)
    patients = np.arange(40) // 2
    is_positive = rng.random(40) < 0.4
    return patients, is_positive, (rng.normal(size=(3, 40)) + is_positive).round(1)


def repeated(weights, values):
    return np.repeat(values, weights.astype(int))


def test_weights_are_counts_of_patients_drawn_with_replacement(resampling):
    assert (resampling.weights.sum(axis=1) == 20).all()
    assert (resampling.weights == 0).any()
    assert (resampling.weights > 1).any()


def test_draws_do_not_depend_on_ids(resampling):
    renamed = Resampling.draw([f"q{99 - n}" for n in range(20)], 60, 0)
    assert (renamed.weights == resampling.weights).all()


def test_mean_is_that_of_the_repeated_cases(resampling):
    rng = np.random.default_rng(0)
    patients, values = np.arange(50) % 20, rng.random(50)
    totals = np.bincount(patients, weights=values, minlength=20)[None]
    counts = np.bincount(patients, minlength=20)[None].astype(float)
    ours = bootstrap.mean_over_cases(resampling, totals, counts)[:, 0]
    slow = [repeated(weights[patients], values).mean() for weights in resampling.weights]
    np.testing.assert_allclose(ours, slow)


def test_median_is_that_of_the_repeated_cases(resampling):
    patients, values = np.arange(51) % 20, np.random.default_rng(0).integers(0, 30, 51).astype(float)
    ours = bootstrap.median_over_cases(resampling, values, patients)
    slow = [np.quantile(repeated(w[patients], values), 0.5, method="inverted_cdf") for w in resampling.weights]
    np.testing.assert_allclose(ours, slow)


def test_auc_is_that_of_scikit_learn_over_the_repeated_studies(resampling, studies):
    patients, is_positive, scores = studies
    wins = bootstrap.pairwise_wins(scores, is_positive)
    assert wins.mean() == pytest.approx(np.mean([roc_auc_score(is_positive, row) for row in scores]))
    both = np.stack([wins, bootstrap.pairwise_wins(scores[:1], is_positive)])
    ours = bootstrap.area_under_curve(resampling, both, patients[is_positive], patients[~is_positive])
    for (mean, first), weights in zip(ours, resampling.weights, strict=True):
        drawn = [roc_auc_score(is_positive, row, sample_weight=weights[patients]) for row in scores]
        assert mean == pytest.approx(np.mean(drawn), abs=1e-6)
        assert first == pytest.approx(drawn[0], abs=1e-6)


def test_areas_do_not_depend_on_the_size_of_the_blocks(resampling, studies, monkeypatch):
    patients, is_positive, scores = studies
    wins = np.stack([bootstrap.pairwise_wins(row[None], is_positive) for row in scores])
    whole = bootstrap.area_under_curve(resampling, wins, patients[is_positive], patients[~is_positive])
    monkeypatch.setattr(bootstrap, "_BLOCK_SIZE", 1)
    split = bootstrap.area_under_curve(resampling, wins, patients[is_positive], patients[~is_positive])
    np.testing.assert_allclose(split, whole, atol=1e-6)


def test_balanced_accuracy_is_that_of_scikit_learn_over_the_repeated_studies(resampling, studies):
    patients, is_positive, scores = studies
    called = scores > 0.5
    ours = bootstrap.balanced_accuracy(resampling, called.astype(float), is_positive, patients)
    for values, weights in zip(ours, resampling.weights, strict=True):
        expected = [balanced_accuracy_score(is_positive, row, sample_weight=weights[patients]) for row in called]
        assert values == pytest.approx(expected, abs=1e-6)


def test_one_label_only_has_no_area():
    resampling = Resampling.draw(["a", "b"], 50, 0)
    areas = bootstrap.area_under_curve(resampling, np.ones((1, 1, 1), np.float32), np.array([0]), np.array([1]))[:, 0]
    assert set(np.isnan(areas)) == {True, False}


def test_seeds_are_resampled_too(resampling):
    values = np.tile([0.0, 1.0, 2.0], (60, 1))
    averaged = resampling.over_seeds(values)
    assert averaged.min() < 1.0 < averaged.max()
    assert (resampling.over_seeds(values[:, :1] + 5) == 5).all()


def test_the_spread_of_resampled_seeds_is_that_of_their_mean():
    resampling = Resampling.draw(["a"], 20000, 0)
    values = np.array([0.1, 0.4, 0.9])
    averaged = resampling.over_seeds(np.tile(values, (20000, 1)))
    assert averaged.var() == pytest.approx(values.var(ddof=1) / 3, rel=0.05)
