"""Short summaries of cases for ``dvc metrics``; the tables are made from the cases themselves."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from stages.evaluation.probes import Budget
from stages.evaluation.scorings import Cohort, Evaluated, Scoring, mean_auc

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
    parts: Iterable[Evaluated], *, min_positives: int, tasks: Collection[str]
) -> dict[str, Any]:
    """AUC, mean over seeds and draws, by split, protocol and budget of labels.

    Args:
        parts: scored studies of one method.
        min_positives: positives that a finding needs in a split to count in the macro average.
        tasks: two-class tasks, each summarised by itself and no part of the macro average.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for part in parts:
        for split in part.splits:
            areas = found.setdefault(split, {})
            for scoring in part.scorings:
                known = [name for name in scoring.classes if name in part.cohort.classes]
                shown = {"macro": ([name for name in known if name not in tasks], min_positives)}
                shown |= {name: ([name], 1) for name in known if name in tasks}
                for about, (classes, least) in shown.items():
                    area = _area(scoring, part.cohort, split, classes, least)
                    if not math.isnan(area):
                        name = f"{scoring.protocol}{_suffix(scoring.budget)}_{about}_auc"
                        areas.setdefault(name, []).append(area)
    return {
        split: {name: round(float(np.mean(areas)), DECIMALS) for name, areas in of_split.items()}
        for split, of_split in found.items()
    }


def write_json(path: Path, summary: dict[str, Any]) -> None:
    """Write a summary for ``dvc metrics``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _suffix(budget: Budget) -> str:
    if budget.shots is not None:
        return f"_{budget.shots}_shot"
    return "" if budget.label_fraction is None else f"_{budget.label_fraction:g}"


def _area(scoring: Scoring, cohort: Cohort, split: str, classes: Sequence[str], min_positives: int) -> float:
    is_asked = cohort.splits == split
    scores_NC = scoring.scores[is_asked][:, [scoring.classes.index(name) for name in classes]]
    labels_NC = cohort.labels[is_asked][:, [cohort.classes.index(name) for name in classes]]
    return mean_auc(scores_NC, labels_NC, min_positives)
