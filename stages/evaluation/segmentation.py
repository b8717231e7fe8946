"""Few-shot segmentation of lesions: who is learned from, and how the outlines of a study are judged.

Shape suffixes: X stands for the spatial axes of the volume grid, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.evaluation.masks import MaskedCohort
from stages.evaluation.overlap import DICE, HD95, dice, dice_curve, hd95_mm
from stages.evaluation.quantities import ALL
from stages.params import Params
from stages.pretraining.optimisation import OptimiserParams

TRAIN, VALIDATION = "train", "validation"
# Whether nothing is outlined in a study that has nothing to outline.
LESION_FREE = "lesion_free"
DECIMALS = 6
# Patients with a lesion that the smallest draw has at least.
_MIN_LESIONS = 2

Tuning = Literal["frozen", "full"]


class SegmentationParams(Params):
    """Section ``evaluate_segmentation``.

    Attributes:
        splits: splits to evaluate; thresholds come from validation.
        tuning: ``frozen`` trains the decoder on the encoder's maps as they are, ``full`` trains both.
        width: channels at the finest grid of the decoder; each step down doubles them.
        stride: voxels that the decoder's finest grid merges along an axis; 1 as in UNETR.
        updates: optimiser steps of every training, whatever its number of masks.
        batch_size: images of a step; all there are if fewer.
        optimiser: AdamW and its schedule, the same for every method and fraction.
        label_fractions: shares of the training patients whose masks are learned from.
        draw_seed: of the draws of patients; seed k of the pretraining takes draw k.
        thresholds: probabilities to choose from, on validation.
        num_threads: trainings that run at a time, each on one CPU thread.
        max_resident_gib: images, and feature maps, are held in memory up to this size.
    """

    splits: list[str]
    tuning: Tuning
    width: int = Field(ge=1)
    stride: int = Field(ge=1)
    updates: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimiser: OptimiserParams
    label_fractions: list[float] = Field(min_length=1)
    draw_seed: int = Field(ge=0)
    thresholds: list[float] = Field(min_length=1)
    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(ge=0)


@dataclass(frozen=True)
class Verdict:
    """What the outlines of one training are worth.

    Attributes:
        seed: of the pretraining.
        label_fraction: share of the masks that was learned from.
        threshold: probability from which a voxel counts as lesion, chosen on validation.
        validation_dice: mean Dice there, None without a validation study with a lesion.
        cases: (study, metric, class, value) of the evaluated splits.
    """

    seed: int
    label_fraction: float
    threshold: float
    validation_dice: float | None
    cases: list[tuple[int, str, str, float]]


def draw_studies(cohort: MaskedCohort, fraction: float, *, draw: int, draw_seed: int) -> np.ndarray:
    """Draw training studies by patient, nested in the fraction.

    The patients of the training split come in a random order of the draw, and a fraction takes the
    first of them, lesion-free ones as they come; it takes more where it would have fewer than two
    patients with a lesion.

    Args:
        cohort: the studies.
        fraction: share of the patients, in (0, 1].
        draw: number of the draw.
        draw_seed: of all draws.

    Returns:
        Numbers of the drawn studies; none where no training study has a lesion.
    """
    studies = cohort.studies_of(TRAIN)
    of_patient: dict[str, list[int]] = {}
    for study in studies:
        of_patient.setdefault(cohort.patient_ids[study], []).append(study)
    order = np.random.default_rng([draw_seed, draw]).permutation(len(of_patient))
    groups = list(of_patient.values())
    has_lesion = [any(cohort.has_lesion(study) for study in groups[place]) for place in order]
    places = np.flatnonzero(has_lesion)[:_MIN_LESIONS]
    if not len(places):
        return np.array([], dtype=int)
    num_drawn = max(round(fraction * len(groups)), places[-1] + 1)
    return np.sort(np.concatenate([groups[place] for place in order[:num_drawn]]))


def choose_threshold(
    cohort: MaskedCohort, predictions: Iterable[tuple[int, np.ndarray]], thresholds: Sequence[float]
) -> tuple[float, float | None]:
    """Choose the threshold with the best mean Dice over validation studies with a lesion.

    Args:
        cohort: the studies.
        predictions: validation studies and their lesion probabilities (X).
        thresholds: to choose from.

    Returns:
        The threshold (the lowest of equally good ones) and its mean Dice; without such a study the
        middle one and None.
    """
    candidates_T = np.array(sorted(thresholds))
    curves = [
        dice_curve(probability_X, cohort.is_lesion(study), candidates_T)
        for study, probability_X in predictions
        if cohort.has_lesion(study)
    ]
    if not curves:
        return float(candidates_T[len(candidates_T) // 2]), None
    mean_T = np.mean(curves, axis=0)
    best = int(np.argmax(np.round(mean_T, DECIMALS)))
    return float(candidates_T[best]), float(mean_T[best])


def judge(cohort: MaskedCohort, study: int, predicted_X: np.ndarray) -> Iterator[tuple[int, str, str, float]]:
    """Yield (study, metric, class, value) of one study.

    A study with a lesion has ``dice`` and ``hd95_mm``, once as class ``all`` and once for each finding
    that its mask shows. The network outlines lesions of any kind, so that the values of a finding are
    those of the whole mask of the studies with it. A study known to be without has ``lesion_free``: 1
    if nothing is outlined, else 0.
    """
    if not cohort.has_lesion(study):
        yield study, LESION_FREE, ALL, float(not predicted_X.any())
        return
    true_X = cohort.is_lesion(study)
    values = {DICE: dice(predicted_X, true_X), HD95: hd95_mm(predicted_X, true_X, cohort.spacing_mm)}
    for metric, value in values.items():
        for name in (ALL, *cohort.findings[study]):
            yield study, metric, name, value


def to_rows(name: str, cohort: MaskedCohort, verdicts: Iterable[Verdict]) -> Iterator[dict[str, Any]]:
    """Rows of the table of measure cases.

    Args:
        name: row of the tables.
        cohort: the studies.
        verdicts: of every seed and fraction.
    """
    for verdict in verdicts:
        for study, metric, class_name, value in verdict.cases:
            yield {
                "objective": name,
                "seed": verdict.seed,
                "split": str(cohort.splits[study]),
                "study_id": cohort.study_ids[study],
                "patient_id": cohort.patient_ids[study],
                "metric": metric,
                "class": class_name,
                "label_fraction": verdict.label_fraction,
                "value": value,
            }


def summarise(cases: pa.Table, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Mean of each metric over all cases and seeds, by split and fraction; for validation, threshold and Dice."""
    whole = [row for row in cases.to_pylist() if row["class"] == ALL]
    found: dict[str, dict[str, list[float]]] = {}
    for verdict in verdicts:
        if verdict.validation_dice is not None:
            share = f"{verdict.label_fraction:g}"
            found.setdefault(VALIDATION, {}).setdefault(f"threshold_{share}", []).append(verdict.threshold)
            found[VALIDATION].setdefault(f"{DICE}_{share}", []).append(verdict.validation_dice)
    for row in whole:
        key = f"{row['metric']}_{row['label_fraction']:g}"
        found.setdefault(row["split"], {}).setdefault(key, []).append(row["value"])
    return {
        split: {name: round(float(np.mean(values)), DECIMALS) for name, values in sorted(of_split.items())}
        for split, of_split in found.items()
    }
