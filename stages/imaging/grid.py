"""One grid for all series of a study, reached through scanner coordinates.

Axes: X, Y, Z are the voxel axes of a NIfTI file; R, A, S run to the patient's right, front and top,
in mm of scanner space (RAS+).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stages.imaging.quality import head_mask, thin

# A Gaussian's full width at half maximum over its standard deviation.
_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_NEGLIGIBLE_SIGMA = 0.2
# The outermost half per cent of the head mask may be noise.
_EXTENT_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Image:
    """Voxels of one series (X, Y, Z; float32) and where they lie: voxel index → RAS mm (4×4)."""

    voxels: np.ndarray
    affine: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Axis-parallel RAS+ grid: index (r, a, s) → mm by ``affine`` (4×4), of the given shape."""

    affine: np.ndarray
    shape: tuple[int, int, int]

    @classmethod
    def centred(
        cls, centre_mm: np.ndarray, spacing_mm: tuple[float, float, float], shape: tuple[int, int, int]
    ) -> Grid:
        """Lay a grid of the given spacing and shape around a point in RAS mm."""
        affine = np.diag([*spacing_mm, 1.0])
        affine[:3, 3] = centre_mm - np.array(spacing_mm) * (np.array(shape) - 1) / 2
        return cls(affine, shape)


def head_centre_mm(image: Image, height_mm: float) -> np.ndarray:
    """Find the middle of the head in RAS mm.

    Only what lies within ``height_mm`` of the top of the head counts, so that a neck in view does not
    pull the grid down. An image without contrast gives the middle of its field of view.

    Args:
        image: the series that the study is centred on.
        height_mm: height of the grid to be centred.

    Returns:
        The centre, shape (3,).
    """
    voxels, strides = thin(image.voxels)
    indices = np.argwhere(head_mask(voxels)) * strides
    if not len(indices):
        return _to_mm(image.affine, (np.array(image.voxels.shape)[None] - 1) / 2)[0]
    points_mm = _to_mm(image.affine, indices)
    top_mm = np.percentile(points_mm[:, 2], _EXTENT_PERCENTILES[1])
    points_mm = points_mm[points_mm[:, 2] > top_mm - height_mm]
    return np.percentile(points_mm, _EXTENT_PERCENTILES, axis=0).mean(axis=0)


def resample(image: Image, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Bring an image onto a grid, without aliasing.

    Where the grid is coarser than the image, voxels are first averaged in whole blocks, then smoothed
    by the Gaussian that makes up for the remaining ratio (FWHM² = ratio² − 1 voxels); values between
    voxels are interpolated linearly.

    Args:
        image: the series.
        grid: where to sample it.

    Returns:
        The values, 0 where the series does not reach (float32), and the mask of where it does; both of
        shape (R, A, S).
    """
    to_voxel = np.linalg.inv(image.affine) @ grid.affine
    indices = _grid_indices(to_voxel, grid.shape)
    is_inside = np.ones(grid.shape, dtype=bool)
    for axis, size in enumerate(image.voxels.shape):
        is_inside &= (indices[axis] >= -0.5) & (indices[axis] <= size - 0.5)
    values = image.voxels
    for axis, ratio in enumerate(np.linalg.norm(to_voxel[:3, :3], axis=1)):
        factor = max(1, int(ratio + 1e-6))
        values = _average_blocks(values, axis, factor)
        sigma = np.sqrt(max(0.0, (ratio / factor) ** 2 - 1.0)) / _FWHM_PER_SIGMA
        if sigma > _NEGLIGIBLE_SIGMA:
            values = ndimage.gaussian_filter1d(values, sigma, axis, mode="nearest", truncate=3.0)
        indices[axis] = (indices[axis] - (factor - 1) / 2) / factor
    sampled = ndimage.map_coordinates(values, indices, order=1, mode="nearest")
    return np.where(is_inside, sampled, np.float32(0.0)), is_inside


def _to_mm(affine: np.ndarray, indices: np.ndarray) -> np.ndarray:
    return indices @ affine[:3, :3].T + affine[:3, 3]


def _grid_indices(to_voxel: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Voxel index of every grid point, shape (3, R, A, S)."""
    axes = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij", sparse=True)
    return np.stack([to_voxel[i, 3] + sum(to_voxel[i, j] * axes[j] for j in range(3)) for i in range(3)])


def _average_blocks(values: np.ndarray, axis: int, factor: int) -> np.ndarray:
    """Mean over blocks of ``factor`` voxels along one axis; the last block is filled up with the edge."""
    if factor == 1:
        return values
    size = values.shape[axis]
    starts = np.arange(0, size, factor)
    total = np.take(values, starts, axis=axis)
    for offset in range(1, factor):
        total += np.take(values, np.minimum(starts + offset, size - 1), axis=axis)
    return total / np.float32(factor)
