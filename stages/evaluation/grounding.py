"""Metrics of phrase grounding: how a similarity map over patches agrees with a lesion mask.

A patch is the smallest thing that a map tells apart, so pointing and average precision are about
patches. Masks are finer: overlap and contrast count voxels, exactly as if every voxel had the value
of its patch, so that a patch larger than the lesion costs what it should.

Shape suffixes: P patches of a head, G patches of the whole grid (row-major), K thresholds; X stands
for the spatial axes of the volume grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FloatArray = np.ndarray

POINTING, IOU, PRECISION, CONTRAST = "pointing_game", "iou", "average_precision", "contrast_to_noise"
METRICS = (POINTING, IOU, PRECISION, CONTRAST)
# Quantiles of the validation maps that are tried as threshold.
_NUM_THRESHOLDS = 1001


@dataclass(frozen=True)
class PatchGrid:
    """Which patch each voxel lies in.

    Attributes:
        shape: voxels along each axis of the volume grid.
        grid: patches along each axis.
    """

    shape: tuple[int, ...]
    grid: tuple[int, ...]

    @cached_property
    def patch_of_voxel(self) -> np.ndarray:
        """Number of the patch of each voxel, row-major over the patch grid. Shape (X)."""
        axes = [np.arange(size) * count // size for size, count in zip(self.shape, self.grid, strict=True)]
        return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), self.grid)

    def count(self, mask_X: np.ndarray) -> np.ndarray:
        """Count the voxels of a mask in each patch. Shape (G,)."""
        return np.bincount(self.patch_of_voxel[mask_X], minlength=math.prod(self.grid))

    def paint(self, values_G: FloatArray) -> FloatArray:
        """Give every voxel the value of its patch. Shape (X)."""
        return values_G[self.patch_of_voxel]


@dataclass(frozen=True)
class Target:
    """The lesions to be found, on the patches of a head.

    Attributes:
        patches_P: numbers of the patches that hold any head or lesion; the others are not looked at,
            or the background would make the task easy.
        inside_P: lesion voxels in each of them.
        total_P: voxels in each of them.
    """

    patches_P: np.ndarray
    inside_P: np.ndarray
    total_P: np.ndarray

    @classmethod
    def of(cls, mask_X: np.ndarray, is_head_X: np.ndarray, grid: PatchGrid) -> Target:
        """Bring a lesion mask to the patches of the head.

        Args:
            mask_X: voxels of the lesions.
            is_head_X: voxels of the head.
            grid: patches of the encoder.

        Raises:
            ValueError: if the mask is empty.
        """
        if not mask_X.any():
            raise ValueError("lesion mask: expected at least one voxel, got none; leave the lesion out")
        inside_G = grid.count(mask_X)
        patches_P = np.flatnonzero((grid.count(is_head_X) > 0) | (inside_G > 0))
        return cls(patches_P, inside_G[patches_P], grid.count(np.ones_like(mask_X))[patches_P])

    @property
    def covered(self) -> FloatArray:
        """Share of each patch that lesions cover."""
        return self.inside_P / self.total_P

    def is_positive(self, min_covered: float) -> np.ndarray:
        """Patches that count as lesion: those covered enough, and always the most covered. Shape (P,)."""
        return (self.covered >= min_covered) | (self.covered == self.covered.max())


def pointing_game(scores_P: FloatArray, is_positive_P: np.ndarray) -> float:
    """Whether the highest patch is a lesion's; of patches with the same score, any may be it (expectation)."""
    return float(is_positive_P[scores_P == scores_P.max()].mean())


def average_precision(scores_P: FloatArray, is_positive_P: np.ndarray) -> float:
    """Average precision of the ranking of patches (its mean over cases is mAP).

    Patches with the same score may stand in any order: the value is the expectation over all of them,
    for a constant map that of chance. scikit-learn's value is the same where no scores are equal.
    """
    order = np.argsort(-scores_P, kind="stable")
    is_positive_P = is_positive_P[order]
    _, first, size = np.unique(-scores_P[order], return_index=True, return_counts=True)
    group_P = np.repeat(np.arange(len(size)), size)
    ahead = np.append(0, np.cumsum(is_positive_P))[first]
    num_positive = np.add.reduceat(is_positive_P.astype(np.int64), first)
    # at each rank: probability of a positive, and the positives expected up to it if it is one
    place_P = np.arange(len(order)) - first[group_P]
    of_tied_P = (np.maximum(num_positive - 1, 0) / np.maximum(size - 1, 1))[group_P]
    precision_P = (ahead[group_P] + 1 + place_P * of_tied_P) / np.arange(1, len(order) + 1)
    return float(((num_positive / size)[group_P] * precision_P).sum() / num_positive.sum())


def contrast_to_noise(scores_P: FloatArray, target: Target) -> float:
    """Contrast of lesion to the rest of the head, by voxels: (mean in - mean out) / sqrt(var in + var out).

    The magnitude is that of BioViL (Boecking 2022, MS-CXR); the sign is kept, so that a map that is
    darkest at the lesion is not taken for a good one. 0 for a constant map.
    """
    outside_P = target.total_P - target.inside_P
    if not outside_P.any():
        return 0.0
    (mean_in, variance_in), (mean_out, variance_out) = (
        _weighted_moments(scores_P.astype(np.float64), weights_P) for weights_P in (target.inside_P, outside_P)
    )
    spread = math.sqrt(variance_in + variance_out)
    return (mean_in - mean_out) / spread if spread > 0 else 0.0


def standardise(scores_P: FloatArray) -> FloatArray:
    """Deviations of a map from its own mean over the head; zero for a constant map.

    A phrase is known to be true of its image, so level and range of its map say nothing of where; one
    threshold for all maps can only be on their deviations.
    """
    deviation = scores_P.std()
    return (scores_P - scores_P.mean()) / deviation if deviation > 0 else np.zeros_like(scores_P)


def iou_curve(scores_P: FloatArray, target: Target, thresholds_K: FloatArray) -> FloatArray:
    """Intersection over union, by voxels, of the patches at or above each threshold. Shape (K,)."""
    order = np.argsort(-scores_P, kind="stable")
    ious_P1 = np.append(0.0, _prefix_ious(target, order))
    num_chosen_K = len(scores_P) - np.searchsorted(scores_P[order][::-1], thresholds_K, side="left")
    return ious_P1[num_chosen_K]


def best_threshold(maps: Sequence[FloatArray], targets: Sequence[Target]) -> float | None:
    """Threshold that maximises the mean intersection over union; the lowest of several, None without maps.

    Args:
        maps: standardised maps of validation cases.
        targets: their lesions.
    """
    if not maps:
        return None
    thresholds_K = np.quantile(np.concatenate(maps), np.linspace(0, 1, _NUM_THRESHOLDS))
    curves = [iou_curve(scores_P, target, thresholds_K) for scores_P, target in zip(maps, targets, strict=True)]
    return float(thresholds_K[np.mean(curves, axis=0).argmax()])


def chance(target: Target, min_covered: float) -> dict[str, float]:
    """What a map without information scores, in closed form.

    Pointing and average precision are expectations over all orders of the patches: those of a constant
    map. A threshold that maximises the overlap of such maps takes everything, hence that of the head.
    """
    is_positive_P = target.is_positive(min_covered)
    constant_P = np.zeros(len(is_positive_P))
    return {
        POINTING: pointing_game(constant_P, is_positive_P),
        IOU: float(target.inside_P.sum() / target.total_P.sum()),
        PRECISION: average_precision(constant_P, is_positive_P),
        CONTRAST: 0.0,
    }


def oracle(target: Target) -> dict[str, float]:
    """What the true mask scores at the resolution of patches: no map over them overlaps more.

    The map is the share of each patch that is lesion; its overlap is that of its best threshold for
    this very mask. That prefix of the patches, ordered by share, is the best of all sets of patches.
    """
    order = np.argsort(-target.covered, kind="stable")
    return {
        POINTING: 1.0,
        IOU: float(_prefix_ious(target, order).max()),
        PRECISION: 1.0,
        CONTRAST: contrast_to_noise(target.covered, target),
    }


def _prefix_ious(target: Target, order: np.ndarray) -> FloatArray:
    """Intersection over union of the first 1, 2, … patches of an order. Shape (P,)."""
    inside_P = np.cumsum(target.inside_P[order])
    return inside_P / (target.inside_P.sum() + np.cumsum(target.total_P[order]) - inside_P)


def _weighted_moments(values_P: FloatArray, weights_P: np.ndarray) -> tuple[float, float]:
    mean = float(np.average(values_P, weights=weights_P))
    return mean, float(np.average((values_P - mean) ** 2, weights=weights_P))
