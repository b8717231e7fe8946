"""The lesion masks of a cohort, keyed by study and brought to the grids of its volumes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, cpu_count, delayed

from stages.artifacts.identity import SiteKey
from stages.artifacts.mask_tables import UNNAMED_FINDING
from stages.imaging.grid import Grid
from stages.imaging.masks import read_label_map, resample_labels

# Starting worker processes does not pay below this many masks each.
_MASKS_PER_WORKER = 64
_SUFFIXES = (".nii.gz", ".nii")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resampled:
    """A label map on the grid of its study, or why there is none.

    Attributes:
        labels: uint8 (R, A, S), None where the mask cannot be used.
        reason: why not.
        num_lost: lesions that the grid does not show: outside it, or in one voxel with others.
    """

    labels: np.ndarray | None
    reason: str = ""
    num_lost: int = 0


def find_masks(folder: Path, key: SiteKey) -> Iterator[tuple[str, Path]]:
    """Yield study and file of every mask, named `<accession number>.nii.gz` or `.nii`, ordered by name."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        suffix = next((suffix for suffix in _SUFFIXES if path.name.lower().endswith(suffix)), None)
        if suffix and path.is_file():
            yield key.study_id(path.name[: -len(suffix)]), path


def resample_masks(files: Iterable[tuple[str, Path]], grids: Mapping[str, Grid]) -> dict[str, np.ndarray]:
    """Read masks and bring each to the grid of its study; one that cannot be used costs itself only.

    Args:
        files: study and path of every mask.
        grids: grid of every study.

    Returns:
        Label maps by study, uint8 (R, A, S); all zero where the mask holds no lesion. What is left out
        is counted in one line of the log.
    """
    known: dict[str, Path] = {}
    lost: Counter[str] = Counter()
    for study_id, path in files:
        if study_id not in grids:
            lost["of no study with volumes"] += 1
        elif study_id in known:
            lost["a second one of their study"] += 1
        else:
            known[study_id] = path
    jobs = (delayed(resample_file)(path, grids[study_id]) for study_id, path in known.items())
    num_workers = max(1, min(cpu_count(), len(known) // _MASKS_PER_WORKER))
    done = dict(zip(known, Parallel(n_jobs=num_workers)(jobs), strict=True))
    lost.update(result.reason for result in done.values() if result.labels is None)
    if lost:
        logger.warning("masks left out: %s", ", ".join(f"{count} {reason}" for reason, count in sorted(lost.items())))
    if num_lost := sum(result.num_lost for result in done.values()):
        logger.warning("masks: %d lesions lie outside the grid of their study, or hidden in a voxel", num_lost)
    return {study_id: result.labels for study_id, result in done.items() if result.labels is not None}


def resample_file(path: Path, grid: Grid) -> Resampled:
    """Read one mask and bring it to a grid."""
    # Whatever a damaged file raises (gzip, nibabel, numpy) costs this study only.
    try:
        mask = read_label_map(path)
    except Exception:  # noqa: BLE001
        return Resampled(None, "unreadable or no label map")
    labels = resample_labels(mask, grid)
    num_lesions, num_kept = (len(np.unique(values[values > 0])) for values in (mask.voxels, labels))
    if num_lesions and not num_kept:
        return Resampled(None, "without a lesion inside the grid of the volumes")
    return Resampled(labels, num_lost=num_lesions - num_kept)


def lesion_rows(
    maps: Mapping[str, np.ndarray], findings: Mapping[tuple[str, int], str], voxel_ml: float
) -> Iterator[dict[str, Any]]:
    """Say what each label of each study is.

    Args:
        maps: label maps by study.
        findings: finding of each (study, lesion number) that the truth knows; a label is lesion number + 1.
        voxel_ml: volume of a voxel of the grid.
    """
    for study_id, labels in maps.items():
        for label, count in zip(*np.unique(labels[labels > 0], return_counts=True), strict=True):
            lesion = int(label) - 1
            finding = findings.get((study_id, lesion))
            yield {
                "study_id": study_id,
                "lesion": None if finding is None else lesion,
                "finding": finding or UNNAMED_FINDING,
                "label": int(label),
                "num_voxels": int(count),
                "volume_ml": float(count * voxel_ml),
            }
