"""Regions of the atlas on the patches of each study: what ``register_atlas`` wrote.

Shape suffixes: N studies, R regions, P patches in row-major order of their grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import atlas_tables, tables, tensors

_OTHER_SIDE = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Region:
    """One region: a site, or one side of it.

    Attributes:
        number: its row in the weights.
        name: side and site, e.g. ``left frontal_lobe``; the site alone where it is not divided.
        site: site code of the lexicon.
        side: left or right of the patient; None where the site is not divided.
    """

    number: int
    name: str
    site: str
    side: str | None


class RegionStore:
    """Weights of every study, in memory as bytes.

    Attributes:
        regions: the regions, in the order of R.
        grid: patches along each axis; P is their product.
        status: status of each study's registration; only ``ok`` has weights that are not 0.
    """

    def __init__(
        self,
        regions: Sequence[Region],
        grid: Sequence[int],
        status: dict[str, str],
        weight_NRP: np.ndarray,
    ) -> None:
        self.regions = tuple(regions)
        self.grid = tuple(grid)
        self.status = status
        self._rows = {study_id: row for row, study_id in enumerate(status)}
        self._weight_NRP = weight_NRP

    @classmethod
    def load(cls, folder: Path, num_patches: int | None = None) -> RegionStore:
        """Read regions, registrations and weights.

        Args:
            folder: where ``register_atlas`` wrote them.
            num_patches: P that the caller expects.

        Raises:
            FileNotFoundError: if a file is missing.
            ValueError: if the files do not belong together, or P is not what the caller expects.
        """
        path = folder / atlas_tables.WEIGHTS
        rows = tables.read(folder / atlas_tables.REGION_TABLE, atlas_tables.REGIONS).to_pylist()
        registrations = tables.read(
            folder / atlas_tables.REGISTRATION_TABLE, atlas_tables.REGISTRATIONS, ["study_id", "status"]
        )
        status = dict(zip(*(registrations[name].to_pylist() for name in ("study_id", "status")), strict=True))
        weight_NRP = tensors.read(path, [atlas_tables.WEIGHT_KEY])[atlas_tables.WEIGHT_KEY]
        about = tensors.read_metadata(path)
        expected = (len(status), len(rows), math.prod(about["grid"]))
        if weight_NRP.shape != expected:
            raise ValueError(f"{path}: shape {weight_NRP.shape}, expected {expected} by its tables; run `dvc repro`")
        if num_patches not in (None, expected[2]):
            raise ValueError(
                f"{path}: {expected[2]} patches of {about['patch_size']} voxels, expected {num_patches}; "
                "let register_atlas.patch_size equal pretrain.image.patch_size and run `dvc repro register_atlas`"
            )
        return cls([Region(**row) for row in rows], about["grid"], status, weight_NRP)

    def weights(self, study_ids: Sequence[str]) -> np.ndarray:
        """Share of each patch that lies in each region, in [0, 1]; float32, shape (N, R, P).

        Raises:
            KeyError: if a study is not in the atlas.
        """
        unknown = [study_id for study_id in study_ids if study_id not in self._rows]
        if unknown:
            raise KeyError(f"atlas: no study {unknown[0]} ({len(unknown)} unknown); rerun register_atlas")
        rows = np.array([self._rows[study_id] for study_id in study_ids], dtype=np.int64)
        return self._weight_NRP[rows].astype(np.float32) / np.float32(255)


def mirror(weights: np.ndarray, regions: Sequence[Region], grid: Sequence[int]) -> np.ndarray:
    """Weights of the image that is flipped left to right, with its sides named anew.

    Args:
        weights: shape (..., R, P).
        regions: the regions, in the order of R.
        grid: patches along each axis, of which the first runs from left to right.

    Raises:
        ValueError: if the shapes do not belong together.
    """
    if weights.shape[-2:] != (len(regions), math.prod(grid)):
        raise ValueError(
            f"weights: shape {weights.shape}, expected (..., {len(regions)}, {math.prod(grid)}) "
            f"for {len(regions)} regions on a grid of {tuple(grid)} patches"
        )
    numbers = {(region.site, region.side): row for row, region in enumerate(regions)}
    partners = [numbers[region.site, _OTHER_SIDE.get(region.side or "")] for region in regions]
    patches = np.flip(np.arange(math.prod(grid)).reshape(grid), axis=0).ravel()
    return weights[..., partners, :][..., patches]
