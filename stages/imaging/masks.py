"""Lesion masks of a study: from a label map in patient space to the grid of its volumes.

Shapes: L labels, A and S the second and third axis of the grid.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stages.imaging.grid import Grid, Image
from stages.imaging.volumes import read_image

_MAX_LABEL = 255
# Values that differ from a whole number by less are meant to be one.
_MAX_ROUNDING = 1e-3
# A voxel belongs to lesions that fill this share of it together.
_MIN_SHARE = 0.5
# Points that a voxel's coverage is sampled at, along an axis: per voxel of the mask, and at most.
_POINTS_PER_VOXEL, _MAX_POINTS = 4, 8


def read_label_map(path: Path) -> Image:
    """Read a NIfTI label map: 0 background, other values one lesion each.

    Returns:
        The labels as uint8, and voxel index → RAS mm.

    Raises:
        ValueError: if it is not an image in three dimensions of whole numbers from 0 to 255.
    """
    image = read_image(path)
    labels = np.rint(image.voxels)
    if np.abs(labels - image.voxels).max() > _MAX_ROUNDING or labels.min() < 0 or labels.max() > _MAX_LABEL:
        raise ValueError(f"mask: expected whole numbers from 0 to {_MAX_LABEL}, got others; write lesion number + 1")
    return Image(labels.astype(np.uint8), image.affine)


def resample_labels(mask: Image, grid: Grid) -> np.ndarray:
    """Bring a label map onto a grid, whichever of the two is coarser.

    A voxel is lesion where lesions fill at least half of it, and takes the label that fills most of it
    (of equal ones the lowest). A lesion that no voxel goes to keeps the voxel that holds most of it.

    Args:
        mask: labels, uint8, 0 background.
        grid: where to.

    Returns:
        Labels, uint8, of the shape of the grid. A label is missing only where it lies outside the
        grid, or in one voxel with others that have no other.
    """
    found = np.zeros(grid.shape, dtype=np.uint8)
    values_L = np.unique(mask.voxels[mask.voxels > 0])
    to_grid = np.linalg.inv(grid.affine) @ mask.affine
    box = _box_of(mask.voxels, to_grid, grid.shape)
    if not len(values_L) or box is None:
        return found
    for row, shares_LAS in _shares(mask, np.linalg.inv(to_grid), box, values_L):
        is_lesion_AS = shares_LAS.sum(axis=0) >= _MIN_SHARE
        found[row, box[1], box[2]] = np.where(is_lesion_AS, values_L[shares_LAS.argmax(axis=0)], 0)
    for value in values_L[~np.isin(values_L, found)]:
        _keep(found, value, np.argwhere(mask.voxels == value) @ to_grid[:3, :3].T + to_grid[:3, 3])
    return found


def _box_of(labels: np.ndarray, to_grid: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice, slice] | None:
    """Part of the grid that lesions may reach, None where they reach none."""
    indices = np.argwhere(labels)
    if not len(indices):
        return None
    corners = np.array(np.meshgrid(*zip(indices.min(axis=0) - 0.5, indices.max(axis=0) + 0.5, strict=True)))
    reached = corners.reshape(3, -1).T @ to_grid[:3, :3].T + to_grid[:3, 3]
    low = np.maximum(np.floor(reached.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(reached.max(axis=0)) + 1, shape).astype(int)
    return None if (low >= high).any() else (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))


def _shares(
    mask: Image, to_mask: np.ndarray, box: tuple[slice, ...], values_L: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each row of the box with the share of every voxel that each label fills, shape (L, A, S)."""
    ratios = np.linalg.norm(to_mask[:3, :3], axis=0)
    num_points = np.clip(np.ceil(_POINTS_PER_VOXEL * ratios), 1, _MAX_POINTS).astype(int)
    offsets = [(np.arange(count) + 0.5) / count - 0.5 for count in num_points]
    axes = [(np.arange(b.start, b.stop)[:, None] + o).ravel() for b, o in zip(box[1:], offsets[1:], strict=True)]
    padded = np.pad(mask.voxels, 1)  # so that what lies outside the mask reads as background
    for row in range(box[0].start, box[0].stop):
        labels = _labels_at(padded, to_mask, [row + offsets[0], *axes])
        counts_L = [(labels == value).sum(axis=0) for value in values_L]
        blocks_L = [c.reshape(-1, num_points[1], len(axes[1]) // num_points[2], num_points[2]) for c in counts_L]
        yield row, np.stack([blocks.sum(axis=(1, 3)) for blocks in blocks_L]) / num_points.prod()


def _labels_at(padded: np.ndarray, to_mask: np.ndarray, axes: list[np.ndarray]) -> np.ndarray:
    """Label at every point of a lattice in grid indices, of a mask padded by one voxel."""
    points = np.meshgrid(*axes, indexing="ij", sparse=True)
    indices = []
    for axis, size in enumerate(padded.shape):
        # Without the terms that are zero an index stays as small as its axis.
        terms = [to_mask[axis, j] * points[j] for j in range(3) if to_mask[axis, j]]
        index = np.rint(to_mask[axis, 3] + sum(terms)).astype(int)
        indices.append((index + 1).clip(0, size - 1))
    return np.broadcast_to(padded[tuple(indices)], [len(axis) for axis in axes])


def _keep(found: np.ndarray, value: int, indices: np.ndarray) -> None:
    """Give a lesion the voxel that holds most of it, but none that is the last one of another lesion."""
    voxels = np.rint(indices).astype(int)
    voxels = voxels[((voxels >= 0) & (voxels < found.shape)).all(axis=1)]
    places, counts = np.unique(np.ravel_multi_index(voxels.T, found.shape), return_counts=True)
    for place in places[np.argsort(-counts, kind="stable")]:
        holder = found.flat[place]
        if holder == 0 or (found == holder).sum() > 1:
            found.flat[place] = value
            return
