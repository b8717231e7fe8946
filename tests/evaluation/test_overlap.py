"""Dice and surface distance against cases counted by hand, and against MONAI."""

import numpy as np
import pytest
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance

from stages.evaluation.overlap import dice, dice_curve, grid_diagonal_mm, hd95_mm

SPACING_MM = np.array([2.0, 3.0, 4.0])


def box(*slices, shape=(8, 8, 8)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*own) for own in slices)] = True
    return mask


def test_dice_of_two_overlapping_bars():
    bar, other = box((0, 4), (0, 1), (0, 1)), box((2, 8), (0, 1), (0, 1))
    assert dice(bar, other) == pytest.approx(2 * 2 / (4 + 6))
    assert dice(bar, bar) == 1.0
    assert dice(np.zeros_like(bar), bar) == 0.0


def test_dice_curve_is_the_dice_of_every_threshold():
    rng = np.random.default_rng(0)
    true = box((2, 6), (2, 6), (2, 6))
    probability = np.round(rng.random(true.shape), 1)  # with ties at the thresholds
    thresholds = np.array([0.0, 0.1, 0.5, 0.9, 1.0])
    expected = [dice(probability > threshold, true) for threshold in thresholds]
    np.testing.assert_allclose(dice_curve(probability, true, thresholds), expected)


def test_distance_of_two_single_voxels_is_their_distance_in_mm():
    near, far = box((0, 1), (0, 1), (0, 1)), box((3, 4), (4, 5), (0, 1))
    assert hd95_mm(near, far, SPACING_MM) == pytest.approx(np.hypot(3 * 2.0, 4 * 3.0))
    assert hd95_mm(near, near, SPACING_MM) == 0.0


def test_an_empty_prediction_costs_the_diagonal_of_the_grid():
    true = box((0, 1), (0, 1), (0, 1))
    assert hd95_mm(np.zeros_like(true), true, SPACING_MM) == pytest.approx(np.hypot(np.hypot(16, 24), 32))
    assert grid_diagonal_mm((3, 4), np.array([1.0, 1.0])) == 5.0


def test_distance_agrees_with_monai():
    rng = np.random.default_rng(3)
    for _ in range(6):
        masks = [box((low, low + 4), (1, 6), (2, 7)) ^ (rng.random((8, 8, 8)) < 0.02) for low in (1, 3)]
        tensors = [torch.from_numpy(mask)[None, None].float() for mask in masks]
        expected = compute_hausdorff_distance(*tensors, percentile=95, spacing=SPACING_MM.tolist()).item()
        assert hd95_mm(*masks, SPACING_MM) == pytest.approx(expected, rel=1e-5)
