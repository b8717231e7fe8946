"""Resampling against slow loops, and the coverage of what comes of it."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from stages.evaluation import bootstrap, statistics
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
    ours = bootstrap.area_under_curve(resampling, wins, patients[is_positive], patients[~is_positive])
    for value, weights in zip(ours, resampling.weights, strict=True):
        drawn = [roc_auc_score(is_positive, row, sample_weight=weights[patients]) for row in scores]
        assert value == pytest.approx(np.mean(drawn), abs=1e-6)


def test_balanced_accuracy_is_that_of_scikit_learn_over_the_repeated_studies(resampling, studies):
    patients, is_positive, scores = studies
    called = scores[0] > 0.5
    ours = bootstrap.balanced_accuracy(resampling, called.astype(float), is_positive, patients)
    for value, weights in zip(ours, resampling.weights, strict=True):
        expected = balanced_accuracy_score(is_positive, called, sample_weight=weights[patients])
        assert value == pytest.approx(expected)


def test_one_label_only_has_no_area():
    resampling = Resampling.draw(["a", "b"], 50, 0)
    areas = bootstrap.area_under_curve(resampling, np.ones((1, 1), np.float32), np.array([0]), np.array([1]))
    assert set(np.isnan(areas)) == {True, False}


def test_seeds_are_resampled_too(resampling):
    values = np.tile([0.0, 1.0, 2.0], (60, 1))
    averaged = resampling.over_seeds(values)
    assert averaged.min() < 1.0 < averaged.max()
    assert (resampling.over_seeds(values[:, :1] + 5) == 5).all()


def simulate_patients(rng, num_patients):
    """Two to four correlated studies a patient; the difference of two methods has mean 0.1."""
    sizes = rng.integers(2, 5, num_patients)
    patients = np.repeat(np.arange(num_patients), sizes)
    values = 0.1 + rng.normal(size=num_patients)[patients] + 0.5 * rng.normal(size=len(patients))
    return patients, values


def test_intervals_of_a_clustered_mean_cover_nominally():
    rng = np.random.default_rng(0)
    num_patients, is_covered, is_covered_by_studies = 60, [], []
    for repeat in range(400):
        patients, values = simulate_patients(rng, num_patients)
        for clusters, found in ((patients, is_covered), (np.arange(len(patients)), is_covered_by_studies)):
            size = int(clusters.max()) + 1
            resampling = Resampling.draw([str(n) for n in range(size)], 400, repeat)
            totals = np.bincount(clusters, weights=values, minlength=size)[None]
            counts = np.bincount(clusters, minlength=size)[None].astype(float)
            low, high = statistics.interval(bootstrap.mean_over_cases(resampling, totals, counts)[:, 0], 0.95)
            found.append(low <= 0.1 <= high)
    assert 0.92 <= np.mean(is_covered) <= 0.975
    # The positive control: studies of a patient are not independent.
    assert np.mean(is_covered_by_studies) < 0.85


def test_intervals_of_a_clustered_auc_cover_nominally():
    rng = np.random.default_rng(0)
    truth, is_covered = 0.7602, []  # Phi(1 / sqrt(2)): scores of unit variance, one apart
    for repeat in range(400):
        patients = np.repeat(np.arange(80), 2)
        is_positive = rng.random(80)[patients] < 0.35
        scores = is_positive + np.sqrt(0.7) * rng.normal(size=80)[patients] + np.sqrt(0.3) * rng.normal(size=160)
        resampling = Resampling.draw([str(n) for n in range(80)], 400, repeat)
        wins = bootstrap.pairwise_wins(scores[None], is_positive)
        areas = bootstrap.area_under_curve(resampling, wins, patients[is_positive], patients[~is_positive])
        low, high = statistics.interval(areas, 0.95)
        is_covered.append(low <= truth <= high)
    assert 0.91 <= np.mean(is_covered) <= 0.98
