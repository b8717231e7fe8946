"""From per-case tables to estimates: every quantity that the tables show of one method.

Shapes: S seeds, K draws, N studies, P patients, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stages.evaluation import bootstrap
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.statistics import Estimate

FloatArray = np.ndarray

RETRIEVAL, CLASSIFICATION = "retrieval", "classification"
ALL, ABNORMAL, MACRO = "all", "abnormal", "macro"
VALIDATION = "validation"
# Metrics that are also shown for parts of the queries.
SUBSET_METRICS = ("ndcg@10", "recall@1", "recall@5", "recall@10")


@dataclass(frozen=True, order=True)
class Quantity:
    """What a number is about; methods are compared quantity by quantity."""

    task: str
    metric: str
    split: str
    cls: str
    label_fraction: float | None = None


Estimates = dict[Quantity, Estimate]


def retrieval_estimates(cases: pd.DataFrame, resamplings: Mapping[str, Resampling]) -> Estimates:
    """Average the metrics of one method over queries: all, abnormal only, and by language."""
    estimates = {}
    for (split, direction, metric), group in cases.groupby(["split", "direction", "metric"], sort=False, observed=True):
        shown = "median_rank" if metric == "rank" else metric
        for subset, part in _subsets(group, metric):
            quantity = Quantity(RETRIEVAL, f"{direction}/{shown}", split, subset)
            estimate = (_median if metric == "rank" else _mean)(part, resamplings[split])
            # What is shown of a part and of the whole also tells of the rest.
            rest = group["patient_id"][~group.index.isin(part.index)].nunique() or estimate.num_patients
            estimates[quantity] = replace(estimate, smallest_cell=min(estimate.num_patients, rest))
    return estimates


def classification_estimates(
    cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, min_positives: int
) -> Estimates:
    """AUC and balanced accuracy of one method, per class and over the classes with enough positives.

    The threshold of the balanced accuracy is the one that serves the validation split best.
    """
    cubes = {key: _Cube.build(group) for key, group in _protocol_groups(cases)}
    per_quantity: dict[Quantity, list[_ClassEstimate]] = {}
    for (split, protocol, finding, fraction), cube in cubes.items():
        if split == VALIDATION:
            continue
        thresholds = _thresholds(cubes.get((VALIDATION, protocol, finding, fraction)), cube)
        for metric, estimate in _class_metrics(cube, thresholds, resamplings[split]):
            quantity = Quantity(CLASSIFICATION, f"{protocol}/{metric}", split, MACRO, fraction)
            per_quantity.setdefault(quantity, []).append(_ClassEstimate(finding, cube, estimate))
    estimates = {}
    for quantity, of_classes in per_quantity.items():
        estimates[quantity] = _macro(of_classes, min_positives)
        for one in of_classes:
            key = Quantity(quantity.task, quantity.metric, quantity.split, one.finding, quantity.label_fraction)
            estimates[key] = one.to_estimate()
    return estimates


@dataclass(frozen=True)
class _Resampled:
    #: shape (S,)
    values: FloatArray
    #: shape (R, S)
    by_seed: FloatArray
    resampling: Resampling


@dataclass(frozen=True)
class _ClassEstimate:
    finding: str
    cube: _Cube
    resampled: _Resampled

    def to_estimate(self) -> Estimate:
        reason = "" if self.cube.has_both else "the split has only one class"
        if not reason and np.isnan(self.resampled.values).any():
            reason = "no threshold: the validation split has only one class"
        return Estimate(
            seeds=self.cube.seeds,
            seed_values=self.resampled.values,
            resampled=self.resampled.resampling.over_seeds(self.resampled.by_seed),
            num_patients=self.cube.num_patients,
            smallest_cell=self.cube.smallest_cell,
            reason=reason,
        )


@dataclass(frozen=True)
class _Cube:
    """Scores of one class under one protocol: every seed and draw of every study."""

    #: shape (S, K, N)
    scores: FloatArray
    #: shape (N,)
    is_positive: np.ndarray
    patient_ids: list[str]
    seeds: tuple[int, ...]

    @classmethod
    def build(cls, group: pd.DataFrame) -> _Cube:
        """Pivot the cases of one class.

        Raises:
            ValueError: if some study lacks a score for some seed and draw.
        """
        studies, study_ids = pd.factorize(group["study_id"])
        seeds, seed_values = pd.factorize(group["seed"], sort=True)
        draws, draw_values = pd.factorize(group["draw"].fillna(0), sort=True)
        scores = np.full((len(seed_values), len(draw_values), len(study_ids)), np.nan, dtype=np.float32)
        scores[seeds, draws, studies] = group["score"].to_numpy()
        if np.isnan(scores).any():
            raise ValueError(
                f"classification cases of {group['class'].iloc[0]!r}, {group['protocol'].iloc[0]}: some study lacks a "
                "score for some seed or draw, or it is not a number; evaluate the objective again"
            )
        first = np.unique(studies, return_index=True)[1]
        patient_ids = group["patient_id"].iloc[first].tolist()
        return cls(scores, group["label"].to_numpy()[first] > 0, patient_ids, tuple(seed_values.tolist()))

    @property
    def has_both(self) -> bool:
        return bool(self.is_positive.any() and not self.is_positive.all())

    @property
    def num_patients(self) -> int:
        return len(set(self.patient_ids))

    @property
    def smallest_cell(self) -> int:
        patients = np.array(self.patient_ids)
        return min(len(set(patients[self.is_positive])), len(set(patients[~self.is_positive])))


def _subsets(group: pd.DataFrame, metric: str) -> Iterator[tuple[str, pd.DataFrame]]:
    yield ALL, group
    if metric in SUBSET_METRICS:
        yield ABNORMAL, group[group["is_abnormal"]]
        for language in sorted(group["language"].dropna().unique()):
            yield f"language_{language}", group[group["language"] == language]


def _mean(group: pd.DataFrame, resampling: Resampling) -> Estimate:
    seeds, seed_values = pd.factorize(group["seed"], sort=True)
    shape = (len(seed_values), len(resampling.patients))
    cell = seeds * shape[1] + resampling.rows(group["patient_id"])
    values = group["value"].to_numpy(dtype=float)
    totals_SP = np.bincount(cell, weights=values, minlength=shape[0] * shape[1]).reshape(shape)
    counts_SP = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    num_patients = int(counts_SP.any(axis=0).sum())
    if not num_patients:
        return Estimate((), np.empty(0), np.empty(0), 0, 0, reason="no such case")
    by_seed_RS = bootstrap.mean_over_cases(resampling, totals_SP, counts_SP)
    return Estimate(
        seeds=tuple(seed_values.tolist()),
        seed_values=totals_SP.sum(axis=1) / counts_SP.sum(axis=1),
        resampled=resampling.over_seeds(by_seed_RS),
        num_patients=num_patients,
        smallest_cell=num_patients,
        patient_totals=totals_SP.mean(axis=0),
    )


def _median(group: pd.DataFrame, resampling: Resampling) -> Estimate:
    parts = {int(seed): part for seed, part in group.groupby("seed", sort=True)}
    by_seed = [
        bootstrap.median_over_cases(resampling, part["value"].to_numpy(), resampling.rows(part["patient_id"]))
        for part in parts.values()
    ]
    num_patients = group["patient_id"].nunique()
    medians = [float(np.quantile(part["value"], 0.5, method="inverted_cdf")) for part in parts.values()]
    return Estimate(
        seeds=tuple(parts),
        seed_values=np.array(medians),
        resampled=resampling.over_seeds(np.stack(by_seed, axis=1)),
        num_patients=num_patients,
        smallest_cell=num_patients,
    )


def _protocol_groups(cases: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str, float | None], pd.DataFrame]]:
    keys = ["split", "protocol", "class", "label_fraction"]
    for (split, protocol, finding, fraction), group in cases.groupby(keys, sort=False, observed=True, dropna=False):
        # Fractions are stored as float32: 0.01 is to read 0.01.
        yield (split, protocol, finding, None if np.isnan(fraction) else round(float(fraction), 6)), group


def _thresholds(validation: _Cube | None, evaluated: _Cube) -> FloatArray | None:
    """Threshold of each seed and draw (S, K), None where validation has not both labels."""
    if validation is None or not validation.has_both:
        return None
    if validation.scores.shape[:2] != evaluated.scores.shape[:2]:
        return None
    rows = validation.scores.reshape(-1, validation.scores.shape[2])
    return np.array([_best_threshold(scores, validation.is_positive) for scores in rows]).reshape(
        validation.scores.shape[:2]
    )


def _best_threshold(scores_N: FloatArray, is_positive_N: np.ndarray) -> float:
    order = np.argsort(-scores_N, kind="stable")
    scores, positive = scores_N[order].astype(float), is_positive_N[order]
    sensitivity = np.cumsum(positive) / positive.sum()
    false_alarms = np.cumsum(~positive) / (~positive).sum()
    lower = np.append(scores[1:], scores[-1] - 1.0)
    gain = np.where(scores > lower, sensitivity - false_alarms, -np.inf)
    best = int(np.argmax(np.round(gain, 9)))
    return 0.5 * (scores[best] + lower[best])


def _class_metrics(
    cube: _Cube, thresholds_SK: FloatArray | None, resampling: Resampling
) -> Iterator[tuple[str, _Resampled]]:
    num_seeds = len(cube.scores)
    patients = resampling.rows(cube.patient_ids)
    positive = cube.is_positive
    undefined = _Resampled(
        np.full(num_seeds, np.nan), np.full((len(resampling.weights), num_seeds), np.nan), resampling
    )
    if not cube.has_both:
        yield "auc", undefined
        yield "balanced_accuracy", undefined
        return
    wins = [bootstrap.pairwise_wins(scores_KN, positive) for scores_KN in cube.scores]
    curves = [bootstrap.area_under_curve(resampling, w, patients[positive], patients[~positive]) for w in wins]
    yield "auc", _Resampled(np.array([w.mean(dtype=float) for w in wins]), np.stack(curves, axis=1), resampling)
    if thresholds_SK is None:
        yield "balanced_accuracy", undefined
        return
    called_SN = (cube.scores > thresholds_SK[:, :, None]).mean(axis=1)
    values = 0.5 * (called_SN[:, positive].mean(axis=1) + 1.0 - called_SN[:, ~positive].mean(axis=1))
    accuracies = [bootstrap.balanced_accuracy(resampling, called, positive, patients) for called in called_SN]
    yield "balanced_accuracy", _Resampled(values, np.stack(accuracies, axis=1), resampling)


def _macro(of_classes: list[_ClassEstimate], min_positives: int) -> Estimate:
    chosen = [one for one in of_classes if one.cube.is_positive.sum() >= min_positives and one.cube.has_both]
    num_patients = len(set().union(*(one.cube.patient_ids for one in of_classes)))
    if not chosen or any(np.isnan(one.resampled.values).any() for one in chosen):
        reason = (
            "a class has no threshold: the validation split has only one label of it"
            if chosen
            else f"no class has {min_positives} positives and a negative in the split"
        )
        return Estimate((), np.empty(0), np.empty(0), num_patients, num_patients, reason=reason)
    by_seed_RS = _mean_of_known(np.stack([one.resampled.by_seed for one in chosen]))
    return Estimate(
        seeds=chosen[0].cube.seeds,
        seed_values=np.mean([one.resampled.values for one in chosen], axis=0),
        resampled=chosen[0].resampled.resampling.over_seeds(by_seed_RS),
        num_patients=num_patients,
        smallest_cell=num_patients,
    )


def _mean_of_known(values: FloatArray) -> FloatArray:
    """Mean over the first axis without NaN: a resample may hold no positive of a rare class."""
    is_known = ~np.isnan(values)
    total, count = np.where(is_known, values, 0.0).sum(axis=0), is_known.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
