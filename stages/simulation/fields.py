"""Smooth random fields: the irregularity of anatomy, lesions and coils."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

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


@lru_cache(maxsize=64)
def _basis(size: int, num_knots: int) -> Floats:
    """Gaussian bumps at the knots, rows scaled so that unit noise stays unit noise."""
    where = np.linspace(0, num_knots - 1, size)[:, None] - np.arange(num_knots)[None, :]
    bumps = np.exp(-0.5 * (where / 0.7) ** 2)
    return (bumps / np.linalg.norm(bumps, axis=1, keepdims=True)).astype(np.float32)
