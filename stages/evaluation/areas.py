"""Area under the ROC curve and balanced accuracy with their resamples, from scored studies.

Shapes: M scorings (seed, amount of labels, draw), T scorings averaged over draws, N studies
(A positive, B negative), R resamples, C classes, S seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stages.evaluation import bootstrap
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.cubes import Cube, Slot, build_cubes
from stages.evaluation.estimates import Estimates, patient_rows
from stages.evaluation.quantities import CLASSIFICATION, FINE_TUNING, FINETUNING, MACRO, VALIDATION, Quantity
from stages.evaluation.statistics import Estimate

FloatArray = np.ndarray

AUC, BALANCED_ACCURACY = "auc", "balanced_accuracy"


@dataclass(frozen=True)
class Rules:
    """What counts in the macro average, and what is shown of single classes."""

    #: positives that a class needs in a split to count in the macro average
    min_positives: int
    #: two-class tasks, each shown by itself and no part of the macro average
    subtypes: Collection[str] = ()
    #: studies with a finding that it needs in a split to count among those placed in regions
    min_region_positives: int = 1


@dataclass(frozen=True)
class _About:
    """What numbers of one metric have in common."""

    task: str
    metric: str
    split: str

    def quantity(self, slot: Slot, cls: str) -> Quantity:
        """Say what a number of one class and amount of labels is about."""
        fraction = None if slot.label_fraction < 0 else slot.label_fraction
        return Quantity(self.task, self.metric, self.split, cls, fraction, None if slot.shots < 0 else slot.shots)


@dataclass(frozen=True)
class _Measured:
    """One metric of one class: its value by slot, and the resamples."""

    cls: str
    cube: Cube
    #: shape (T,)
    values: FloatArray
    #: shape (R, T)
    resampled: FloatArray

    def by_amount(self, about: _About, cls: str) -> Iterator[tuple[Quantity, list[int]]]:
        """Quantity of each amount of labels, with the slots of its seeds."""
        columns: dict[Quantity, list[int]] = {}
        for column, slot in enumerate(self.cube.slots):
            columns.setdefault(about.quantity(slot, cls), []).append(column)
        yield from columns.items()

    def seeds(self, columns: list[int]) -> tuple[int, ...]:
        """Seeds of some slots."""
        return tuple(self.cube.slots[column].seed for column in columns)


def classification_estimates(cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, rules: Rules) -> Estimates:
    """AUC and balanced accuracy of one method, per class and over the classes with enough positives.

    The threshold of the balanced accuracy is the one that serves the validation split best. Of a single
    class only the AUC with all labels, or with none, is shown; of a two-class task everything.

    Args:
        cases: rows of ``CLASSIFICATION_CASES`` of one method.
        resamplings: of the patients of each split; other splits are left out.
        rules: what counts and what is shown.
    """
    cubes = build_cubes(cases, resamplings.keys() | {VALIDATION})
    measured: dict[tuple[str, str, str], list[_Measured]] = {}
    for (split, protocol, finding), whole in cubes.items():
        if split == VALIDATION:
            continue
        is_counted = finding in rules.subtypes or _is_counted(whole, rules)
        is_kept = np.array([is_counted or slot.is_whole for slot in whole.slots])
        if is_kept.any():
            cube, validation = whole.keep(is_kept), cubes.get((VALIDATION, protocol, finding))
            for metric, values, resampled in _measure(cube, validation, resamplings[split]):
                key = (split, protocol, metric)
                measured.setdefault(key, []).append(_Measured(finding, cube, values, resampled))
    estimates: Estimates = {}
    for (split, protocol, metric), of_classes in measured.items():
        about = _About(FINETUNING if protocol == FINE_TUNING else CLASSIFICATION, f"{protocol}/{metric}", split)
        of_findings = [one for one in of_classes if one.cls not in rules.subtypes]
        estimates |= _macros(of_findings, about, rules, resamplings[split])
        for one in of_classes:
            if metric == AUC or one.cls in rules.subtypes:
                estimates |= _single(one, about, rules, resamplings[split])
    return estimates


def _measure(
    cube: Cube, validation: Cube | None, resampling: Resampling
) -> Iterator[tuple[str, FloatArray, FloatArray]]:
    num_slots = len(cube.slots)
    undefined = np.full(num_slots, np.nan), np.full((len(resampling.weights), num_slots), np.nan)
    if not cube.has_both:
        yield AUC, *undefined
        return
    patients, positive = patient_rows(cube.patient_ids, resampling), cube.is_positive
    of_slot = [cube.scores[cube.slot_of_scoring == slot] for slot in range(num_slots)]
    wins_TAB = np.stack([bootstrap.pairwise_wins(scores_KN, positive) for scores_KN in of_slot])
    areas_RT = bootstrap.area_under_curve(resampling, wins_TAB, patients[positive], patients[~positive])
    yield AUC, wins_TAB.mean(axis=(1, 2), dtype=float), areas_RT
    thresholds_M = _thresholds(validation, cube)
    if thresholds_M is None:
        yield BALANCED_ACCURACY, *undefined
        return
    called_TN = cube.mean_over_draws((cube.scores > thresholds_M[:, None]).astype(float))
    values_T = 0.5 * (called_TN[:, positive].mean(axis=1) + 1.0 - called_TN[:, ~positive].mean(axis=1))
    yield BALANCED_ACCURACY, values_T, bootstrap.balanced_accuracy(resampling, called_TN, positive, patients)


def _thresholds(validation: Cube | None, evaluated: Cube) -> FloatArray | None:
    """Threshold of each scoring (M,), None where validation has not both labels."""
    if validation is None or not validation.has_both:
        return None
    same = validation.keep(np.array([slot in evaluated.slots for slot in validation.slots]))
    if same.slots != evaluated.slots or len(same.scores) != len(evaluated.scores):
        return None
    return _best_thresholds(same.scores, same.is_positive)


def _best_thresholds(scores_MN: FloatArray, is_positive_N: np.ndarray) -> FloatArray:
    """Threshold of the best balanced accuracy, between two scores; the highest of several. Shape (M,)."""
    order_MN = np.argsort(-scores_MN, axis=1, kind="stable")
    sorted_MN = np.take_along_axis(scores_MN, order_MN, axis=1).astype(float)
    positive_MN = is_positive_N[order_MN]
    sensitivity_MN = np.cumsum(positive_MN, axis=1) / is_positive_N.sum()
    false_alarms_MN = np.cumsum(~positive_MN, axis=1) / (~is_positive_N).sum()
    lower_MN = np.concatenate([sorted_MN[:, 1:], sorted_MN[:, -1:] - 1.0], axis=1)
    gain_MN = np.where(sorted_MN > lower_MN, sensitivity_MN - false_alarms_MN, -np.inf)
    best_M1 = np.argmax(np.round(gain_MN, 9), axis=1)[:, None]
    return 0.5 * (np.take_along_axis(sorted_MN, best_M1, 1) + np.take_along_axis(lower_MN, best_M1, 1))[:, 0]


def _is_counted(cube: Cube, rules: Rules) -> bool:
    return cube.has_both and int(cube.is_positive.sum()) >= rules.min_positives


def _single(one: _Measured, about: _About, rules: Rules, resampling: Resampling) -> Estimates:
    reason = "" if one.cube.has_both else "the split has only one class"
    if not reason and np.isnan(one.values).any():
        reason = "no threshold: the validation split has only one class"
    return {
        quantity: Estimate(
            seeds=one.seeds(columns),
            seed_values=one.values[columns],
            resampled=resampling.over_seeds(one.resampled[:, columns]),
            num_patients=one.cube.num_patients,
            smallest_cell=one.cube.smallest_cell,
            reason=reason,
        )
        for quantity, columns in one.by_amount(about, one.cls)
        if one.cls in rules.subtypes or one.cube.slots[columns[0]].is_whole
    }


def _macros(of_classes: list[_Measured], about: _About, rules: Rules, resampling: Resampling) -> Estimates:
    amounts: dict[Quantity, list[tuple[_Measured, list[int]]]] = {}
    for one in of_classes:
        for quantity, columns in one.by_amount(about, MACRO):
            amounts.setdefault(quantity, []).append((one, columns))
    return {quantity: _macro(members, rules, resampling) for quantity, members in amounts.items()}


def _macro(members: list[tuple[_Measured, list[int]]], rules: Rules, resampling: Resampling) -> Estimate:
    num_patients = pd.concat([one.cube.patient_ids for one, _ in members]).nunique()
    empty = Estimate((), np.empty(0), np.empty(0), num_patients, num_patients)
    chosen = [(one, columns) for one, columns in members if _is_counted(one.cube, rules)]
    if not chosen:
        return replace(empty, reason=f"no class has {rules.min_positives} positives and a negative in the split")
    values_CS = np.stack([one.values[columns] for one, columns in chosen])
    if np.isnan(values_CS).any():
        reason = "a class has no threshold: the validation split has only one label of it"
        return replace(empty, reason=reason)
    first, columns = chosen[0]
    return Estimate(
        seeds=first.seeds(columns),
        seed_values=values_CS.mean(axis=0),
        resampled=resampling.over_seeds(_mean_of_known([one.resampled[:, columns] for one, columns in chosen])),
        num_patients=num_patients,
        # The average and the other classes tell of any one of them.
        smallest_cell=min(one.cube.smallest_cell for one, _ in chosen),
    )


def _mean_of_known(values: list[FloatArray]) -> FloatArray:
    """Mean over the arrays without NaN: a resample may hold no positive of a rare class."""
    total, count = np.zeros(values[0].shape), np.zeros(values[0].shape)
    for one in values:
        is_known = ~np.isnan(one)
        total += np.where(is_known, one, 0.0)
        count += is_known
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
