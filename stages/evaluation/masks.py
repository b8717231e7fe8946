"""Lesion masks of a cohort as segmentation is trained and judged on them.

Shape suffixes: N studies, X the spatial axes of the volume grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import mask_tables, tables, tensors
from stages.pretraining.pairs import ImageTable


@dataclass(frozen=True)
class MaskedCohort:
    """The studies whose lesions are known, in the order in which the images first bring them.

    Attributes:
        study_ids: N studies, lesion-free ones among them.
        patient_ids: their patients.
        splits: their splits, shape (N,).
        rows: rows of the images of each study.
        labels: label map of each study, uint8 (X), 0 background.
        findings: findings of each study that its mask shows, sorted; none where it is lesion-free.
        spacing_mm: of the voxels along each axis.
    """

    study_ids: list[str]
    patient_ids: list[str]
    splits: np.ndarray
    rows: list[list[int]]
    labels: list[np.ndarray]
    findings: list[list[str]]
    spacing_mm: np.ndarray

    @classmethod
    def load(cls, folder: Path, images: ImageTable) -> MaskedCohort:
        """Read the masks that ``prepare_masks`` wrote, for the studies of some images.

        Args:
            folder: with ``masks.parquet`` and ``masks.safetensors``.
            images: the images.
        """
        path = folder / mask_tables.MASK_MAPS
        known = set(tensors.names(path))
        rows: dict[str, list[int]] = {}
        for row, study_id in enumerate(images.study_ids):
            if study_id in known:
                rows.setdefault(study_id, []).append(row)
        findings: dict[str, set[str]] = {}
        for lesion in tables.read(folder / mask_tables.MASK_TABLE, mask_tables.MASKS).to_pylist():
            findings.setdefault(lesion["study_id"], set()).add(lesion["finding"])
        maps = tensors.read(path, list(rows))
        return cls(
            study_ids=list(rows),
            patient_ids=[images.patient_ids[own[0]] for own in rows.values()],
            splits=np.array([images.splits[own[0]] for own in rows.values()], dtype=str),
            rows=list(rows.values()),
            labels=[maps[study_id] for study_id in rows],
            findings=[sorted(findings.get(study_id, ())) for study_id in rows],
            spacing_mm=np.array(tensors.read_metadata(path)["spacing_mm"] or [], dtype=float),
        )

    def studies_of(self, split: str) -> np.ndarray:
        """Numbers of the studies of a split."""
        return np.flatnonzero(self.splits == split)

    def is_lesion(self, study: int) -> np.ndarray:
        """Voxels of all lesions of a study, booleans. Shape (X)."""
        return self.labels[study] > 0

    def has_lesion(self, study: int) -> bool:
        """Whether a study has a lesion that its mask shows."""
        return bool(self.findings[study])

    def missing(self, splits: Sequence[str]) -> str | None:
        """Say what training on this cohort and evaluation in the splits lack, None if nothing."""
        if not self.study_ids:
            return "no study has a lesion mask"
        if not any(self.has_lesion(study) for study in self.studies_of("train")):
            return "no training study has a lesion with a mask"
        return None if np.isin(self.splits, splits).any() else f"no study of {list(splits)} has a lesion mask"
