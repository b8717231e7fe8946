"""How a predicted mask agrees with the true one: Dice overlap, and surface distance in mm.

Shape suffix: X stands for the spatial axes of the grid.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

DICE, HD95 = "dice", "hd95_mm"


def dice(predicted_X: np.ndarray, true_X: np.ndarray) -> float:
    """Twice the common voxels over the sum of both masks, for a true mask that is not empty."""
    return float(2 * (predicted_X & true_X).sum() / (predicted_X.sum() + true_X.sum()))


def dice_curve(probability_X: np.ndarray, true_X: np.ndarray, thresholds_T: np.ndarray) -> np.ndarray:
    """Dice of what exceeds each threshold, for a true mask that is not empty. Shape (T,)."""
    inside = np.sort(probability_X[true_X])
    everywhere = np.sort(probability_X, axis=None)
    hits_T = len(inside) - np.searchsorted(inside, thresholds_T, side="right")
    predicted_T = len(everywhere) - np.searchsorted(everywhere, thresholds_T, side="right")
    return 2 * hits_T / (predicted_T + len(inside))


def hd95_mm(predicted_X: np.ndarray, true_X: np.ndarray, spacing_mm: np.ndarray) -> float:
    """95th percentile of the Hausdorff distance, of the larger direction, between the surfaces of two masks.

    It is MONAI's ``compute_hausdorff_distance`` at percentile 95, many times faster on small masks.

    Args:
        predicted_X: predicted voxels; where there are none the distance is the diagonal of the grid,
            the worst there is, so that silence does not pay.
        true_X: true voxels, at least one.
        spacing_mm: of the voxels along each axis.
    """
    if not predicted_X.any():
        return grid_diagonal_mm(true_X.shape, spacing_mm)
    surfaces = [_surface(mask_X) * spacing_mm for mask_X in (predicted_X, true_X)]
    there, _ = cKDTree(surfaces[1]).query(surfaces[0])
    back, _ = cKDTree(surfaces[0]).query(surfaces[1])
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def grid_diagonal_mm(shape: tuple[int, ...], spacing_mm: np.ndarray) -> float:
    """Distance between opposite corners of a grid."""
    return float(np.linalg.norm(np.array(shape) * spacing_mm))


def _surface(mask_X: np.ndarray) -> np.ndarray:
    """Indices of the voxels with a face neighbour outside the mask or the grid. Shape (voxels, axes)."""
    return np.argwhere(mask_X & ~ndimage.binary_erosion(mask_X))
