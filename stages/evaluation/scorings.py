"""Studies to classify with their labels, and the scores that they are given, written case by case.

Shapes: N studies, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.artifacts import evaluation_tables
from stages.evaluation.bootstrap import pairwise_wins
from stages.evaluation.cases import Codes, table
from stages.evaluation.embeddings import Images
from stages.evaluation.labels import Labels
from stages.evaluation.probes import Budget

FloatArray = np.ndarray

TRAIN, VALIDATION = "train", "validation"


@dataclass(frozen=True)
class Cohort:
    """The studies to classify: the images of an index, pooled by study, with their labels."""

    study_ids: list[str]
    patient_ids: list[str]
    splits: np.ndarray
    classes: list[str]
    #: 1, 0 or NaN, shape (N, C)
    labels: FloatArray
    #: study of each image
    study_of_image: np.ndarray

    @classmethod
    def build(cls, images: Images, labels: Labels) -> Cohort:
        """Group images by study, in order of first appearance, and look their labels up."""
        first = {study_id: row for row, study_id in reversed(list(enumerate(images.study_ids)))}
        study_ids = list(dict.fromkeys(images.study_ids))
        number = {study_id: row for row, study_id in enumerate(study_ids)}
        return cls(
            study_ids=study_ids,
            patient_ids=[images.patient_ids[first[study_id]] for study_id in study_ids],
            splits=np.array([images.splits[first[study_id]] or "" for study_id in study_ids], dtype=str),
            classes=labels.classes,
            labels=labels.of(study_ids),
            study_of_image=np.array([number[study_id] for study_id in images.study_ids], dtype=int),
        )

    def training(self) -> tuple[np.ndarray, np.ndarray]:
        """Which studies are training ones (N,), and the number of the patient of each of those."""
        is_train = self.splits == TRAIN
        patients = [patient for patient, here in zip(self.patient_ids, is_train, strict=True) if here]
        number = {patient: row for row, patient in enumerate(dict.fromkeys(patients))}
        return is_train, np.array([number[patient] for patient in patients], dtype=int)

    def pool(self, values_of_images: FloatArray) -> FloatArray:
        """Average rows of images over each study (a study has several in unit ``sequence``)."""
        total = np.zeros((len(self.study_ids), values_of_images.shape[1]))
        np.add.at(total, self.study_of_image, values_of_images)
        return total / np.bincount(self.study_of_image, minlength=len(total))[:, None]


@dataclass(frozen=True)
class Scoring:
    """Scores of all studies for some classes under one protocol, seed, budget of labels and draw.

    ``draw`` is None where a seed has one draw of its own.
    """

    protocol: str
    seed: int
    budget: Budget
    draw: int | None
    classes: list[str]
    #: shape (N, C)
    scores: FloatArray


@dataclass(frozen=True)
class Evaluated:
    """Scored studies, and the splits of them that count.

    Attributes:
        cohort: the studies.
        splits: splits that are evaluated, beside validation.
        scorings: their scores.
    """

    cohort: Cohort
    splits: Sequence[str]
    scorings: Sequence[Scoring]


def to_cases(parts: Iterable[Evaluated], *, name: str) -> pa.Table:
    """Write scores as cases: every study with a known label in the evaluated and validation splits.

    Validation cases are there for the threshold of the balanced accuracy.
    """
    tables_of = [
        _scoring_cases(scoring, part.cohort, [VALIDATION, *part.splits], name)
        for part in parts
        for scoring in part.scorings
    ]
    return pa.concat_tables([evaluation_tables.CLASSIFICATION_CASES.schema.empty_table(), *tables_of])


def mean_auc(scores_NC: FloatArray, labels_NC: FloatArray, min_positives: int = 1) -> float:
    """AUC, averaged over the classes that have enough positives and a negative; NaN where none has.

    Args:
        scores_NC: of the studies that count.
        labels_NC: 1, 0 or NaN where not known.
        min_positives: positives that a class needs.
    """
    areas = []
    for scores_N, labels_N in zip(scores_NC.T, labels_NC.T, strict=True):
        is_known = ~np.isnan(labels_N)
        is_positive = labels_N[is_known] > 0
        if is_positive.sum() >= min_positives and not is_positive.all():
            areas.append(pairwise_wins(scores_N[None, is_known], is_positive).mean(dtype=float))
    return float(np.mean(areas)) if areas else math.nan


def _scoring_cases(scoring: Scoring, cohort: Cohort, splits: list[str], name: str) -> pa.Table:
    classes = [finding for finding in scoring.classes if finding in cohort.classes]
    scores_NC = scoring.scores[:, [scoring.classes.index(finding) for finding in classes]]
    labels_NC = cohort.labels[:, [cohort.classes.index(finding) for finding in classes]]
    is_case_NC = ~np.isnan(labels_NC) & np.isin(cohort.splits, splits)[:, None]
    position, study = np.nonzero(is_case_NC.T)
    columns = {
        "objective": name,
        "seed": scoring.seed,
        "split": Codes(cohort.splits.tolist(), study),
        "study_id": Codes(cohort.study_ids, study),
        "patient_id": Codes(cohort.patient_ids, study),
        "protocol": scoring.protocol,
        "class": Codes(classes, position),
        "label_fraction": scoring.budget.label_fraction,
        "shots": scoring.budget.shots,
        "draw": scoring.draw,
        "score": scores_NC[study, position].astype(np.float32),
        "label": labels_NC[study, position].astype(np.int8),
    }
    return table(evaluation_tables.CLASSIFICATION_CASES, len(study), columns)
