"""Phrase grounding without further training: which lesions are looked for, and how well maps find them.

Shape suffixes: P patches of a head; X stands for the spatial axes of the volume grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.artifacts import evaluation_tables, tables
from stages.evaluation import grounding
from stages.evaluation.cases import CHANCE
from stages.evaluation.grounding import Target
from stages.evaluation.quantities import ALL, VALIDATION
from stages.params import Params

FloatArray = np.ndarray

#: kinds of phrase: the prompts of a finding, or what the study's own report says of it
PROMPT, SENTENCE = "prompt", "sentence"
KINDS = (PROMPT, SENTENCE)
#: classes of volume, beside the findings and all of them
SIZES = ("size_small", "size_medium", "size_large")
DECIMALS = 6

#: value of each case by metric, NaN where there is none
Values = Mapping[str, FloatArray]


class LocalisationParams(Params):
    """Section ``evaluate_localisation``.

    Attributes:
        splits: splits that are evaluated; thresholds come from validation.
        prompt_score: similarity to the prompts of a finding: cosine with the positive ones, or its
            difference to the negative ones, which is the zero-shot score of classification.
        min_covered: share of a patch that lesions must cover for it to count as theirs.
        size_bounds_ml: volumes from which lesions are of medium, and of large size.
        batch_size: images, or phrases, embedded at a time.
        num_threads: CPU threads; fixed, since sums depend on their order.
        max_resident_gib: images are held in memory up to this size.
    """

    splits: list[str]
    prompt_score: Literal["positive", "difference"]
    min_covered: float = Field(gt=0, le=1)
    size_bounds_ml: tuple[float, float]
    batch_size: int = Field(ge=1)
    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(ge=0)

    def size_class(self, volume_ml: float) -> str:
        """Stratum of the lesions of a case."""
        return SIZES[sum(volume_ml >= bound for bound in self.size_bounds_ml)]


@dataclass(frozen=True)
class Case:
    """One finding of one study, with a mask: what a phrase has to find.

    Attributes:
        volume_ml: of all lesions of the finding together.
        rows: images of the study.
    """

    study_id: str
    patient_id: str
    split: str
    finding: str
    volume_ml: float
    rows: tuple[int, ...]
    target: Target


def score_maps(
    cases: Sequence[Case], maps: Sequence[FloatArray | None], params: LocalisationParams
) -> tuple[dict[str, FloatArray], float | None]:
    """Score the maps of one seed and kind of phrase.

    Args:
        cases: of the evaluated splits and validation.
        maps: similarity of each case's phrase to the patches of its head; None where it has no phrase.
        params: of the evaluation.

    Returns:
        The values of each case, and the threshold of the overlap; no overlap without validation cases.
    """
    values = {metric: np.full(len(cases), np.nan) for metric in grounding.METRICS}
    standardised = [None if scores_P is None else grounding.standardise(scores_P) for scores_P in maps]
    tuned = [
        (scores_P, case.target)
        for case, scores_P in zip(cases, standardised, strict=True)
        if scores_P is not None and case.split == VALIDATION
    ]
    threshold = grounding.best_threshold([scores_P for scores_P, _ in tuned], [target for _, target in tuned])
    for row, (case, scores_P) in enumerate(zip(cases, standardised, strict=True)):
        if scores_P is not None:
            is_positive_P = case.target.is_positive(params.min_covered)
            values[grounding.POINTING][row] = grounding.pointing_game(scores_P, is_positive_P)
            values[grounding.PRECISION][row] = grounding.average_precision(scores_P, is_positive_P)
            values[grounding.CONTRAST][row] = grounding.contrast_to_noise(scores_P, case.target)
            if threshold is not None:
                values[grounding.IOU][row] = grounding.iou_curve(scores_P, case.target, np.array([threshold]))[0]
    return values, threshold


def reference_rows(
    name: str, cases: Sequence[Case], has_phrase: Mapping[str, np.ndarray], params: LocalisationParams
) -> list[dict[str, Any]]:
    """Rows of chance or of the oracle, for the cases that have a phrase of each kind.

    Args:
        name: ``CHANCE`` or ``ORACLE``.
        cases: of the evaluated splits.
        has_phrase: by kind, which cases have a phrase of it.
        params: of the evaluation.
    """
    found = [
        grounding.chance(case.target, params.min_covered) if name == CHANCE else grounding.oracle(case.target)
        for case in cases
    ]
    rows: list[dict[str, Any]] = []
    for kind, is_case in has_phrase.items():
        values = {
            metric: np.where(is_case, np.array([of_case[metric] for of_case in found], dtype=np.float64), np.nan)
            for metric in grounding.METRICS
        }
        rows += to_rows(cases, values, params, name=name, seed=0, kind=kind)
    return rows


def to_rows(
    cases: Sequence[Case], values: Values, params: LocalisationParams, *, name: str, seed: int, kind: str
) -> list[dict[str, Any]]:
    """Write values as rows of measure cases, each study once in each class.

    A class is a finding, all findings, or a stratum of size; where a study has several findings in a
    class, their mean is its value.
    """
    groups: dict[tuple[str, str, str], tuple[Case, list[float]]] = {}
    for metric, of_cases in values.items():
        for case, value in zip(cases, of_cases.tolist(), strict=True):
            if case.split in params.splits and not np.isnan(value):
                for cls in (case.finding, ALL, params.size_class(case.volume_ml)):
                    groups.setdefault((metric, cls, case.study_id), (case, []))[1].append(value)
    return [
        {
            "objective": name,
            "seed": seed,
            "split": case.split,
            "study_id": case.study_id,
            "patient_id": case.patient_id,
            "metric": f"{kind}/{metric}",
            "class": cls,
            "value": float(np.mean(found)),
        }
        for (metric, cls, _), (case, found) in groups.items()
    ]


def to_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Build the table of measure cases."""
    return tables.from_rows(evaluation_tables.MEASURE_CASES, rows)


def summarise(table: pa.Table) -> dict[str, Any]:
    """Mean over studies and seeds, by split, phrase and metric, of all findings together."""
    means = table.group_by(["split", "metric", "class"], use_threads=False).aggregate([("value", "mean")])
    summary: dict[str, Any] = {}
    for row in means.to_pylist():
        if row["class"] == ALL:
            kind, metric = row["metric"].split("/")
            of_kind = summary.setdefault(row["split"], {}).setdefault(kind, {})
            of_kind[metric] = round(row["value_mean"], DECIMALS)
    return summary
