"""What can be told of a study without looking at its images or text: the metadata-only rival."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.artifacts import imaging_tables, tables

FloatArray = np.ndarray

COLUMNS = ["study_id", "sequence", "vendor", "spacing_mm", "age_years", "field_strength_t"]


def read_features(path: Path, study_ids: list[str]) -> FloatArray:
    """Describe studies by sequences present, vendor, slice spacing, age and field strength.

    Args:
        path: the ``series.parquet`` of the cohort.
        study_ids: the studies, in the order of the rows returned.

    Returns:
        Features, shape (studies, features). What a study lacks is the cohort's mean, with a column
        that says so, so that a missing value may itself inform.
    """
    series = tables.read(path, imaging_tables.SERIES, columns=COLUMNS)
    number = {study_id: row for row, study_id in enumerate(dict.fromkeys(study_ids))}
    rows = np.array([number.get(study_id, -1) for study_id in series["study_id"].to_pylist()], dtype=int)
    series, rows = series.filter(pa.array(rows >= 0)), rows[rows >= 0]
    spacing = np.array(series["spacing_mm"].to_pylist(), dtype=float).reshape(len(series), 3)
    blocks = [
        _presence(series["sequence"].to_pylist(), rows, len(number)),
        _presence(series["vendor"].to_pylist(), rows, len(number)),
        *(
            _mean_and_missing(values, rows, len(number))
            for values in (
                spacing.max(axis=1),
                spacing.min(axis=1),
                np.array(series["age_years"].to_pylist(), dtype=float),
                np.array(series["field_strength_t"].to_pylist(), dtype=float),
            )
        ),
    ]
    return np.hstack(blocks)[[number[study_id] for study_id in study_ids]]


def _presence(codes: list[str], rows: np.ndarray, num_studies: int) -> FloatArray:
    known = sorted(set(codes))
    presence = np.zeros((num_studies, len(known)))
    presence[rows, [known.index(code) for code in codes]] = 1.0
    return presence


def _mean_and_missing(values: FloatArray, rows: np.ndarray, num_studies: int) -> FloatArray:
    is_known = ~np.isnan(values)
    count = np.bincount(rows[is_known], minlength=num_studies)
    total = np.bincount(rows[is_known], weights=values[is_known], minlength=num_studies)
    is_missing = count == 0
    cohort_mean = total.sum() / max(count.sum(), 1)
    mean = np.where(is_missing, cohort_mean, total / np.maximum(count, 1))
    return np.stack([mean, is_missing.astype(float)], axis=1)
