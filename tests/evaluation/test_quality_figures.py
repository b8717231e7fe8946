"""Histograms tell no patient's value."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluation.quality_figures import Sample, merged_histogram, nice_edges

NUMBERS = st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=60)


@settings(deadline=None)
@given(NUMBERS)
def test_bins_hold_all_values_and_begin_at_round_numbers(values):
    edges = nice_edges(np.array(values))
    assert edges[0] <= min(values)
    assert edges[-1] >= max(values)
    assert 2 <= len(edges) <= 30
    step = edges[1] - edges[0]
    assert edges / step == pytest.approx(np.round(edges / step), abs=1e-6)


@settings(deadline=None)
@given(NUMBERS, st.integers(1, 6))
def test_every_bin_holds_enough_patients(values, smallest):
    sample = Sample(np.array(values), [f"p{number % 9}" for number in range(len(values))])
    shares, edges = merged_histogram(sample, nice_edges(sample.values), smallest)
    assert len(shares) == len(edges) - 1
    if len(set(sample.patients)) < smallest:
        assert len(shares) == 0
        return
    assert shares.sum() == pytest.approx(1.0)
    lasts = [*[False] * (len(shares) - 1), True]
    for low, high, is_last in zip(edges[:-1], edges[1:], lasts, strict=True):
        inside = (sample.values >= low) & ((sample.values < high) | is_last)
        assert len({patient for patient, is_in in zip(sample.patients, inside, strict=True) if is_in}) >= smallest


def test_without_a_limit_bins_stay_as_they_are():
    sample = Sample(np.array([0.0, 0.1, 9.9]), ["a", "b", "c"])
    shares, edges = merged_histogram(sample, np.arange(11.0), 0)
    assert shares.tolist() == pytest.approx([2 / 3, *[0.0] * 8, 1 / 3])
    assert edges.tolist() == np.arange(11.0).tolist()
