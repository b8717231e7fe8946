"""From the NIfTI files of a study to uint8 volumes on one grid, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import nibabel as nib
import numpy as np
from nibabel.spatialimages import SpatialImage
from pydantic import Field, PositiveFloat, PositiveInt

from stages.imaging.defacing import Anonymisation, find_brain, kept_voxels
from stages.imaging.grid import Grid, Image, head_centre_mm, resample
from stages.imaging.quality import head_mask, signal_to_noise, thin, tilt_deg
from stages.params import Params

# Which sequence a study is centred on, among those that show about as much of the head.
_REFERENCE_ORDER = ("T1", "T2", "FLAIR", "PD", "T1C", "SWI", "DWI", "ADC", "OTHER")
# Diffusion-weighted images are read at this weighting; those at b = 0 are T2 images.
_DIFFUSION_B_VALUE_S_MM2 = 1000.0
# Voxels smaller than this stand for an affine without extent.
_MIN_VOXEL_MM3 = 1e-9

ResultT = TypeVar("ResultT")


class VolumeParams(Params):
    """Values of ``prepare_volumes``; axes R, A, S."""

    spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        description="voxel spacing of the common grid"
    )
    shape: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(description="voxels of the common grid")
    percentiles: tuple[float, float] = Field(description="intensities that become 0 and 255")
    min_coverage: float = Field(ge=0, le=1, description="least share of the grid that a usable series covers")
    shard_prefix_digits: int = Field(ge=1, le=4, description="digits of the study id that name its shard")
    num_montages: int = Field(ge=0, description="studies drawn for visual control")
    anonymisation: Anonymisation = Field(default="none", description="none, deface or brain: what is left of the head")
    study_timeout_s: float = Field(default=600.0, gt=0, description="time that preparing one study may take")
    study_memory_gib: float = Field(default=16.0, gt=0, description="memory that preparing one study may ask for")
    keep_days: float = Field(default=30.0, ge=0, description="days that the cache keeps what no run has used")


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
    file = _open(path)
    voxels = np.ascontiguousarray(file.dataobj, dtype=np.float32)
    if voxels.ndim > 3:
        voxels = voxels.reshape(*voxels.shape[:3], -1).mean(axis=-1)
    voxels = np.nan_to_num(voxels, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return Image(voxels, np.asarray(file.affine, dtype=np.float64))


def field_of_view_ml(path: Path) -> float:
    """Volume of space that the image of a NIfTI file fills, read from its header.

    Raises:
        ValueError: if it is not an image in three dimensions with a usable affine.
    """
    file = _open(path)
    return float(abs(np.linalg.det(file.affine[:3, :3])) * np.prod(file.shape[:3]) / 1000.0)


def prepare_study(
    paths: Sequence[Path], sequences: Sequence[str], params: VolumeParams
) -> list[tuple[np.ndarray, Figures] | None]:
    """Bring all series of a study to one grid centred on the head; one image is in memory at a time.

    Args:
        paths: NIfTI files, in an order that does not depend on ids.
        sequences: identified sequence of each.
        params: spacing, shape and intensity window.

    Returns:
        For each series its volume (uint8; R, A, S) and figures, or None where the file cannot be read, and for
        all series where faces are to be taken off and no brain is found.

    Raises:
        MemoryError: if it asks for more memory than the process may take.
    """
    grid = study_grid(paths, sequences, params)
    if grid is None:
        return [None] * len(paths)
    is_kept = None if params.anonymisation == "none" else study_mask(paths, sequences, grid, params.anonymisation)
    if params.anonymisation != "none" and is_kept is None:
        return [None] * len(paths)
    images = (_or_none(read_image, path) for path in paths)
    return [prepare_volume(image, grid, params.percentiles, is_kept) if image else None for image in images]


def study_mask(
    paths: Sequence[Path], sequences: Sequence[str], grid: Grid, anonymisation: Anonymisation
) -> np.ndarray | None:
    """Find what may be shown of a study: by its T1, else by the next series that shows a brain.

    Returns:
        The voxels of the grid to keep, shape (R, A, S), or None where no series shows a brain.
    """
    for index in sorted(range(len(paths)), key=lambda index: _REFERENCE_ORDER.index(sequences[index])):
        image = _or_none(read_image, paths[index])
        brain = find_brain(image) if image else None
        if image is not None and brain is not None:
            return kept_voxels(brain, image, grid, anonymisation)
    return None


def study_grid(paths: Sequence[Path], sequences: Sequence[str], params: VolumeParams) -> Grid | None:
    """Lay the grid of a study around the head in its reference series.

    The reference is the series with the most in view (whole litres), then by sequence; an unreadable one
    gives way to the next.

    Returns:
        The grid, or None where no series can be read.
    """

    def rank(index: int) -> tuple[int, int]:
        volume_ml = _or_none(field_of_view_ml, paths[index]) or 0.0
        return -round(volume_ml / 1000), _REFERENCE_ORDER.index(sequences[index])

    for index in sorted(range(len(paths)), key=rank):
        image = _or_none(read_image, paths[index])
        if image is not None:
            centre_mm = head_centre_mm(image, height_mm=params.spacing_mm[2] * params.shape[2])
            return Grid.centred(centre_mm, params.spacing_mm, params.shape)
    return None


def prepare_volume(
    image: Image, grid: Grid, percentiles: tuple[float, float], is_kept: np.ndarray | None = None
) -> tuple[np.ndarray, Figures]:
    """Resample one image to a grid and scale it to uint8, with its quality figures.

    Args:
        image: the series.
        grid: grid of its study.
        percentiles: intensities that become 0 and 255.
        is_kept: voxels of the grid that may be shown, shape (R, A, S); all others become 0. None shows all.
    """
    sample, _ = thin(image.voxels)
    signal = sample[sample != 0]
    is_constant = bool(image.voxels.min() == image.voxels.max())
    low, high = _intensity_window(signal, percentiles)
    values, is_inside = resample(image, grid)
    volume = np.zeros(grid.shape, dtype=np.uint8)
    if not is_constant:
        scaled = np.clip((values - low) / (high - low), 0.0, 1.0) * 255.0
        is_shown = is_inside if is_kept is None else is_inside & is_kept
        volume = np.where(is_shown, np.rint(scaled), 0.0).astype(np.uint8)
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


def _open(path: Path) -> SpatialImage:
    file = nib.load(path)
    if not isinstance(file, SpatialImage) or len(file.shape) < 3 or 0 in file.shape:
        raise ValueError(f"a {type(file).__name__} of shape {getattr(file, 'shape', None)}, expected three axes")
    if not np.isfinite(file.affine).all() or abs(np.linalg.det(file.affine[:3, :3])) < _MIN_VOXEL_MM3:
        raise ValueError("affine is singular or not finite, expected voxel axes in mm")
    return file


def _or_none(read: Callable[[Path], ResultT], path: Path) -> ResultT | None:
    # Whatever a damaged file raises (gzip, nibabel, numpy) costs this series only; it is counted by the caller.
    # Too little memory is no fault of the file: without it the study might be centred on another series.
    try:
        return read(path)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001
        return None


def _intensity_window(signal: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Intensities that become 0 and 255; the whole range where the percentiles coincide."""
    if not signal.size:
        return 0.0, 0.0
    low, high = (float(value) for value in np.percentile(signal, percentiles))
    return (low, high) if high > low else (min(0.0, float(signal.min())), float(signal.max()))
