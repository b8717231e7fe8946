"""Scores of studies as arrays: every seed, amount of labels and draw of one class and protocol.

Shapes: M scorings (seed, amount of labels, draw), T scorings averaged over draws, N studies.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

FloatArray = np.ndarray


@dataclass(frozen=True, order=True)
class Slot:
    """One amount of labels and one seed; its draws are averaged."""

    label_fraction: float
    shots: int
    seed: int

    @property
    def is_whole(self) -> bool:
        """Whether all labels are used, or none."""
        return self.shots < 0 and (self.label_fraction < 0 or self.label_fraction >= 1)


@dataclass(frozen=True)
class Cube:
    """Scores of one class under one protocol: every seed, amount of labels and draw, of every study."""

    slots: list[Slot]
    #: slot of each scoring, ascending, shape (M,)
    slot_of_scoring: np.ndarray
    #: shape (M, N)
    scores: FloatArray
    #: shape (N,)
    is_positive: np.ndarray
    patient_ids: pd.Series

    @classmethod
    def build(cls, group: pd.DataFrame, slots: list[Slot], num_draws: int) -> Cube:
        """Pivot the cases of one class.

        Raises:
            ValueError: if some study lacks a score for some seed and draw.
        """
        studies, study_ids = pd.factorize(group["study_id"])
        scorings, numbers = pd.factorize(group["scoring"], sort=True)
        scores = np.full((len(numbers), len(study_ids)), np.nan, dtype=np.float32)
        scores[scorings, studies] = group["score"].to_numpy()
        if np.isnan(scores).any():
            raise ValueError(
                f"classification cases of {group['class'].iloc[0]!r}, {group['protocol'].iloc[0]}: some study lacks a "
                "score for some seed or draw, or it is not a number; evaluate the objective again"
            )
        first = group.iloc[np.unique(studies, return_index=True)[1]]
        used, slot_of_scoring = np.unique(np.asarray(numbers) // num_draws, return_inverse=True)
        is_positive = first["label"].to_numpy() > 0
        return cls([slots[slot] for slot in used], slot_of_scoring, scores, is_positive, first["patient_id"])

    @cached_property
    def has_both(self) -> bool:
        """Whether there are positive and negative studies."""
        return bool(self.is_positive.any() and not self.is_positive.all())

    @cached_property
    def num_patients(self) -> int:
        """Patients behind the studies."""
        return int(self.patient_ids.nunique())

    @cached_property
    def smallest_cell(self) -> int:
        """Patients of the label that fewer have."""
        positive, negative = self.patient_ids[self.is_positive], self.patient_ids[~self.is_positive]
        return min(int(positive.nunique()), int(negative.nunique()))

    def keep(self, is_kept: np.ndarray) -> Cube:
        """Leave slots out."""
        new = np.cumsum(is_kept) - 1
        rows = is_kept[self.slot_of_scoring]
        slots = [slot for slot, kept in zip(self.slots, is_kept, strict=True) if kept]
        return Cube(slots, new[self.slot_of_scoring[rows]], self.scores[rows], self.is_positive, self.patient_ids)

    def mean_over_draws(self, values_MX: FloatArray) -> FloatArray:
        """Average over the draws of each slot, shape (T, ...)."""
        starts = np.unique(self.slot_of_scoring, return_index=True)[1]
        num_draws = np.bincount(self.slot_of_scoring).reshape(-1, *[1] * (values_MX.ndim - 1))
        return np.add.reduceat(values_MX, starts, axis=0) / num_draws


def build_cubes(cases: pd.DataFrame, splits: Collection[str]) -> dict[tuple[str, str, str], Cube]:
    """Pivot the cases of one method, by split, protocol and class.

    Args:
        cases: rows of ``CLASSIFICATION_CASES`` of one method.
        splits: those to keep.

    Raises:
        ValueError: if some study lacks a score for some seed and draw.
    """
    # Fractions are stored as float32: 0.01 is to read 0.01.
    amounts = pd.DataFrame(
        {
            "label_fraction": cases["label_fraction"].astype(float).round(6).fillna(-1.0),
            "shots": cases["shots"].fillna(-1).astype(int),
            "seed": cases["seed"],
        }
    )
    draws = cases["draw"].fillna(0).to_numpy(dtype=int)
    num_draws = int(draws.max(initial=0)) + 1
    by_slot = amounts.groupby(list(amounts.columns), sort=True)
    slots = [Slot(float(fraction), int(shots), int(seed)) for fraction, shots, seed in by_slot.indices]
    frame = cases.assign(scoring=by_slot.ngroup().to_numpy() * num_draws + draws)
    frame = frame[frame["split"].isin(list(splits))]
    return {
        (str(split), str(protocol), str(finding)): Cube.build(group, sorted(slots), num_draws)
        for (split, protocol, finding), group in frame.groupby(
            ["split", "protocol", "class"], sort=False, observed=True
        )
    }
