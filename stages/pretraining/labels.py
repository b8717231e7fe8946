"""Labels of images as a matrix, for objectives that need them.

Shape suffixes: N images, C findings.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import tables, truth_tables
from stages.pretraining.pairs import ImageTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """1 present, 0 absent, where known.

    Attributes:
        classes: finding codes of the columns.
        values_NC: the labels, 0 where unknown.
        is_known_NC: which are known.
    """

    classes: list[str]
    values_NC: np.ndarray
    is_known_NC: np.ndarray


def load_labels(path: Path, images: ImageTable, training_rows: np.ndarray) -> Labels:
    """Read the labels of images; findings that do not vary in training are left out.

    Where none varies, as in a very small cohort, all are kept: the run goes on, and the log says that
    its supervised reference has nothing to learn from.
    """
    table = tables.read(path, truth_tables.LABELS).to_pylist()
    classes = list(dict.fromkeys(row["finding"] for row in table))
    column = {finding: index for index, finding in enumerate(classes)}
    rows_of: dict[str, list[int]] = {}
    for row, study_id in enumerate(images.study_ids):
        rows_of.setdefault(study_id, []).append(row)
    values_NC = np.full((len(images), len(classes)), np.nan, dtype=np.float32)
    for entry in table:
        if entry["label"] is not None and entry["study_id"] in rows_of:
            values_NC[rows_of[entry["study_id"]], column[entry["finding"]]] = entry["label"]
    training = values_NC[training_rows]
    varies_C = (training == 1).any(axis=0) & (training == 0).any(axis=0)
    if not varies_C.any():
        logger.warning("labels: no finding is present in one training image and absent in another; nothing to learn")
        varies_C[:] = True
    values_NC = values_NC[:, varies_C]
    kept = [finding for finding, varies in zip(classes, varies_C, strict=True) if varies]
    return Labels(kept, np.nan_to_num(values_NC), ~np.isnan(values_NC))
