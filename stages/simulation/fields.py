"""Smooth random fields: the irregularity of anatomy, lesions and coils.

Shape suffixes: C channels, X Y Z voxels along the axes, N places.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], num_knots: int, channels: int = 1) -> Floats:
    """Draw random fields without detail finer than the knots.

    Args:
        rng: random stream.
        shape: voxels along each axis.
        num_knots: independent values along each axis.
        channels: number of fields.

    Returns:
        Fields of mean about 0 and standard deviation about 1, shape (channels, *shape).
    """
    knots = rng.standard_normal((channels, num_knots, num_knots, num_knots), dtype=np.float32)
    field = knots
    for axis, size in enumerate(shape):
        field = np.moveaxis(np.tensordot(_basis(size, num_knots), field, axes=(1, axis + 1)), 0, axis + 1)
    return np.ascontiguousarray(field)


def sample(field_CXYZ: Floats, voxels_3N: Floats, *, outside: Literal["nearest", "zero"]) -> Floats:
    """Interpolate fields linearly at fractional voxels; all channels at once, which SciPy does one by one.

    Args:
        field_CXYZ: the fields.
        voxels_3N: where, in voxels along X, Y and Z.
        outside: what a place beyond the grid is given: the value at the border, or 0, reached within a voxel.

    Returns:
        Values, shape (C, N).
    """
    last = np.array(field_CXYZ.shape[:0:-1], dtype=np.float32) - 1
    # Torch names axes from the last one, and counts from -1 to 1.
    places_N3 = np.ascontiguousarray(voxels_3N[::-1].T) * (2 / last) - 1
    padding = "border" if outside == "nearest" else "zeros"
    field = torch.from_numpy(np.ascontiguousarray(field_CXYZ))
    places = torch.from_numpy(places_N3.astype(np.float32, copy=False))
    found = functional.grid_sample(field[None], places[None, None, None], padding_mode=padding, align_corners=True)
    return found[0, :, 0, 0].numpy()


@lru_cache(maxsize=64)
def _basis(size: int, num_knots: int) -> Floats:
    """Gaussian bumps at the knots, rows scaled so that unit noise stays unit noise."""
    where = np.linspace(0, num_knots - 1, size)[:, None] - np.arange(num_knots)[None, :]
    bumps = np.exp(-0.5 * (where / 0.7) ** 2)
    return (bumps / np.linalg.norm(bumps, axis=1, keepdims=True)).astype(np.float32)
