"""Regions of the atlas for every study of a cohort, on all cores.

Shape suffixes: N studies, R regions, P patches.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from stages.artifacts.atlas_tables import NO_VOLUME, OK
from stages.imaging.grid import Grid
from stages.imaging.regions import RegionMap, list_regions
from stages.imaging.registration import Registrar, Registration, RegistrationParams
from stages.imaging.shards import VolumeStore
from stages.imaging.template import load_maps

# Studies that a worker takes at a time.
_CHUNK = 32


@dataclass(frozen=True)
class StudyTask:
    """A study and the volume that is registered: its series, sequence and affine, or None."""

    study_id: str
    series_id: str | None = None
    sequence: str | None = None
    affine: tuple[float, ...] = ()


@dataclass(frozen=True)
class Atlas:
    """What is known of every study.

    Attributes:
        rows: columns of ``registrations.parquet``.
        weight_NRP: share of each patch in each region times 255, uint8.
        grid: patches along each axis.
    """

    rows: list[dict[str, Any]]
    weight_NRP: np.ndarray
    grid: tuple[int, ...]


def plan_studies(rows: Sequence[dict[str, Any]], sequences: Sequence[str]) -> list[StudyTask]:
    """Choose the volume of each study, in the order in which studies first appear.

    Args:
        rows: columns of ``volumes.parquet``.
        sequences: the first of these that a study has is registered.
    """
    rank = {sequence: position for position, sequence in enumerate(sequences)}
    tasks: dict[str, StudyTask] = {}
    for row in rows:
        known = tasks.setdefault(row["study_id"], StudyTask(row["study_id"]))
        position = rank.get(row["sequence"])
        if row["is_selected"] and position is not None and position < rank.get(known.sequence or "", len(rank)):
            place = (row["series_id"], row["sequence"], tuple(row["affine"]))
            tasks[row["study_id"]] = StudyTask(row["study_id"], *place)
    return list(tasks.values())


def register_studies(store: VolumeStore, params: RegistrationParams, num_workers: int | None = None) -> Atlas:
    """Register every study and carry the regions to its patches.

    Args:
        store: the volumes.
        params: values of ``register_atlas``.
        num_workers: processes; as many as there are cores by default, fewer for few studies.

    Raises:
        ValueError: if patches do not fill the volumes.
    """
    tasks = plan_studies(store.table.to_pylist(), params.sequences)
    grid = _patch_grid(store, params.patch_size)
    chunks = [tasks[start : start + _CHUNK] for start in range(0, len(tasks), _CHUNK)]
    num_workers = num_workers or max(1, min(cpu_count(), len(chunks)))
    jobs = (delayed(_register_chunk)(store, chunk, params) for chunk in chunks)
    weight_NRP = np.zeros((len(tasks), len(list_regions()), int(np.prod(grid))), dtype=np.uint8)
    rows: list[dict[str, Any]] = []
    results = Parallel(n_jobs=num_workers, return_as="generator")(jobs)
    for done in tqdm(results, total=len(chunks), desc="studies", disable=not sys.stderr.isatty()):
        for row, weight_RP in done:
            if weight_RP is not None:
                weight_NRP[len(rows)] = weight_RP
            rows.append(row)
    return Atlas(rows, weight_NRP, grid)


def _register_chunk(
    store: VolumeStore, tasks: Sequence[StudyTask], params: RegistrationParams
) -> list[tuple[dict[str, Any], np.ndarray | None]]:
    registrar, regions = _tools(params)
    return [_register_study(store, task, registrar, regions, params.patch_size) for task in tasks]


@cache
def _tools(params: RegistrationParams) -> tuple[Registrar, RegionMap]:
    """Template and regions, once for each process."""
    maps = load_maps()
    return Registrar(maps, params), RegionMap.draw(maps)


def _register_study(
    store: VolumeStore, task: StudyTask, registrar: Registrar, regions: RegionMap, patch_size: int
) -> tuple[dict[str, Any], np.ndarray | None]:
    if task.series_id is None:
        return _row(task, Registration(NO_VOLUME)), None
    volume = store.read(task.series_id)
    grid = Grid(np.reshape(task.affine, (4, 4)), (volume.shape[0], volume.shape[1], volume.shape[2]))
    found = registrar.register(volume, grid)
    if found.status != OK or found.to_mni is None:
        return _row(task, found), None
    return _row(task, found), regions.carry(found.to_mni, grid, patch_size)


def _row(task: StudyTask, found: Registration) -> dict[str, Any]:
    return {
        "study_id": task.study_id,
        "status": found.status,
        "sequence": task.sequence,
        "metric": found.metric,
        "overlap": found.overlap,
        "determinant": found.determinant,
        "affine": None if found.to_mni is None else found.to_mni.ravel().tolist(),
    }


def _patch_grid(store: VolumeStore, patch_size: int) -> tuple[int, ...]:
    """Patches along each axis; all volumes have one shape."""
    if not len(store.table):
        return (0, 0, 0)
    shape = store.read(store.table["series_id"][0].as_py()).shape
    if any(size % patch_size for size in shape):
        raise ValueError(
            f"register_atlas: volumes of shape {shape}, expected axes divisible by {patch_size}; "
            "change prepare_volumes.shape or register_atlas.patch_size"
        )
    return tuple(size // patch_size for size in shape)
