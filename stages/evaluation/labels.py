"""Labels of studies as a matrix, and where their evaluation stands or falls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from stages.artifacts import tables, truth_tables

FloatArray = np.ndarray


@dataclass(frozen=True)
class Labels:
    """Finding labels by study: 1 present, 0 absent, NaN not known."""

    classes: list[str]
    values: dict[str, FloatArray]

    @classmethod
    def load(cls, path: Path) -> Labels:
        """Read the labels of a cohort: its truth, or what its reports say where it has no truth."""
        table = tables.read(path, truth_tables.LABELS)
        truth = table.filter(pc.equal(table["source"], "truth"))
        rows = (truth if len(truth) else table).to_pydict()
        classes = sorted(set(rows["finding"]))
        column = {finding: number for number, finding in enumerate(classes)}
        values: dict[str, FloatArray] = {}
        for study_id, finding, label in zip(rows["study_id"], rows["finding"], rows["label"], strict=True):
            known = values.setdefault(study_id, np.full(len(classes), np.nan))
            known[column[finding]] = np.nan if label is None else label
        return cls(classes, values)

    def of(self, study_ids: list[str]) -> FloatArray:
        """Labels of studies, shape (studies, classes); a study without a row is unknown throughout."""
        unknown = np.full(len(self.classes), np.nan)
        return np.stack([self.values.get(study_id, unknown) for study_id in study_ids] or [unknown])[: len(study_ids)]
