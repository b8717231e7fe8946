"""Where the voxels of a series lie, by its headers, and whether its volume lies there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product

import numpy as np

from stages.imaging.grouping import Slice
from stages.imaging.ledger import SetAside
from stages.imaging.slices import num_repeats

Affine = tuple[tuple[float, ...], ...]

# Patient coordinates of DICOM grow to the left, back and head, those of NIfTI to the right, front and head.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
# What rounding in headers may move a corner of a volume.
_TOLERANCE_MM = 0.5
# Share of the gap by which the first one may differ from the mean.
_GAP_TOLERANCE = 0.1
_SMALLEST_MM = 1e-9


def expected_affine(slices: list[Slice]) -> Affine:
    """Affine from (column, row, slice) to millimetres (RAS) of slices in the order of their positions.

    The third axis runs from the first to the last position, so that slices whose positions run askew to
    their normal (gantry tilt) give a sheared affine.
    """
    first, last = slices[0].image, slices[-1].image
    cosines = np.array(first.orientation)
    num_positions = len(slices) // max(num_repeats(slices), 1)
    start, end = np.array(first.position_mm), np.array(last.position_mm)
    affine = np.eye(4)
    affine[:3, 0] = cosines[:3] * first.pixel_spacing_mm[1]
    affine[:3, 1] = cosines[3:] * first.pixel_spacing_mm[0]
    affine[:3, 2] = (end - start) / max(num_positions - 1, 1)
    affine[:3, 3] = start
    return tuple(tuple(map(float, row)) for row in _LPS_TO_RAS @ affine)


def placed_affine(found: np.ndarray, shape: Sequence[int], expected: Affine) -> np.ndarray:
    """Check that a volume fills the place that the headers of its slices say.

    dcm2niix stacks slices along their normal, with the gap of the first two. Where positions run askew to
    the normal (gantry tilt), or gaps are rounded, the volume is right and its affine is taken from all slices.

    Args:
        found: affine of the volume to mm (RAS); its axes may run against those of the slices.
        shape: its voxels along each axis.
        expected: result of ``expected_affine``.

    Returns:
        ``found`` itself where no corner is off by more than half a millimetre, else the slices' own affine.

    Raises:
        SetAside: ``conversion_misplaced`` if more than shear or a gap tells the two apart.
    """
    wanted, slice_axis = _with_axes_of(found, shape, np.array(expected))
    if _distance_mm(found, wanted, shape) <= _TOLERANCE_MM:
        return found
    normal = np.cross(*np.delete(wanted[:3, :3], slice_axis, axis=1).T)
    normal /= max(float(np.linalg.norm(normal)), _SMALLEST_MM)
    gap, wanted_gap = found[:3, slice_axis] @ normal, wanted[:3, slice_axis] @ normal
    if abs(gap - wanted_gap) <= _GAP_TOLERANCE * abs(wanted_gap):
        stacked = wanted.copy()
        stacked[:3, slice_axis] = normal * gap
        drift = (wanted - stacked)[:3, slice_axis] * (shape[slice_axis] - 1)
        # dcm2niix may have begun at either end.
        for origin in (wanted[:3, 3], wanted[:3, 3] + drift):
            stacked[:3, 3] = origin
            if _distance_mm(found, stacked, shape) <= _TOLERANCE_MM:
                return wanted
    raise SetAside("conversion_misplaced")


def _with_axes_of(found: np.ndarray, shape: Sequence[int], affine: np.ndarray) -> tuple[np.ndarray, int]:
    """Order and turn the axes of an affine like those of another: dcm2niix stands 3D acquisitions upright.

    Returns:
        The affine of the same voxels in that order, and which axis the slices are stacked along.
    """
    cosines = np.abs(_unit_columns(found).T @ _unit_columns(affine))
    order = max(permutations(range(3)), key=lambda axes: sum(cosines[n, axis] for n, axis in enumerate(axes)))
    turned = affine.copy()
    turned[:3, :3] = affine[:3, order]
    for axis in range(3):
        if found[:3, axis] @ turned[:3, axis] < 0:
            turned[:3, 3] += turned[:3, axis] * (shape[axis] - 1)
            turned[:3, axis] *= -1
    return turned, order.index(2)


def _unit_columns(affine: np.ndarray) -> np.ndarray:
    columns = affine[:3, :3]
    return columns / np.maximum(np.linalg.norm(columns, axis=0), _SMALLEST_MM)


def _distance_mm(first: np.ndarray, second: np.ndarray, shape: Sequence[int]) -> float:
    """Largest distance of the corners of a volume under two affines."""
    corners = np.array([(*corner, 1.0) for corner in product(*((0, size - 1) for size in shape[:3]))])
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())
