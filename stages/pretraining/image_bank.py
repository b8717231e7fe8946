"""The standardised voxels of every image, in one array where they fit, read anew where they do not.

Shape suffixes: N images, S sequences; X stands for the spatial axes (R, A, S in 3D).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from stages.pretraining.standardisation import Standardiser

_GIB = 2**30
# Images that the standardisation is measured on, at most.
_MAX_MEASURED = 1000


class VoxelSource(Protocol):
    """What reads one volume by its series, e.g. ``imaging.shards.VolumeStore``."""

    def read(self, series_id: str) -> np.ndarray:
        """Return the voxels, uint8."""
        ...


class ImageBank:
    """Images as arrays of all sequences, zero where a sequence is absent.

    Attributes:
        is_present_NS: which sequences each image has.
        shape: spatial shape of an image, in voxels.
        standardiser: what makes deviations of scanner intensities.
    """

    def __init__(
        self,
        source: VoxelSource,
        series: Sequence[dict[int, str]],
        num_sequences: int,
        *,
        standardise_by: Standardiser | np.ndarray,
        max_resident_gib: float,
    ) -> None:
        """Open the images, and load them at once if they take no more than ``max_resident_gib``.

        Args:
            source: where volumes are read.
            series: series of each image by the number of its sequence.
            num_sequences: S.
            standardise_by: a fitted standardiser, or the rows (of training images) to fit one on.
            max_resident_gib: memory that the images may take.

        Raises:
            ValueError: if there are no images.
        """
        if not series:
            raise ValueError("images: none of the sequences in pretrain.sequences was found; compare volumes.parquet")
        self._source = source
        self._series = series
        self.is_present_NS = np.zeros((len(series), num_sequences), dtype=bool)
        for row, own in enumerate(series):
            self.is_present_NS[row, list(own)] = True
        self.shape = source.read(next(iter(series[0].values()))).shape
        self.standardiser = standardise_by if isinstance(standardise_by, Standardiser) else self._fit(standardise_by)
        self._resident_NSX = None
        if len(series) * num_sequences * math.prod(self.shape) <= max_resident_gib * _GIB:
            self._resident_NSX = np.stack([self._standardised(row) for row in range(len(series))])

    def __len__(self) -> int:
        return len(self._series)

    def image(self, row: int) -> np.ndarray:
        """Return all sequences of one image, int8 in ``standardisation.STEP``; not to be written to. Shape (S, X)."""
        return self._standardised(row) if self._resident_NSX is None else self._resident_NSX[row]

    def _fit(self, rows: np.ndarray) -> Standardiser:
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _MAX_MEASURED)).astype(np.int64)]

        def images() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            for row in chosen:
                yield self._read(row), self.is_present_NS[row]

        return Standardiser.fit(images(), (self.is_present_NS.shape[1], *self.shape))

    def _standardised(self, row: int) -> np.ndarray:
        return self.standardiser.apply(self._read(row), self.is_present_NS[row])

    def _read(self, row: int) -> np.ndarray:
        image_SX = np.zeros((self.is_present_NS.shape[1], *self.shape), dtype=np.uint8)
        for sequence, series_id in self._series[row].items():
            voxels = self._source.read(series_id)
            if voxels.shape != self.shape:
                raise ValueError(
                    f"series {series_id}: shape {voxels.shape}, expected {self.shape} like the others; "
                    "rerun prepare_volumes"
                )
            image_SX[sequence] = voxels
        return image_SX
