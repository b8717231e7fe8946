"""Means and medians over cases with their resamples: queries, segmented studies, grounded phrases.

A mean is over cases, and cases are clustered in patients: a patient who has two studies counts twice
in the value, and is drawn or not drawn with both in every resample.

Shapes: G quantities, S seeds, P patients, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from stages.evaluation import bootstrap
from stages.evaluation.bootstrap import Resampling
from stages.evaluation.quantities import ABNORMAL, ALL, MACRO, RETRIEVAL, Quantity
from stages.evaluation.statistics import Estimate

FloatArray = np.ndarray

Estimates = dict[Quantity, Estimate]

# Metrics of retrieval that are also shown for parts of the queries.
SUBSET_METRICS = ("ndcg@10", "recall@10")
_KEYS = ["metric", "class", "label_fraction"]
_COLUMNS = [*_KEYS, "split", "seed", "patient_id", "value"]
_CATEGORY_IMAGES = "category_image_to_image/"
# Quantities that are resampled at a time.
_BLOCK = 128


def to_frame(cases: pa.Table) -> pd.DataFrame:
    """Read cases into a frame whose strings are categories: most of them repeat."""
    for position, field in enumerate(cases.schema):
        if pa.types.is_string(field.type):
            cases = cases.set_column(position, field.name, cases.column(position).dictionary_encode())
    return cases.to_pandas()


def retrieval_estimates(
    cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, min_patients: int = 0
) -> Estimates:
    """Average the metrics of one method over queries: all, by category, and for some metrics by part.

    Parts are the abnormal queries and those of each language.

    Args:
        cases: rows of ``RETRIEVAL_CASES`` of one method.
        resamplings: of the patients of each split; other splits are left out.
        min_patients: parts of fewer patients may have to be withheld, and what tells of them too.
    """
    is_rank = cases["metric"] == "rank"
    medians, means = cases[is_rank], cases[~is_rank]
    subset = means[means["metric"].isin(SUBSET_METRICS)]
    spoken, asked = subset[subset["language"].notna()], means[means["class"].notna()]
    parts = [
        means.assign(**{"class": ALL}),
        subset[subset["is_abnormal"]].assign(**{"class": ABNORMAL}),
        spoken.assign(**{"class": "language_" + spoken["language"].astype(str)}),
        asked.assign(**{"class": asked["class"].astype(str)}),
    ]
    frame = _named(pd.concat(parts, ignore_index=True))
    estimates = _protect_categories(_mean_estimates(frame, RETRIEVAL, resamplings, min_patients))
    ranks = _named(medians.assign(metric="median_rank", **{"class": ALL}))
    return estimates | _median_estimates(ranks, RETRIEVAL, resamplings)


def measure_estimates(
    cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, task: str, min_patients: int = 0
) -> Estimates:
    """Average the metrics of one method over cases, for each class and share of labels.

    Args:
        cases: rows of ``MEASURE_CASES`` of one method.
        resamplings: of the patients of each split; other splits are left out.
        task: what the cases are of.
        min_patients: parts of fewer patients may have to be withheld, and what tells of them too.
    """
    return _with_macros(_mean_estimates(cases, task, resamplings, min_patients), cases)


def protect_parts(counts_KP: FloatArray, whole_P: FloatArray, min_patients: int) -> list[int]:
    """Count the fewest patients that each part of a whole tells something of.

    A part tells of its own patients and, next to the whole, of the rest. Where parts are withheld, the
    whole and the parts that are shown still tell of those together: if they are few, the next smallest
    part has to be withheld with them.

    Args:
        counts_KP: cases of each patient in each part.
        whole_P: cases of each patient in the whole.
        min_patients: below which a part is withheld.
    """
    own = (counts_KP > 0).sum(axis=1)
    rest = (whole_P - counts_KP > 0).sum(axis=1)
    cells = np.where(rest > 0, np.minimum(own, rest), own)
    hidden_P = np.zeros_like(whole_P)
    for part in np.argsort(cells, kind="stable"):
        num_hidden = int((hidden_P > 0).sum())
        if 0 < num_hidden < min_patients:
            cells[part] = min(cells[part], num_hidden)
        if cells[part] < min_patients:
            hidden_P += counts_KP[part]
    return [int(cell) for cell in cells]


def patient_rows(patient_ids: pd.Series, resampling: Resampling) -> np.ndarray:
    """Look the number of each patient up, once for each that occurs."""
    codes, known = pd.factorize(patient_ids)
    return resampling.rows(list(known))[codes]


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Put the direction before the metric."""
    names = frame["direction"].astype(str) + "/" + frame["metric"].astype(str)
    return frame.assign(metric=names, label_fraction=np.nan)


def _with_macros(estimates: Estimates, cases: pd.DataFrame) -> Estimates:
    """Add the balanced accuracy where the accuracy of each class is known: the mean over classes, resampled as such."""
    classes: dict[Quantity, list[Estimate]] = {}
    for quantity, estimate in estimates.items():
        if quantity.metric.endswith("_accuracy") and not quantity.is_whole:
            classes.setdefault(replace(quantity, cls=MACRO), []).append(estimate)
    of_classes = cases[~cases["class"].isin((ALL, MACRO))].groupby(["metric", "split"], observed=True)
    num_patients = of_classes["patient_id"].nunique()
    return estimates | {q: _macro(parts, int(num_patients[q.metric, q.split])) for q, parts in classes.items()}


def _macro(parts: Sequence[Estimate], num_patients: int) -> Estimate:
    """Mean over classes, which may share patients; what is shown of it tells of the smallest one."""
    resampled_CR = np.stack([part.resampled for part in parts])
    is_known_CR = ~np.isnan(resampled_CR)
    total_R = np.where(is_known_CR, resampled_CR, 0.0).sum(axis=0)
    return Estimate(
        seeds=parts[0].seeds,
        seed_values=np.mean([part.seed_values for part in parts], axis=0),
        resampled=total_R / np.maximum(is_known_CR.sum(axis=0), 1),
        num_patients=num_patients,
        smallest_cell=min(part.smallest_cell for part in parts),
    )


def _protect_categories(estimates: Estimates) -> Estimates:
    """Let the numbers of a category tell of as few patients as have it: those whose images ask for it.

    A sentence's precision tells of the patients with the finding, not of those retrieved; what is shown of
    all categories tells of the smallest.
    """
    queries = {(q.split, q.cls): e for q, e in estimates.items() if q.metric.startswith(_CATEGORY_IMAGES)}
    fewest: dict[str, int] = {}
    for (split, cls), estimate in queries.items():
        if cls != ALL:
            fewest[split] = min(estimate.num_patients, fewest.get(split, estimate.num_patients))

    def cell(quantity: Quantity, estimate: Estimate) -> int:
        asked = queries.get((quantity.split, quantity.cls))
        limit = fewest.get(quantity.split, 0) if quantity.cls == ALL else asked.num_patients if asked else 0
        return min(estimate.smallest_cell, limit)

    return {
        quantity: replace(estimate, smallest_cell=cell(quantity, estimate))
        if quantity.metric.startswith("category_")
        else estimate
        for quantity, estimate in estimates.items()
    }


def _mean_estimates(
    cases: pd.DataFrame, task: str, resamplings: Mapping[str, Resampling], min_patients: int
) -> Estimates:
    estimates: Estimates = {}
    for split, frame in cases[_COLUMNS].groupby("split", sort=False, observed=True):
        if str(split) in resamplings and len(frame):
            sums = _Sums.build(frame, task, str(split), resamplings[str(split)])
            estimates |= sums.estimates(resamplings[str(split)], min_patients)
    return estimates


@dataclass(frozen=True)
class _Sums:
    """What means over cases need: sum and number of each patient's values, by quantity and seed."""

    quantities: list[Quantity]
    #: shape (S,)
    seeds: np.ndarray
    #: shape (G, S, P)
    totals: FloatArray
    counts: FloatArray

    @classmethod
    def build(cls, frame: pd.DataFrame, task: str, split: str, resampling: Resampling) -> _Sums:
        """Add up the cases of one method and split."""
        number = frame.groupby(_KEYS, sort=False, observed=True, dropna=False).ngroup().to_numpy()
        first = np.unique(number, return_index=True)[1]
        keys = frame.iloc[first][_KEYS].itertuples(index=False, name=None)
        # Fractions are stored as float32: 0.01 is to read 0.01.
        quantities = [
            Quantity(task, str(metric), split, str(part), None if pd.isna(share) else round(float(share), 6))
            for metric, part, share in keys
        ]
        seeds, seed_values = pd.factorize(frame["seed"], sort=True)
        shape = (len(quantities), len(seed_values), len(resampling.patients))
        cell = np.ravel_multi_index((number, seeds, patient_rows(frame["patient_id"], resampling)), shape)
        size = int(np.prod(shape))
        totals = np.bincount(cell, weights=frame["value"].to_numpy(dtype=float), minlength=size).reshape(shape)
        counts = np.bincount(cell, minlength=size).reshape(shape).astype(float)
        return cls(quantities, np.asarray(seed_values), totals, counts)

    def estimates(self, resampling: Resampling, min_patients: int) -> Estimates:
        """Resample every mean."""
        cells = self._smallest_cells(min_patients)
        return {
            self.quantities[row]: self._estimate(row, by_seed_RS, resampling, cells[row])
            for row, by_seed_RS in self._resample(resampling)
        }

    def _resample(self, resampling: Resampling) -> Iterator[tuple[int, FloatArray]]:
        num_groups, num_seeds, num_patients = self.totals.shape
        for start in range(0, num_groups, _BLOCK):
            here = slice(start, start + _BLOCK)
            flat = (-1, num_patients)
            means = bootstrap.mean_over_cases(
                resampling, self.totals[here].reshape(flat), self.counts[here].reshape(flat)
            )
            for offset, values_RS in enumerate(np.split(means, means.shape[1] // num_seeds, axis=1)):
                yield start + offset, values_RS

    def _estimate(self, row: int, by_seed_RS: FloatArray, resampling: Resampling, smallest_cell: int) -> Estimate:
        totals_SP, counts_SP = self.totals[row], self.counts[row]
        is_seed = counts_SP.any(axis=1)
        num_cases_S1 = counts_SP[is_seed].sum(axis=1, keepdims=True)
        shares_SP = totals_SP[is_seed] / num_cases_S1
        return Estimate(
            seeds=tuple(self.seeds[is_seed].tolist()),
            seed_values=shares_SP.sum(axis=1),
            resampled=resampling.over_seeds(by_seed_RS[:, is_seed]),
            num_patients=int(counts_SP.any(axis=0).sum()),
            smallest_cell=smallest_cell,
            patient_shares=shares_SP.mean(axis=0),
        )

    def _smallest_cells(self, min_patients: int) -> list[int]:
        present_GP = self.counts.max(axis=1)
        cells = [int((row > 0).sum()) for row in present_GP]
        wholes = {_key(q): row for row, q in enumerate(self.quantities) if q.is_whole}
        parts: dict[tuple, list[int]] = {}
        for row, quantity in enumerate(self.quantities):
            if not quantity.is_whole and _key(quantity) in wholes:
                parts.setdefault(_key(quantity), []).append(row)
        for key, rows in parts.items():
            protected = protect_parts(present_GP[rows], present_GP[wholes[key]], min_patients)
            for row, cell in zip(rows, protected, strict=True):
                cells[row] = cell
        return cells


def _key(quantity: Quantity) -> tuple:
    return quantity.metric, quantity.label_fraction


def _median_estimates(frame: pd.DataFrame, task: str, resamplings: Mapping[str, Resampling]) -> Estimates:
    estimates = {}
    for (split, metric, part), group in frame.groupby(["split", "metric", "class"], sort=False, observed=True):
        if str(split) in resamplings:
            quantity = Quantity(task, str(metric), str(split), str(part))
            estimates[quantity] = _median(group, resamplings[str(split)])
    return estimates


def _median(group: pd.DataFrame, resampling: Resampling) -> Estimate:
    parts: dict[int, pd.DataFrame] = {int(seed): part for seed, part in group.groupby("seed", sort=True)}
    by_seed = [
        bootstrap.median_over_cases(resampling, part["value"].to_numpy(), patient_rows(part["patient_id"], resampling))
        for part in parts.values()
    ]
    num_patients = group["patient_id"].nunique()
    return Estimate(
        seeds=tuple(parts),
        seed_values=np.array([np.quantile(part["value"], 0.5, method="inverted_cdf") for part in parts.values()]),
        resampled=resampling.over_seeds(np.stack(by_seed, axis=1)),
        num_patients=num_patients,
        smallest_cell=num_patients,
    )
