"""Short summaries of cases for ``dvc metrics``; the tables are made from the cases themselves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.evaluation.bootstrap import pairwise_wins
from stages.evaluation.classification import ClassificationParams, Cohort, Scoring

DECIMALS = 6


def summarise_retrieval(cases: pa.Table) -> dict[str, Any]:
    """Mean over queries and seeds, by split, direction and metric."""
    means = cases.group_by(["split", "direction", "metric"], use_threads=False).aggregate([("value", "mean")])
    summary: dict[str, Any] = {}
    for row in means.to_pylist():
        of_split = summary.setdefault(row["split"], {})
        of_split.setdefault(row["direction"], {})[row["metric"]] = round(row["value_mean"], DECIMALS)
    return summary


def summarise_classification(
    scorings: Sequence[Scoring], cohort: Cohort, params: ClassificationParams
) -> dict[str, Any]:
    """Macro AUC, mean over seeds and draws, by split, protocol and label fraction."""
    summary: dict[str, Any] = {}
    for split in params.splits:
        found: dict[str, list[float]] = {}
        for scoring in scorings:
            area = _macro_auc(scoring, cohort, split, params.min_positives)
            if area is not None:
                share = "" if scoring.label_fraction is None else f"_{scoring.label_fraction:g}"
                found.setdefault(f"{scoring.protocol}{share}_macro_auc", []).append(area)
        summary[split] = {name: round(float(np.mean(areas)), DECIMALS) for name, areas in found.items()}
    return summary


def write_json(path: Path, summary: dict[str, Any]) -> None:
    """Write a summary for ``dvc metrics``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _macro_auc(scoring: Scoring, cohort: Cohort, split: str, min_positives: int) -> float | None:
    areas = []
    for finding, scores_N in zip(scoring.classes, scoring.scores.T, strict=True):
        labels_N = cohort.labels_of(finding, split)
        is_known = ~np.isnan(labels_N)
        is_positive = labels_N[is_known] > 0
        if is_positive.sum() >= min_positives and not is_positive.all():
            areas.append(pairwise_wins(scores_N[None, is_known], is_positive).mean(dtype=float))
    return float(np.mean(areas)) if areas else None
