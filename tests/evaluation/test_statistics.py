import itertools

import numpy as np
import pytest

from stages.evaluation import statistics
from stages.evaluation.statistics import Estimate

SETTINGS = {"confidence": 0.95, "num_sign_flips": 2000, "seed": 0}


def estimate(seed_values, resampled, shares=None):
    return Estimate(
        seeds=tuple(range(len(seed_values))),
        seed_values=np.array(seed_values),
        resampled=np.array(resampled),
        num_patients=10,
        smallest_cell=10,
        patient_shares=shares,
    )


def test_sign_flips_agree_with_all_sign_patterns():
    differences = np.array([0.3, -0.1, 0.5, 0.2, 0.4, -0.05, 0.1])
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=7)]
    exact = np.mean([total >= abs(differences.sum()) - 1e-9 for total in sums])
    assert statistics.sign_flip_test(differences, 20000, 0) == pytest.approx(exact, abs=0.01)


def test_sign_flips_are_uniform_without_a_difference():
    rng = np.random.default_rng(0)
    p_values = [statistics.sign_flip_test(rng.normal(size=30), 500, repeat % 4) for repeat in range(400)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_no_difference_at_all_has_p_one():
    assert statistics.sign_flip_test(np.zeros(8), 200, 0) == 1.0


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.9, 0.8]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_a_bootstrap_p_value_is_small_only_where_zero_is_in_the_tail():
    rng = np.random.default_rng(0)
    assert statistics.bootstrap_test(rng.normal(5, 1, 999)) == pytest.approx(0.002)
    assert statistics.bootstrap_test(rng.normal(0, 1, 999)) > 0.8
    assert statistics.bootstrap_test(np.zeros(99)) == 1.0


def test_the_interval_ignores_undefined_resamples():
    low, high = statistics.interval(np.array([np.nan, *np.linspace(0, 1, 101)]), 0.9)
    assert (low, high) == pytest.approx((0.05, 0.95))
    assert np.isnan(statistics.interval(np.full(3, np.nan), 0.95)).all()


def test_a_difference_pairs_resamples_and_seeds():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=500)
    better = statistics.compare(estimate([0.6, 0.7, 0.4], shared + 0.2), estimate([0.5, 0.5, 0.5], shared), **SETTINGS)
    assert (better.low, better.high) == pytest.approx((0.2, 0.2))
    assert better.is_better
    assert better.seed_signs == "++-"


def test_one_seed_stands_for_all_but_other_seeds_are_not_paired():
    one, three = estimate([0.5], np.zeros(50)), estimate([0.6, 0.4, 0.5], np.ones(50))
    assert statistics.compare(three, one, **SETTINGS).seed_signs == "+-0"
    two = Estimate((7, 8), np.array([0.1, 0.2]), np.zeros(50), 10, 10)
    assert statistics.compare(three, two, **SETTINGS).seed_signs == ""


def test_less_may_be_better():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=500)
    pair = estimate([4.0, 5.0], noise - 9.0), estimate([9.0, 9.5], noise)
    assert statistics.compare(*pair, is_lower_better=True, **SETTINGS).is_better
    assert not statistics.compare(*pair, **SETTINGS).is_better
    assert not statistics.compare(*reversed(pair), is_lower_better=True, **SETTINGS).is_better


def test_what_is_not_tested_is_not_called_better():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=500)
    difference = statistics.compare(estimate([1.0], shared + 1), estimate([0.0], shared), is_tested=False, **SETTINGS)
    assert difference.low > 0
    assert np.isnan(difference.p)
    assert not difference.is_better


def test_p_and_interval_never_contradict():
    """Patients agree, seeds do not: the sign flip alone would call this significant."""
    rng = np.random.default_rng(0)
    shares = 0.01 + 0.002 * rng.normal(size=60)
    wide = statistics.compare(
        estimate([0.2], 0.6 + rng.normal(size=2000), shares), estimate([0.0], np.zeros(2000), np.zeros(60)), **SETTINGS
    )
    assert statistics.sign_flip_test(shares, 2000, 0) < 0.05
    assert wide.low < 0 < wide.high
    assert wide.p > 0.05
    assert not wide.is_better
    # And the reverse: an interval away from 0 is not enough where patients do not agree.
    mixed = np.where(np.arange(60) % 2, 1.0, -1.0) + 0.01
    narrow = statistics.compare(
        estimate([0.2], 5 + rng.normal(size=2000), mixed), estimate([0.0], np.zeros(2000), np.zeros(60)), **SETTINGS
    )
    assert narrow.low > 0
    assert narrow.p > 0.05
    assert not narrow.is_better


def test_shares_of_unequal_patients_are_tested_as_the_mean_over_cases():
    """A patient with many cases weighs as many cases: shares are the sums over the number of all cases."""
    counts, differences = np.array([5, 1, 1, 1]), np.array([0.2, -0.1, -0.1, -0.1])
    shares = counts * differences / counts.sum()
    assert shares.sum() == pytest.approx(np.repeat(differences, counts).mean())
    by_sums = statistics.sign_flip_test(counts * differences, 4000, 0)
    assert statistics.sign_flip_test(shares, 4000, 0) == by_sums
