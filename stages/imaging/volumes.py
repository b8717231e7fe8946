"""From the NIfTI files of a study to uint8 volumes on one grid, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydantic import Field

from stages.imaging.grid import Grid, Image, head_centre_mm, resample
from stages.imaging.quality import head_mask, signal_to_noise, thin, tilt_deg
from stages.params import Params

# Which sequence a study is centred on, among those that show about as much of the head.
_REFERENCE_ORDER = ("T1", "T2", "FLAIR", "PD", "T1C", "SWI", "DWI", "ADC", "OTHER")
# Diffusion-weighted images are read at this weighting; those at b = 0 are T2 images.
_DIFFUSION_B_VALUE_S_MM2 = 1000.0

Triple = tuple[float, float, float]


class VolumeParams(Params):
    """Values of ``prepare_volumes``; axes R, A, S."""

    spacing_mm: Triple = Field(description="voxel spacing of the common grid")
    shape: tuple[int, int, int] = Field(description="voxels of the common grid")
    percentiles: tuple[float, float] = Field(description="intensities that become 0 and 255")
    min_coverage: float = Field(ge=0, le=1, description="least share of the grid that a usable series covers")
    shard_prefix_digits: int = Field(ge=1, le=4, description="digits of the study id that name its shard")
    num_montages: int = Field(ge=0, description="studies drawn for visual control")


@dataclass(frozen=True)
class Figures:
    """Columns of ``volumes.parquet`` that are measured on the image; affine row-major, in mm."""

    affine: list[float]
    intensity_low: float
    intensity_high: float
    is_constant: bool
    foreground_fraction: float
    coverage: float
    signal_to_noise: float | None
    clipped_fraction: float
    tilt_deg: float


def read_image(path: Path) -> Image:
    """Read a NIfTI file; repeats along a fourth axis are averaged, values that are not finite become 0.

    Raises:
        ValueError: if it is not an image in three dimensions with a usable affine.
    """
    file = nib.load(path)
    if not isinstance(file, nib.spatialimages.SpatialImage):
        raise ValueError(f"a {type(file).__name__}, expected an image with voxel axes in mm")
    voxels = np.ascontiguousarray(file.dataobj, dtype=np.float32)
    if voxels.ndim < 3 or 0 in voxels.shape:
        raise ValueError(f"image of shape {voxels.shape}, expected three axes")
    if voxels.ndim > 3:
        voxels = voxels.reshape(*voxels.shape[:3], -1).mean(axis=-1)
    affine = np.asarray(file.affine, dtype=np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError("affine is singular or not finite, expected voxel axes in mm")
    return Image(np.nan_to_num(voxels, copy=False, nan=0.0, posinf=0.0, neginf=0.0), affine)


def reference_index(images: Sequence[Image | None], sequences: Sequence[str]) -> int:
    """Choose the image that a study is centred on: the most in view (whole litres), then by sequence."""

    def rank(index: int) -> tuple[int, int]:
        image = images[index]
        litres = round(image.field_of_view_ml / 1000) if image is not None else -1
        return -litres, _REFERENCE_ORDER.index(sequences[index])

    return min(range(len(images)), key=rank)


def prepare_study(
    paths: Sequence[Path], sequences: Sequence[str], params: VolumeParams
) -> list[tuple[np.ndarray, Figures] | None]:
    """Bring all series of a study to one grid centred on the head.

    Args:
        paths: NIfTI files, in an order that does not depend on ids.
        sequences: identified sequence of each.
        params: spacing, shape and intensity window.

    Returns:
        For each series its volume (uint8; R, A, S) and figures, or None where the file cannot be read.
    """
    images = [_read_or_none(path) for path in paths]
    reference = images[reference_index(images, sequences)]
    if reference is None:
        return [None] * len(images)
    centre_mm = head_centre_mm(reference, height_mm=params.spacing_mm[2] * params.shape[2])
    grid = Grid.centred(centre_mm, params.spacing_mm, params.shape)
    return [prepare_volume(image, grid, params.percentiles) if image else None for image in images]


def prepare_volume(image: Image, grid: Grid, percentiles: tuple[float, float]) -> tuple[np.ndarray, Figures]:
    """Resample one image to a grid and scale it to uint8, with its quality figures."""
    sample, _ = thin(image.voxels)
    signal = sample[sample != 0]
    is_constant = bool(image.voxels.min() == image.voxels.max())
    low, high = _intensity_window(signal, percentiles)
    values, is_inside = resample(image, grid)
    volume = np.zeros(grid.shape, dtype=np.uint8)
    if not is_constant:
        scaled = np.clip((values - low) / (high - low), 0.0, 1.0) * 255.0
        volume = np.where(is_inside, np.rint(scaled), 0.0).astype(np.uint8)
    figures = Figures(
        affine=grid.affine.ravel().tolist(),
        intensity_low=low,
        intensity_high=high,
        is_constant=is_constant,
        foreground_fraction=float(head_mask(volume.astype(np.float32)).mean()),
        coverage=float(is_inside.mean()),
        signal_to_noise=signal_to_noise(sample, head_mask(sample)),
        clipped_fraction=float(((signal < low) | (signal > high)).mean()) if signal.size else 0.0,
        tilt_deg=tilt_deg(image.affine),
    )
    return volume, figures


def select_volumes(rows: Sequence[Mapping[str, Any]], min_coverage: float) -> list[bool]:
    """Choose one volume for each (study, sequence).

    Constant images and those that miss most of the head are never chosen. Among the others: the usual
    diffusion weighting, then coverage (in tenths), then the finest voxels, the most slices, and last the
    content of the file, so that nothing hangs on an id.

    Args:
        rows: columns of ``series.parquet`` and ``Figures`` of each volume.
        min_coverage: least share of the grid that must be covered.

    Returns:
        Whether each row is chosen.
    """
    best: dict[tuple[str, str], tuple[tuple[Any, ...], int]] = {}
    for index, row in enumerate(rows):
        if row["is_constant"] or row["coverage"] < min_coverage:
            continue
        candidate = (_selection_rank(row), index)
        group = (row["study_id"], row["sequence"])
        best[group] = min(best.get(group, candidate), candidate)
    chosen = {index for _, index in best.values()}
    return [index in chosen for index in range(len(rows))]


def figures_as_dict(figures: Figures | None) -> dict[str, Any] | None:
    """Turn figures into what JSON can hold."""
    return asdict(figures) if figures else None


def _selection_rank(row: Mapping[str, Any]) -> tuple[Any, ...]:
    b_value = row.get("b_value_s_mm2")
    weighting = abs((b_value or 0.0) - _DIFFUSION_B_VALUE_S_MM2) if row["sequence"] == "DWI" else 0.0
    voxel_ml = float(np.prod(row["spacing_mm"]))
    return weighting, -round(row["coverage"] * 10), round(voxel_ml, 3), -row["num_slices"], row["sha256"]


def _read_or_none(path: Path) -> Image | None:
    # Whatever a damaged file raises (gzip, nibabel, numpy) costs this series only; it is counted by the caller.
    try:
        return read_image(path)
    except Exception:  # noqa: BLE001
        return None


def _intensity_window(signal: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Intensities that become 0 and 255; the whole range where the percentiles coincide."""
    if not signal.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(signal, percentiles))
    return (low, high) if high > low else (min(0.0, float(signal.min())), float(signal.max()))
