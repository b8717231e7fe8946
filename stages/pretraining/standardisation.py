"""Intensities as deviations from what the training images show at the same place.

MRI intensities have no unit, so each volume is first standardised over its own head; then each
voxel by the mean and deviation that training images have there, so that what is unusual for a
place stands out. Heads share a grid but no registration, hence the maps are smooth averages.

Shape suffixes: S sequences; X stands for the spatial axes, of which the first runs left to right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

FILE = "standardiser.safetensors"
# A standardised voxel is stored as int8 in these steps, which reaches nearly 8 deviations.
STEP = 1.0 / 16.0
_FOREGROUND = 25.5
_MIN_SPREAD_OF_HEAD = 12.75
_MIN_SPREAD_AT_VOXEL = 0.2
# Halfway from the head's mean, 0, to the background.
_HEAD_LEVEL = -1.0
_LARGEST = 127


@dataclass(frozen=True)
class Standardiser:
    """Mean and deviation of head-standardised intensities, for each sequence and voxel.

    Attributes:
        mean_SX: mean over training images, the same for left and right.
        deviation_SX: standard deviation over training images, likewise.
    """

    mean_SX: np.ndarray
    deviation_SX: np.ndarray

    @classmethod
    def fit(cls, images: Iterable[tuple[np.ndarray, np.ndarray]], shape_SX: tuple[int, ...]) -> Standardiser:
        """Measure training images in one pass.

        Args:
            images: uint8 voxels (S, X) and presence (S,) of each image.
            shape_SX: shape of an image.
        """
        total, squares = np.zeros(shape_SX), np.zeros(shape_SX)
        count_S = np.zeros(shape_SX[0])
        for image_SX, is_present_S in images:
            values_SX = _standardise_heads(image_SX) * _like(is_present_S, image_SX)
            total += values_SX
            squares += values_SX**2
            count_S += is_present_S
        number_SX = np.maximum(_like(count_S, total), 1)
        # mirrored, so that flipping an image and standardising it give the same in either order
        mean_SX = _mirrored(total / number_SX)
        variance_SX = _mirrored(squares / number_SX) - mean_SX**2
        return cls(mean_SX.astype(np.float32), np.sqrt(np.maximum(variance_SX, 0)).astype(np.float32))

    def apply(self, image_SX: np.ndarray, is_present_S: np.ndarray) -> np.ndarray:
        """Standardise one image.

        Args:
            image_SX: uint8 voxels, zero where a sequence is absent.
            is_present_S: which sequences the image has.

        Returns:
            int8 in units of ``STEP`` deviations, 0 where a sequence is absent. Shape (S, X).
        """
        values_SX = (_standardise_heads(image_SX) - self.mean_SX) / (self.deviation_SX + _MIN_SPREAD_AT_VOXEL)
        steps_SX = np.rint(values_SX / STEP).clip(-_LARGEST, _LARGEST)
        return (steps_SX * _like(is_present_S, image_SX)).astype(np.int8)

    def find_head(self) -> np.ndarray:
        """Voxels where training images show the head in some sequence. Shape (X,)."""
        return self.mean_SX.max(axis=0) > _HEAD_LEVEL

    def save(self, folder: Path) -> None:
        """Write the maps beside exported encoders."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"mean": self.mean_SX, "deviation": self.deviation_SX}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Standardiser:
        """Read the maps that ``save`` wrote."""
        maps = load_file(folder / FILE)
        return cls(maps["mean"], maps["deviation"])


def _standardise_heads(image_SX: np.ndarray) -> np.ndarray:
    """Subtract the mean of each volume's head and divide by its spread."""
    axes = tuple(range(1, image_SX.ndim))
    values_SX = image_SX.astype(np.float32)
    is_head_SX = image_SX > _FOREGROUND
    number = np.maximum(is_head_SX.sum(axis=axes, keepdims=True), 1)
    mean = (values_SX * is_head_SX).sum(axis=axes, keepdims=True) / number
    centred_SX = values_SX - mean
    spread = np.sqrt((centred_SX**2 * is_head_SX).sum(axis=axes, keepdims=True) / number)
    return centred_SX / (spread + _MIN_SPREAD_OF_HEAD)


def _mirrored(values_SX: np.ndarray) -> np.ndarray:
    return (values_SX + values_SX[:, ::-1]) / 2


def _like(values_S: np.ndarray, image_SX: np.ndarray) -> np.ndarray:
    return values_S.reshape(-1, *(1 for _ in image_SX.shape[1:]))
