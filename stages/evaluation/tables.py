"""Rows of the results tables, from the estimates of every method."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from stages.evaluation import statistics
from stages.evaluation.cases import CHANCE, METADATA
from stages.evaluation.estimates import ALL, CLASSIFICATION, MACRO, RETRIEVAL, Estimates, Quantity
from stages.evaluation.statistics import Difference, Estimate
from stages.params import Params

REFERENCES = (CHANCE, METADATA)

RESULT_COLUMNS = (
    "task", "metric", "objective", "split", "class", "label_fraction", "draw", "seed", "value", "low", "high", "n",
    "delta_to_reference", "delta_low", "delta_high", "p", "p_holm", "seed_signs", "reason",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "objective", "baseline", "task", "metric", "split", "class", "label_fraction", "n", "value", "baseline_value",
    "delta", "low", "high", "p", "p_holm", "better", "seed_signs", "reason",
)  # fmt: skip

NDCG = Quantity(RETRIEVAL, "image_to_text/ndcg@10", "", ALL)
RECALL = Quantity(RETRIEVAL, "image_to_text/recall@10", "", ALL)
ZERO_SHOT_AUC = Quantity(CLASSIFICATION, "zero_shot/auc", "", MACRO)
PROBE_AUC = Quantity(CLASSIFICATION, "linear_probe/auc", "", MACRO)
SUPERVISED_AUC = Quantity(CLASSIFICATION, "supervised/auc", "", MACRO)
#: the one declared figure of each task that is tested, with Holm's adjustment
PRIMARY = (NDCG, ZERO_SHOT_AUC)

Row = dict[str, Any]


class TabulateParams(Params):
    """Section ``tabulate_results``."""

    seed: int = Field(ge=0)
    num_resamples: int = Field(ge=10)
    num_sign_flips: int = Field(ge=10)
    confidence: float = Field(gt=0, lt=1)
    min_patients: int = Field(ge=2)
    primary_split: str
    reference: str
    baselines: list[str]
    contrasts: dict[str, list[str]]
    simulated_folder: Path
    publish_examples: bool


@dataclass(frozen=True)
class Results:
    """Estimates of every method, in the order of the tables, and what may be shown of them."""

    params: TabulateParams
    estimates: Mapping[str, Estimates]
    is_simulated: bool

    @property
    def methods(self) -> list[str]:
        """The pretraining objectives, without the reference rows."""
        return [name for name in self.estimates if name not in REFERENCES]

    @cached_property
    def splits(self) -> list[str]:
        """Evaluated splits, the primary one first."""
        found = dict.fromkeys(quantity.split for estimates in self.estimates.values() for quantity in estimates)
        return sorted(found, key=lambda split: (split != self.params.primary_split, split))

    @cached_property
    def label_fractions(self) -> list[float]:
        """Label fractions of the linear probe."""
        found = {q.label_fraction for estimates in self.estimates.values() for q in estimates}
        return sorted(fraction for fraction in found if fraction is not None)

    def headlines(self, split: str) -> list[Quantity]:
        """The quantities of the first table, which are also the compared ones."""
        probes = [replace(PROBE_AUC, label_fraction=fraction) for fraction in self.label_fractions]
        return [replace(quantity, split=split) for quantity in (NDCG, RECALL, ZERO_SHOT_AUC, *probes, SUPERVISED_AUC)]

    def is_primary(self, quantity: Quantity) -> bool:
        """Whether this is the declared figure of its task."""
        return any(quantity == replace(primary, split=self.params.primary_split) for primary in PRIMARY)

    def cell(self, estimate: Estimate) -> Row:
        """Value, interval and reason of an estimate, as far as it may be shown."""
        if self._is_suppressed(estimate):
            return {"reason": f"fewer than {self.params.min_patients} patients, suppressed"}
        row: Row = {"n": estimate.num_patients}
        if np.isnan(estimate.value):
            return row | {"reason": estimate.reason or "not defined"}
        row["value"] = estimate.value
        if estimate.num_patients < self.params.min_patients:
            return row | {"reason": self._too_few(estimate)}
        low, high = statistics.interval(estimate.resampled, self.params.confidence)
        return row | {"low": low, "high": high}

    def difference(self, method: Estimate, baseline: Estimate) -> tuple[Difference | None, str]:
        """Compare two estimates of one quantity; without a comparison, the reason."""
        smaller = min(method, baseline, key=lambda estimate: estimate.num_patients)
        if self._is_suppressed(method) or self._is_suppressed(baseline):
            return None, f"fewer than {self.params.min_patients} patients, suppressed"
        if np.isnan(method.value) or np.isnan(baseline.value):
            return None, method.reason or baseline.reason or "not defined"
        if smaller.num_patients < self.params.min_patients:
            return None, self._too_few(smaller)
        compared = statistics.compare(
            method,
            baseline,
            confidence=self.params.confidence,
            num_sign_flips=self.params.num_sign_flips,
            seed=self.params.seed,
        )
        return compared, ""

    def _is_suppressed(self, estimate: Estimate) -> bool:
        is_public = self.is_simulated or self.params.publish_examples
        return not is_public and estimate.smallest_cell < self.params.min_patients

    def _too_few(self, estimate: Estimate) -> str:
        return f"{estimate.num_patients} test patients, {self.params.min_patients} needed for an interval"


def result_rows(results: Results) -> list[Row]:
    """Every estimate with its interval and its difference to the reference method (``results.csv``)."""
    rows: list[Row] = []
    adjusted = _adjusted(results, results.params.reference)
    for name, estimates in results.estimates.items():
        for quantity, estimate in estimates.items():
            row = _about(quantity) | {"objective": name, "seed": "all"} | results.cell(estimate)
            reference = results.estimates[results.params.reference].get(quantity)
            if reference is not None and name != results.params.reference:
                row |= _difference_columns(*results.difference(estimate, reference))
                if (name, quantity) in adjusted:
                    row["p_holm"] = adjusted[name, quantity]
            rows.append(row)
            rows += _seed_rows(results, name, quantity, estimate)
    return rows


def comparison_rows(results: Results) -> list[Row]:
    """Every headline of every method against the baselines, and the declared contrasts (``comparisons.csv``).

    Holm's adjustment is over the primary figures of all methods against one baseline.
    """
    rows: list[Row] = []
    families = {baseline: _adjusted(results, baseline) for baseline in dict.fromkeys(b for _, b in _pairs(results))}
    for name, baseline in _pairs(results):
        for quantity in [quantity for split in results.splits for quantity in results.headlines(split)]:
            pair = results.estimates[name].get(quantity), results.estimates[baseline].get(quantity)
            if pair[0] is None or pair[1] is None:
                continue
            row = _compare(results, pair[0], pair[1]) | {"objective": name, "baseline": baseline} | _about(quantity)
            if (name, quantity) in families[baseline]:
                row["p_holm"] = families[baseline][name, quantity]
            rows.append(row)
    return rows


def flow_rows(flow: Iterable[Row], results: Results) -> list[Row]:
    """The cohort flow, small counts withheld where they are of real patients."""
    is_public = results.is_simulated or results.params.publish_examples
    limit = results.params.min_patients
    return [
        row if is_public or row["count"] == 0 or row["count"] >= limit else row | {"count": f"<{limit}"} for row in flow
    ]


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows with six decimals; what a row lacks is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(row.get(name)) for name in columns] for row in rows)


def _pairs(results: Results) -> Iterator[tuple[str, str]]:
    for name, baselines in results.params.contrasts.items():
        yield from ((name, other) for other in baselines if {name, other} <= set(results.estimates))
    for baseline in results.params.baselines:
        yield from ((name, baseline) for name in results.methods if baseline in results.estimates and name != baseline)


def _adjusted(results: Results, baseline: str) -> dict[tuple[str, Quantity], float]:
    """Holm-adjusted p of every method's primary figures against one baseline, whichever of them are shown."""
    p_values: dict[tuple[str, Quantity], float] = {}
    for name in results.methods:
        for quantity, estimate in results.estimates[name].items():
            other = results.estimates[baseline].get(quantity)
            if name != baseline and other is not None and results.is_primary(quantity):
                difference, _ = results.difference(estimate, other)
                if difference is not None:
                    p_values[name, quantity] = difference.p
    return dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))


def _compare(results: Results, method: Estimate, baseline: Estimate) -> Row:
    difference, reason = results.difference(method, baseline)
    cells = results.cell(method), results.cell(baseline)
    row: Row = {"n": cells[0].get("n"), "value": cells[0].get("value"), "baseline_value": cells[1].get("value")}
    if difference is None:
        return row | {"reason": reason}
    return row | {
        "delta": difference.delta,
        "low": difference.low,
        "high": difference.high,
        "p": difference.p,
        "better": "yes" if difference.is_better else "no",
        "seed_signs": difference.seed_signs,
    }


def _about(quantity: Quantity) -> Row:
    is_drawn = quantity.label_fraction is not None
    return {
        "task": quantity.task,
        "metric": quantity.metric,
        "split": quantity.split,
        "class": quantity.cls,
        "label_fraction": f"{quantity.label_fraction:g}" if is_drawn else None,
        "draw": "all" if is_drawn else None,
    }


def _difference_columns(difference: Difference | None, reason: str) -> Row:
    if difference is None:
        return {"reason": reason}
    return {
        "delta_to_reference": difference.delta,
        "delta_low": difference.low,
        "delta_high": difference.high,
        "p": difference.p,
        "seed_signs": difference.seed_signs,
    }


def _seed_rows(results: Results, name: str, quantity: Quantity, estimate: Estimate) -> list[Row]:
    shown = results.cell(estimate)
    if quantity not in results.headlines(quantity.split) or "value" not in shown or len(estimate.seeds) < 2:
        return []
    about = _about(quantity) | {"objective": name, "n": shown["n"], "reason": "one seed"}
    by_seed = zip(estimate.seeds, estimate.seed_values.tolist(), strict=True)
    return [about | {"seed": seed, "value": value} for seed, value in by_seed]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
