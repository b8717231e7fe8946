"""Prepare the studies of a cohort on all cores; only new or changed ones cost time."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, cpu_count, delayed
from tqdm import tqdm

from stages.artifacts import tensors
from stages.imaging import defacing, grid, quality, volumes
from stages.imaging.shards import shard_name, write_shard
from stages.imaging.volumes import VolumeParams, figures_as_dict, prepare_study, select_volumes

# Starting worker processes does not pay below this many studies each.
_STUDIES_PER_WORKER = 8

Row = dict[str, Any]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyTask:
    """The series of one study, ordered by content, and where their prepared volumes are kept."""

    rows: tuple[Row, ...]
    cache: Path


def plan_studies(series: Sequence[Row], params: VolumeParams, work: Path) -> list[StudyTask]:
    """Group series by study, in the order in which studies first appear.

    The cache file of a study is named by the content of its images and lies in a folder named by code and
    parameters, so that neither a changed image nor changed code meets an old result.
    """
    studies: dict[str, list[Row]] = {}
    for row in series:
        studies.setdefault(row["study_id"], []).append(row)
    folder = work / _version(params)
    return [_task(rows, folder) for rows in studies.values()]


def prepare_missing(tasks: Sequence[StudyTask], nifti_root: Path, params: VolumeParams) -> int:
    """Prepare every study that the cache does not hold yet.

    Returns:
        The number of studies prepared.
    """
    missing = list({task.cache: task for task in tasks if not task.cache.is_file()}.values())
    num_workers = max(1, min(cpu_count(), len(missing) // _STUDIES_PER_WORKER))
    jobs = (delayed(_prepare_into_cache)(task, nifti_root, params) for task in missing)
    done = Parallel(n_jobs=num_workers, return_as="generator_unordered")(jobs)
    for _ in tqdm(done, total=len(missing), desc="studies", disable=not sys.stderr.isatty()):
        pass
    return len(missing)


def assemble(tasks: Sequence[StudyTask], out: Path, params: VolumeParams) -> list[Row]:
    """Write the shards, one at a time, and return the rows of ``volumes.parquet`` in the order of the tasks."""
    buckets: dict[str, list[StudyTask]] = {}
    for task in tasks:
        buckets.setdefault(shard_name(task.rows[0]["study_id"], params.shard_prefix_digits), []).append(task)
    rows_by_series: dict[str, Row] = {}
    for shard, members in sorted(buckets.items()):
        contents = {}
        for row, volume in _cached_volumes(members):
            contents[row["series_id"]] = volume
            rows_by_series[row["series_id"]] = row | {"shard": shard, "key": row["series_id"]}
        if contents:
            write_shard(out, shard, contents)
    rows = [
        rows_by_series[row["series_id"]] for task in tasks for row in task.rows if row["series_id"] in rows_by_series
    ]
    _forget_failures(tasks, rows_by_series)
    chosen = select_volumes(rows, params.min_coverage)
    return [row | {"is_selected": is_selected} for row, is_selected in zip(rows, chosen, strict=True)]


def _cached_volumes(tasks: Sequence[StudyTask]) -> Iterator[tuple[Row, np.ndarray]]:
    for task in tasks:
        arrays = tensors.read(task.cache)
        figures = tensors.read_metadata(task.cache)["figures"]
        for index, (row, measured) in enumerate(zip(task.rows, figures, strict=True)):
            if measured is None:
                logger.warning(
                    "series %s: left out; its file cannot be read as an image, or (prepare_volumes.anonymisation) "
                    "no brain is found in its study",
                    row["series_id"],
                )
            else:
                yield row | measured, arrays[str(index)]


def _forget_failures(tasks: Sequence[StudyTask], prepared: Mapping[str, Row]) -> None:
    """Drop what the cache holds of studies with an unreadable series: the next run tries again."""
    for task in tasks:
        if any(row["series_id"] not in prepared for row in task.rows):
            task.cache.unlink(missing_ok=True)


def _prepare_into_cache(task: StudyTask, nifti_root: Path, params: VolumeParams) -> None:
    paths = [nifti_root / row["nifti"] for row in task.rows]
    prepared = prepare_study(paths, [row["sequence"] for row in task.rows], params)
    arrays = {str(index): item[0] for index, item in enumerate(prepared) if item is not None}
    figures = [figures_as_dict(item[1]) if item else None for item in prepared]
    tensors.write(task.cache, arrays, {"figures": figures})


def _task(rows: list[Row], folder: Path) -> StudyTask:
    ordered = tuple(sorted(rows, key=lambda row: (row["sha256"], row["sequence"])))
    content = json.dumps([(row["sha256"], row["sequence"]) for row in ordered])
    digest = hashlib.sha256(content.encode()).hexdigest()
    return StudyTask(ordered, folder / digest[:2] / f"{digest}.safetensors")


def _version(params: VolumeParams) -> str:
    """Hash of everything besides the images that the voxels depend on."""
    values = params.model_dump_json(include={"spacing_mm", "shape", "percentiles", "anonymisation"})
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (defacing, grid, quality, volumes))
    return hashlib.sha256(values.encode() + code).hexdigest()[:16]
