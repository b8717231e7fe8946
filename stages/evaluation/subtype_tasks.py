"""Two-class tasks between subtypes of one finding, e.g. acute against chronic infarct."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages.artifacts import tables, truth_tables
from stages.evaluation.labels import Labels
from stages.params import Params

logger = logging.getLogger(__name__)


class SubtypeTask(Params):
    """Two subtypes of a finding that are to be told apart.

    Attributes:
        finding: finding code of the lesions.
        positive: subtype that is labelled 1.
        negative: subtype that is labelled 0.
    """

    finding: str
    positive: str
    negative: str


def add_subtype_tasks(labels: Labels, lesions: Path, tasks: Mapping[str, SubtypeTask]) -> Labels:
    """Add a class for each task, which only the studies with exactly one of its two subtypes take part in.

    A study is 1 where all its lesions of the finding are of the positive subtype, 0 where all are of the
    negative one, and NaN otherwise. A task that no study takes part in is left out, and the log says so.

    Args:
        labels: findings of the studies.
        lesions: ``lesions.parquet`` of ``link_truth``; empty where a cohort knows no lesions.
        tasks: the tasks by the name of their class.

    Raises:
        ValueError: if a task is called like a finding.
    """
    taken = sorted(set(tasks) & set(labels.classes))
    if taken:
        raise ValueError(
            f"evaluate_classification.subtype_tasks: {taken} are findings of the cohort; choose other names"
        )
    known = {name: of_task for name, task in tasks.items() if (of_task := _label_studies(lesions, task))}
    for name in tasks.keys() - known.keys():
        logger.info("%s: %s has no lesion of its two subtypes; the task is left out", name, lesions.name)
    unknown = np.full(len(labels.classes), np.nan)
    studies = dict.fromkeys([*labels.values, *(study for of_task in known.values() for study in of_task)])
    values = {
        study: np.append(labels.values.get(study, unknown), [of_task.get(study, np.nan) for of_task in known.values()])
        for study in studies
    }
    return Labels([*labels.classes, *known], values)


def _label_studies(lesions: Path, task: SubtypeTask) -> dict[str, float]:
    rows = tables.read(lesions, truth_tables.LINKED_LESIONS, ["study_id", "finding", "subtype"]).to_pylist()
    subtypes: dict[str, set[str]] = {}
    for row in rows:
        if row["finding"] == task.finding:
            subtypes.setdefault(row["study_id"], set()).add(row["subtype"])
    value = {frozenset({task.positive}): 1.0, frozenset({task.negative}): 0.0}
    return {study: value[frozenset(found)] for study, found in subtypes.items() if frozenset(found) in value}
