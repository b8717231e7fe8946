"""Bring the lesion masks of a cohort to the grids of its volumes, keyed by study."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from stages.artifacts import mask_tables, tables, tensors, truth_tables
from stages.artifacts.identity import SiteKey
from stages.imaging.grid import Grid
from stages.imaging.mask_preparation import find_masks, lesion_rows, resample_masks
from stages.imaging.shards import VolumeStore

logger = logging.getLogger(__name__)


def main(
    masks: Annotated[Path, typer.Option(help="Folder with `<accession number>.nii.gz`; may be empty.")],
    site_key: Annotated[Path, typer.Option(help="Key that study ids are hashed under.")],
    volumes: Annotated[Path, typer.Option(help="Folder with volumes.parquet and its shards.")],
    truth: Annotated[Path, typer.Option(help="Folder with lesions.parquet and studies.parquet, by study.")],
    out: Annotated[Path, typer.Option(help="Folder for masks.parquet and masks.safetensors.")],
) -> None:
    """Write a label map (uint8; R, A, S) of every study whose lesions are known, and a row for each lesion.

    A study that the truth calls normal needs no mask file: its label map is all zero.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    key = SiteKey.load(site_key) if site_key.is_file() else None
    files = list(find_masks(masks, key)) if key else []
    grids = _read_grids(VolumeStore(volumes)) if files else {}
    maps = resample_masks(files, grids)
    if maps:
        maps |= {study_id: _nothing(grids) for study_id in _normal_studies(truth) if study_id in grids.keys() - maps}
    rows, about = _describe(maps, grids, truth)
    tensors.write(out / mask_tables.MASK_MAPS, dict(sorted(maps.items())), about)
    tables.write(out / mask_tables.MASK_TABLE, tables.from_rows(mask_tables.MASKS, rows), mask_tables.MASKS)
    if not maps:
        missing = "the cohort has no usable masks" if key else "no site key, so no mask can be told by its study"
        logger.info("prepare_masks: %s; segmentation and localisation will be empty", missing)
    logger.info("prepare_masks: %d studies, %d with lesions, %d lesions", len(maps), _num_studies(rows), len(rows))


def _read_grids(store: VolumeStore) -> dict[str, Grid]:
    """Grid of every study; its volumes share one, and all grids have one shape."""
    names = ("study_id", "series_id", "affine")
    rows = list(zip(*(store.table[name].to_pylist() for name in names), strict=True))
    shape = store.read(rows[0][1]).shape if rows else (0, 0, 0)
    return {study_id: Grid(np.reshape(affine, (4, 4)), (shape[0], shape[1], shape[2])) for study_id, _, affine in rows}


def _normal_studies(truth: Path) -> list[str]:
    studies = tables.read(truth / "studies.parquet", truth_tables.LINKED_STUDIES, ["study_id", "is_normal"])
    return [row["study_id"] for row in studies.to_pylist() if row["is_normal"]]


def _nothing(grids: dict[str, Grid]) -> np.ndarray:
    return np.zeros(next(iter(grids.values())).shape, dtype=np.uint8)


def _describe(
    maps: dict[str, np.ndarray], grids: dict[str, Grid], truth: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of the table, and the voxel spacing of the label maps in mm (one for all studies)."""
    if not maps:
        return [], {"spacing_mm": None}
    lesions = tables.read(truth / "lesions.parquet", truth_tables.LINKED_LESIONS, ["study_id", "lesion", "finding"])
    findings = {(row["study_id"], row["lesion"]): row["finding"] for row in lesions.to_pylist()}
    spacing_mm = np.linalg.norm(next(iter(grids.values())).affine[:3, :3], axis=0)
    rows = lesion_rows(maps, findings, float(spacing_mm.prod()) / 1000.0)
    return list(rows), {"spacing_mm": spacing_mm.tolist()}


def _num_studies(rows: list[dict[str, Any]]) -> int:
    return len({row["study_id"] for row in rows})


if __name__ == "__main__":
    typer.run(main)
