"""Quality figures of an image: what is head, how noisy it is, how tilted."""

from __future__ import annotations

import numpy as np

_NUM_BINS = 256
# Fat and vessels outshine tissue: without this clip Otsu's threshold would part them from the head.
_BRIGHT_PERCENTILE = 98.0
_MIN_BACKGROUND_VOXELS = 100
_MAX_SAMPLES_PER_AXIS = 64


def thin(voxels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take every n-th voxel along each axis, so that statistics of large images stay cheap.

    Args:
        voxels: image of shape (X, Y, Z).

    Returns:
        A view with at most 64 voxels along each axis, and the stride of each axis, shape (3,).
    """
    strides = -(-np.array(voxels.shape) // _MAX_SAMPLES_PER_AXIS)
    return voxels[:: strides[0], :: strides[1], :: strides[2]], strides


def otsu_threshold(values: np.ndarray) -> float:
    """Threshold that parts the values into two classes of least variance (Otsu 1979).

    Returns:
        The upper edge of the last histogram bin of the lower class; the value itself if all are equal.
    """
    low, high = float(values.min()), float(np.percentile(values, _BRIGHT_PERCENTILE))
    if high <= low:
        return low
    counts, edges = np.histogram(np.minimum(values, high), bins=_NUM_BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * centres)
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (moment / weight - (moment[-1] - moment) / rest) ** 2
    return float(edges[int(np.nanargmax(between[:-1])) + 1])


def head_mask(voxels: np.ndarray) -> np.ndarray:
    """Tell head from background by Otsu's threshold; all False for a constant image."""
    return voxels > otsu_threshold(voxels)


def signal_to_noise(voxels: np.ndarray, is_head: np.ndarray) -> float | None:
    """Median of the head over the standard deviation of the air around it.

    Returns:
        The ratio, or None where the background was set to zero or hardly any is in view.
    """
    background = voxels[~is_head & (voxels != 0)]
    if not is_head.any() or background.size < _MIN_BACKGROUND_VOXELS:
        return None
    noise = float(background.std())
    return float(np.median(voxels[is_head])) / noise if noise > 0 else None


def tilt_deg(affine: np.ndarray) -> float:
    """Angle in degrees between the slice normal (third voxel axis) and the nearest patient axis."""
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    cosine = np.abs(normal).max() / np.linalg.norm(normal)
    return float(np.degrees(np.arccos(min(1.0, cosine))))
