"""Prepare the studies of a cohort on all cores; only new or changed ones cost time."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from tqdm import tqdm

from stages.artifacts import disk, tensors, watchdog
from stages.imaging import defacing, grid, quality, volumes
from stages.imaging.shards import shard_name, write_shard
from stages.imaging.volumes import VolumeParams, figures_as_dict, prepare_study, select_volumes

# safetensors gives a file its name when it is whole; until then it is called this.
_HALF_WRITTEN = "*/??/.tmp*"
_FAULTS = {
    "time": "took longer than prepare_volumes.study_timeout_s",
    "memory": "asked for more memory than prepare_volumes.study_memory_gib",
    "crash": "crashed the process that read it",
}

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
    """Prepare every study that the cache does not hold yet; one that cannot be is left out with a warning.

    Returns:
        The number of studies prepared.

    Raises:
        DiskFullError: if there is no room in the cache.
    """
    missing = list({task.cache: task for task in tasks if not task.cache.is_file()}.values())
    results = watchdog.run(
        partial(_prepare_into_cache, nifti_root=nifti_root, params=params),
        [[task] for task in missing],
        num_workers=min(cpu_count(), len(missing)),
        timeout_s=params.study_timeout_s,
        memory_bytes=int(params.study_memory_gib * 2**30),
    )
    num_failed = 0
    for number, (answer,) in tqdm(results, total=len(missing), desc="studies", disable=not sys.stderr.isatty()):
        if isinstance(answer, watchdog.Failure):
            num_failed += 1
            study_id = missing[number].rows[0]["study_id"]
            logger.warning("study %s: %s; left out", study_id, _FAULTS[answer.kind])
    return len(missing) - num_failed


def forget_unused(tasks: Sequence[StudyTask], work: Path, params: VolumeParams) -> int:
    """Remove from the cache what no run has used for some days, and at once what a killed process half wrote.

    Returns:
        The number of files removed: other studies, parameters and code.
    """
    for path in work.glob(_HALF_WRITTEN):
        path.unlink(missing_ok=True)
    used = {task.cache for task in tasks}
    return disk.prune(work.glob("*/??/*.safetensors*"), lambda path: path in used, params.keep_days)


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
        if not task.cache.is_file():
            continue  # it could not be prepared, which was said then
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
    if params.anonymisation != "none":
        defacing.use_one_thread()
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
