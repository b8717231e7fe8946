"""Estimates of every method, and what may be shown of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field

from stages.evaluation import statistics
from stages.evaluation.estimates import Estimates
from stages.evaluation.publication import SimulatedFolder
from stages.evaluation.quantities import MACRO, Quantity
from stages.evaluation.statistics import Difference, Estimate
from stages.evaluation.tasks import REFERENCES, TASKS
from stages.evaluation.views import Column, Task, View
from stages.params import Params

Row = dict[str, Any]


class TabulateParams(Params):
    """Section ``tabulate_results``.

    Attributes:
        learn_from_labels: methods that tables of values mark, because they learn from labels of images.
    """

    seed: int = Field(ge=0)
    num_resamples: int = Field(ge=10)
    num_sign_flips: int = Field(ge=10)
    num_workers: int = Field(ge=1)
    confidence: float = Field(gt=0, lt=1)
    min_patients: int = Field(ge=2)
    primary_split: str
    reference: str
    baselines: list[str]
    contrasts: dict[str, list[str]]
    learn_from_labels: list[str]
    simulated_folder: SimulatedFolder
    publish_examples: bool


@dataclass(frozen=True)
class Results:
    """Estimates of every method, in the order of the tables, and what may be shown of them."""

    params: TabulateParams
    estimates: Mapping[str, Estimates]
    is_simulated: bool
    #: names of the two-class tasks among the classes
    subtypes: Collection[str] = ()

    @property
    def methods(self) -> list[str]:
        """The pretraining objectives, without the reference rows."""
        return [name for name in self.estimates if name not in REFERENCES]

    @property
    def is_public(self) -> bool:
        """Whether small cells may be shown."""
        return self.is_simulated or self.params.publish_examples

    @cached_property
    def known(self) -> dict[tuple[str, str, str], list[Quantity]]:
        """Quantities that some objective has, by task, metric and split."""
        found: dict[tuple[str, str, str], dict[Quantity, None]] = {}
        for name in self.methods:
            for quantity in self.estimates[name]:
                found.setdefault((quantity.task, quantity.metric, quantity.split), {})[quantity] = None
        return {key: list(quantities) for key, quantities in found.items()}

    def has_cases(self, task: Task) -> bool:
        """Whether anything is known of a task."""
        return any(name == task.name for name, _, _ in self.known)

    def splits(self, task: Task) -> list[str]:
        """Evaluated splits of a task, the primary one first."""
        found = {split for name, _, split in self.known if name == task.name}
        return sorted(found, key=lambda split: (split != self.params.primary_split, split))

    def columns(self, task: Task, view: View, split: str) -> list[tuple[Quantity, str]]:
        """Columns of a table that some method has a number for, with their headings."""
        return [
            (quantity, self._heading(task, column, quantity))
            for column in view.columns
            for quantity in self._quantities(task, column, split)
        ]

    def headlines(self, task: Task, split: str) -> list[Quantity]:
        """The quantities that methods are compared by: the first table of a task."""
        return [quantity for quantity, _ in self.columns(task, task.views[0], split)]

    def primaries(self, split: str) -> dict[Quantity, Task]:
        """The declared figures in one split."""
        return {replace(task.primary, split=split): task for task in TASKS if task.primary is not None}

    @cached_property
    def compared(self) -> frozenset[Quantity]:
        """The quantities that methods are compared by, in every split."""
        compared = [task for task in TASKS if task.is_compared]
        return frozenset(q for task in compared for split in self.splits(task) for q in self.headlines(task, split))

    @cached_property
    def tested(self) -> frozenset[Quantity]:
        """The declared figures in the primary split: one family of tests for each baseline."""
        return frozenset(self.primaries(self.params.primary_split))

    @cached_property
    def cells(self) -> dict[tuple[str, Quantity], Row]:
        """Value, interval and reason of every number of every method, as far as they may be shown."""
        return {
            (name, quantity): self._cell(estimate)
            for name, estimates in self.estimates.items()
            for quantity, estimate in estimates.items()
        }

    def shown(self, name: str, quantity: Quantity) -> Row:
        """Cell of one method, empty where it has no such number."""
        return self.cells.get((name, quantity), {})

    def difference(self, quantity: Quantity, method: str, baseline: str) -> tuple[Difference | None, str]:
        """Compare one number of two methods, and test it where methods are compared by it.

        Returns:
            The difference; without one, the reason.
        """
        pair = self.estimates[method][quantity], self.estimates[baseline][quantity]
        smaller = min(pair, key=lambda estimate: estimate.num_patients)
        if any(self._is_suppressed(estimate) for estimate in pair):
            return None, f"fewer than {self.params.min_patients} patients, suppressed"
        if any(np.isnan(estimate.value) for estimate in pair):
            return None, pair[0].reason or pair[1].reason or "not defined"
        if smaller.num_patients < self.params.min_patients:
            return None, self._too_few(smaller)
        compared = statistics.compare(
            *pair,
            confidence=self.params.confidence,
            num_sign_flips=self.params.num_sign_flips,
            seed=self.params.seed,
            is_lower_better=quantity.is_lower_better,
            is_tested=quantity in self.compared,
        )
        return compared, ""

    def _cell(self, estimate: Estimate) -> Row:
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

    def _quantities(self, task: Task, column: Column, split: str) -> list[Quantity]:
        found = self.known.get((task.name, column.metric, split), [])
        most = max((q.label_fraction for q in found if q.label_fraction is not None), default=None)
        has_amount = {
            "one": lambda q: q.label_fraction is None and q.shots is None,
            "shares": lambda q: q.label_fraction is not None,
            "shots": lambda q: q.shots is not None,
            "most": lambda q: q.label_fraction is not None and q.label_fraction == most,
        }[column.amounts]
        is_of = {
            "whole": lambda q: q.is_whole,
            "macro": lambda q: q.cls == MACRO,
            "each": lambda q: not q.is_whole and q.cls not in self.subtypes,
            "subtypes": lambda q: q.cls in self.subtypes,
        }[column.classes]
        chosen = [quantity for quantity in found if has_amount(quantity) and is_of(quantity)]
        return sorted(chosen, key=lambda q: (q.cls, q.label_fraction or 0.0, q.shots or 0))

    def _heading(self, task: Task, column: Column, quantity: Quantity) -> str:
        parts = [column.title] if column.title else []
        if column.classes in ("each", "subtypes"):
            parts.append(quantity.cls.replace("_", " "))
        if quantity.shots is not None:
            parts.append(f"{quantity.shots} per class")
        if quantity.label_fraction is not None:
            parts.append(f"{quantity.label_fraction:.0%} of {task.labels_name}")
        return ", ".join(parts)

    def _is_suppressed(self, estimate: Estimate) -> bool:
        return not self.is_public and estimate.smallest_cell < self.params.min_patients

    def _too_few(self, estimate: Estimate) -> str:
        return f"{estimate.num_patients} test patients, {self.params.min_patients} needed for an interval"
