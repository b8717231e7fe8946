"""Rows of the results tables, from the estimates of every method."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stages.evaluation import statistics
from stages.evaluation.quantities import Quantity
from stages.evaluation.statistics import Difference, Estimate
from stages.evaluation.tables import Results, Row
from stages.evaluation.tasks import TASKS

RESULT_COLUMNS = (
    "task", "metric", "objective", "split", "class", "label_fraction", "shots", "draw", "seed", "value", "low", "high",
    "n", "delta_to_reference", "delta_low", "delta_high", "p", "p_holm", "seed_signs", "reason",
)  # fmt: skip
COMPARISON_COLUMNS = (
    "objective", "baseline", "task", "metric", "split", "class", "label_fraction", "shots", "n", "value",
    "baseline_value", "delta", "low", "high", "p", "p_holm", "better", "seed_signs", "reason",
)  # fmt: skip
HEADLINE_COLUMNS = ("objective", "task", "metric", "label_fraction", "value", "low", "high")
DECIMALS = 5


def result_rows(results: Results) -> list[Row]:
    """Every estimate with its interval and its difference to the reference method (``results.csv``)."""
    rows: list[Row] = []
    reference = results.params.reference
    adjusted = adjust(results, reference)
    for name, estimates in results.estimates.items():
        for quantity, estimate in estimates.items():
            row = _about(quantity) | {"objective": name, "seed": "all"} | results.shown(name, quantity)
            if name != reference and quantity in results.estimates[reference]:
                row |= _difference_columns(*results.difference(quantity, name, reference))
                if (name, quantity) in adjusted:
                    row["p_holm"] = adjusted[name, quantity]
            rows.append(row)
            rows += _seed_rows(results, name, quantity, estimate)
    return rows


def comparison_rows(results: Results) -> list[Row]:
    """Declared contrasts, and every method against the baselines (``comparisons.csv``).

    Contrasts are by every headline in every split; against the baselines, other splits than the primary
    one have their declared figures only. Holm's adjustment is over the declared figures of all methods
    against one baseline.
    """
    rows: list[Row] = []
    families = {baseline: adjust(results, baseline) for baseline in dict.fromkeys(b for _, b, _ in _pairs(results))}
    for name, baseline, is_contrast in _pairs(results):
        for quantity in _compared(results, is_everywhere=is_contrast):
            if quantity in results.estimates[name] and quantity in results.estimates[baseline]:
                row: Row = {"objective": name, "baseline": baseline} | _about(quantity)
                row |= _compare(results, quantity, name, baseline)
                if (name, quantity) in families[baseline]:
                    row["p_holm"] = families[baseline][name, quantity]
                rows.append(row)
    return rows


def headline_rows(results: Results) -> list[Row]:
    """The declared figure of every task, for every row of the tables that has a value (``headline.csv``)."""
    rows = []
    for quantity, task in results.primaries(results.params.primary_split).items():
        for name in results.estimates:
            cell = results.shown(name, quantity)
            if "low" in cell:
                about = _about(quantity) | {"objective": name, "metric": task.primary_title}
                rows.append(about | {key: cell[key] for key in ("value", "low", "high")})
    return rows


def flow_rows(flow: Iterable[Row], results: Results) -> list[Row]:
    """The cohort flow, small counts withheld where they are of real patients."""
    return [row | {"count": withhold(row["count"], results)} for row in flow]


def withhold(count: int, results: Results) -> int | str:
    """Give a count, or only that it is small where it is of real patients."""
    limit = results.params.min_patients
    return count if results.is_public or count == 0 or count >= limit else f"<{limit}"


def adjust(results: Results, baseline: str) -> dict[tuple[str, Quantity], float]:
    """Holm-adjusted p of every method's declared figures against one baseline, whichever of them are shown."""
    p_values: dict[tuple[str, Quantity], float] = {}
    for name in results.methods:
        shared = [quantity for quantity in results.estimates[name] if quantity in results.tested]
        for quantity in shared if name != baseline else []:
            if quantity in results.estimates[baseline]:
                difference, _ = results.difference(quantity, name, baseline)
                if difference is not None:
                    p_values[name, quantity] = difference.p
    return dict(zip(p_values, statistics.holm(list(p_values.values())), strict=True))


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write rows with five decimals; what a row lacks is an empty cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_text(row.get(name)) for name in columns] for row in rows)


def write_headline(path: Path, rows: Iterable[Row]) -> None:
    """Write the declared figures for ``dvc metrics``, by row of the tables and task."""
    values: dict[str, dict[str, float]] = {}
    for row in rows:
        values.setdefault(row["objective"], {})[row["task"]] = round(row["value"], DECIMALS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def _pairs(results: Results) -> Iterator[tuple[str, str, bool]]:
    """Method, baseline, and whether this is a declared contrast; each pair once."""
    pairs = {
        (name, other): True
        for name, others in results.params.contrasts.items()
        for other in others
        if {name, other} <= set(results.estimates)
    }
    for baseline in results.params.baselines:
        for name in results.methods if baseline in results.estimates else []:
            if name != baseline:
                pairs.setdefault((name, baseline), False)
    yield from ((name, baseline, is_contrast) for (name, baseline), is_contrast in pairs.items())


def _compared(results: Results, *, is_everywhere: bool) -> list[Quantity]:
    return [
        quantity
        for task in TASKS
        if task.is_compared
        for split in results.splits(task)
        for quantity in results.headlines(task, split)
        if is_everywhere or split == results.params.primary_split or quantity in results.primaries(split)
    ]


def _compare(results: Results, quantity: Quantity, name: str, baseline: str) -> Row:
    difference, reason = results.difference(quantity, name, baseline)
    cells = results.shown(name, quantity), results.shown(baseline, quantity)
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
    return {
        "task": quantity.task,
        "metric": quantity.metric,
        "split": quantity.split,
        "class": quantity.cls,
        "label_fraction": None if quantity.label_fraction is None else f"{quantity.label_fraction:g}",
        "shots": quantity.shots,
        "draw": "all" if quantity.labels else None,
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
    """One row a seed of the declared figures, in the primary split."""
    shown = results.shown(name, quantity)
    if quantity not in results.tested or "value" not in shown or len(estimate.seeds) < 2:
        return []
    about = _about(quantity) | {"objective": name, "n": shown["n"], "reason": "one seed"}
    by_seed = zip(estimate.seeds, estimate.seed_values.tolist(), strict=True)
    return [about | {"seed": seed, "value": value} for seed, value in by_seed]


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:.{DECIMALS}f}" if isinstance(value, float) else str(value)
