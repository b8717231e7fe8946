"""How well scores place findings in regions: rankings of the regions of a study, and areas over all of them.

Shapes: R resamples, S seeds, P patients, A positive and B negative cells, K regions of a study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import sparse

from stages.evaluation.bootstrap import Resampling, pairwise_wins
from stages.evaluation.estimates import Estimates, measure_estimates, patient_rows
from stages.evaluation.grounding import average_precision
from stages.evaluation.quantities import ALL, MACRO, REGIONS, Quantity
from stages.evaluation.statistics import Estimate
from stages.params import Params

FloatArray = np.ndarray

REGION_AP, PRESENCE_AUC = "region_ap", "region_presence/auc"
# Pairs of cells that are compared at a time: 8 MiB.
_BLOCK_SIZE = 1 << 21
_ONE_RANKING = ["seed", "split", "class", "study_id"]


class RegionsParams(Params):
    """Section ``evaluate_regions``.

    Attributes:
        objectives: objectives that are evaluated.
        splits: splits that are evaluated; the sharpness comes from validation.
        min_positives: studies with a finding that it needs in a split to count in the macro average.
        sharpness: how much the most similar patches of a region outweigh the others, to choose from: 0 is
            the mean over the region, and the larger, the nearer to its most similar patch.
        shuffle_seed: of the control whose regions are exchanged.
        batch_size: images embedded at a time.
        num_threads: CPU threads; fixed, since sums depend on their order.
        max_resident_gib: images are held in memory up to this size.
    """

    objectives: list[str]
    splits: list[str]
    min_positives: int = Field(ge=1)
    # Up to 300, e to the power of minus twice the sharpness is still a number.
    sharpness: list[Annotated[float, Field(ge=0, le=300)]] = Field(min_length=1)
    shuffle_seed: int = Field(ge=0)
    batch_size: int = Field(ge=1)
    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(ge=0)


def region_estimates(
    cases: pd.DataFrame, resamplings: Mapping[str, Resampling], *, min_positives: int, min_patients: int = 0
) -> Estimates:
    """Mean average precision of the ranking of regions, and the area over all regions of all studies.

    Args:
        cases: rows of ``REGION_CASES`` of one method.
        resamplings: of the patients of each split; other splits are left out.
        min_positives: studies with a finding that it needs in a split for its area to count.
        min_patients: parts of fewer patients may have to be withheld, and what tells of them too.
    """
    estimates = measure_estimates(ranking_cases(cases), resamplings, task=REGIONS, min_patients=min_patients)
    by_split: dict[str, list[_Area]] = {}
    for (split, cls), cells in cases.groupby(["split", "class"], sort=False, observed=True):
        if str(split) in resamplings:
            found = by_split.setdefault(str(split), [])
            if num_positive_studies(cells) >= min_positives and not cells["label"].all():
                found.append(_Area.of(str(cls), cells, resamplings[str(split)]))
    for split, areas in by_split.items():
        about = Quantity(REGIONS, PRESENCE_AUC, split, MACRO)
        estimates |= {replace(about, cls=area.cls): area.estimate for area in areas}
        estimates[about] = _macro(areas, min_positives)
    return estimates


def ranking_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Average precision of the regions of each study and finding that lies in one.

    Args:
        cases: rows of ``REGION_CASES`` of one method.

    Returns:
        Rows of ``MEASURE_CASES`` but for the objective, each case once for its finding and once for all.
    """
    number = cases.groupby(_ONE_RANKING, sort=False, observed=True).ngroup().to_numpy()
    order = np.argsort(number, kind="stable")
    starts = np.unique(number[order], return_index=True)[1]
    is_present = np.split(cases["label"].to_numpy()[order] > 0, starts[1:])
    scores = np.split(cases["score"].to_numpy()[order], starts[1:])
    is_case = np.array([bool(present_K.any()) for present_K in is_present], dtype=bool)[: len(starts)]
    ranked = cases.iloc[order[starts][is_case]][[*_ONE_RANKING, "patient_id"]]
    values = [average_precision(scores[row], is_present[row]) for row in np.flatnonzero(is_case)]
    by_class = ranked.assign(metric=REGION_AP, label_fraction=np.nan, value=np.array(values, dtype=np.float64))
    by_class["class"] = by_class["class"].astype(str)
    return pd.concat([by_class, by_class.assign(**{"class": ALL})], ignore_index=True)


def presence_areas(cases: pd.DataFrame) -> pd.DataFrame:
    """Area over all regions of all studies, for each split, finding and seed with both labels.

    Args:
        cases: rows of ``REGION_CASES`` of one method.

    Returns:
        ``split``, ``class``, ``seed``, ``num_positives`` (studies) and ``value``.
    """
    rows = [
        {
            "split": split,
            "class": cls,
            "seed": seed,
            "num_positives": num_positive_studies(cells),
            "value": _area(cells),
        }
        for (split, cls, seed), cells in cases.groupby(["split", "class", "seed"], sort=False, observed=True)
        if cells["label"].any() and not cells["label"].all()
    ]
    return pd.DataFrame(rows, columns=["split", "class", "seed", "num_positives", "value"])


def num_positive_studies(cells: pd.DataFrame) -> int:
    """Studies in which a finding lies in some region."""
    return int(cells["study_id"][cells["label"] > 0].nunique())


@dataclass(frozen=True)
class _Area:
    """The area of one finding in one split, and its patients."""

    cls: str
    estimate: Estimate
    patients: frozenset[int]

    @classmethod
    def of(cls, name: str, cells: pd.DataFrame, resampling: Resampling) -> _Area:
        """Measure and resample the area of every seed.

        A patient is drawn with all cells, so it is enough to know what share of the pairs of each two
        patients is in order: a few patients instead of many cells are resampled.
        """
        by_seed = {int(str(seed)): own for seed, own in cells.groupby("seed", sort=True)}
        resampled_SR = [_resample(own, resampling) for own in by_seed.values()]
        first = next(iter(by_seed.values()))
        everyone = frozenset(patient_rows(first["patient_id"], resampling).tolist())
        affected = set(patient_rows(first["patient_id"][first["label"] > 0], resampling).tolist())
        rest = len(everyone) - len(affected)
        estimate = Estimate(
            seeds=tuple(by_seed),
            seed_values=np.array([_area(own) for own in by_seed.values()]),
            resampled=resampling.over_seeds(np.stack(resampled_SR, axis=1)),
            num_patients=len(everyone),
            smallest_cell=min(len(affected), rest) if rest else len(affected),
        )
        return cls(name, estimate, everyone)


def _macro(areas: Sequence[_Area], min_positives: int) -> Estimate:
    if not areas:
        reason = f"no finding lies in a region of {min_positives} studies of the split"
        return Estimate((), np.empty(0), np.empty(0), 0, 0, reason=reason)
    resampled_CR = np.stack([area.estimate.resampled for area in areas])
    is_known_CR = ~np.isnan(resampled_CR)
    total_R = np.where(is_known_CR, resampled_CR, 0.0).sum(axis=0)
    count_R = is_known_CR.sum(axis=0)
    return Estimate(
        seeds=areas[0].estimate.seeds,
        seed_values=np.mean([area.estimate.seed_values for area in areas], axis=0),
        resampled=np.divide(total_R, count_R, out=np.full(len(total_R), np.nan), where=count_R > 0),
        num_patients=len(frozenset().union(*(area.patients for area in areas))),
        # The average and the other findings tell of any one of them.
        smallest_cell=min(area.estimate.smallest_cell for area in areas),
    )


def _area(cells: pd.DataFrame) -> float:
    """Share of the pairs of a positive and a negative cell of one seed that are in order, ties one half."""
    scores, is_positive = cells["score"].to_numpy(), cells["label"].to_numpy() > 0
    negative_B = np.sort(scores[~is_positive])
    ends = [np.searchsorted(negative_B, scores[is_positive], side=side) for side in ("left", "right")]
    return float(np.mean(ends)) / len(negative_B)


def _resample(cells: pd.DataFrame, resampling: Resampling) -> FloatArray:
    """Area of one seed in every resample, NaN where it has only one label; shape (R,)."""
    patients, scores = patient_rows(cells["patient_id"], resampling), cells["score"].to_numpy()
    is_positive = cells["label"].to_numpy() > 0
    affected, positive_A = np.unique(patients[is_positive], return_inverse=True)
    everyone, negative_B = np.unique(patients[~is_positive], return_inverse=True)
    positive_PA, negative_PB = _members(positive_A), _members(negative_B)
    wins_PP = positive_PA @ _wins_over(scores[is_positive], scores[~is_positive], negative_PB)
    positive_RP, negative_RP = (resampling.exact_weights[:, chosen] for chosen in (affected, everyone))
    won_R = np.einsum("rp,rp->r", positive_RP @ wins_PP, negative_RP)
    num_pairs_R = (positive_RP @ positive_PA.sum(axis=1)) * (negative_RP @ negative_PB.sum(axis=1))
    return np.divide(won_R, num_pairs_R, out=np.full(len(won_R), np.nan), where=num_pairs_R > 0)


def _wins_over(positive_A: FloatArray, negative_B: FloatArray, negative_PB: sparse.csr_array) -> FloatArray:
    """Count the negative cells of each patient that each positive cell outscores, ties one half; shape (A, P)."""
    step = max(1, _BLOCK_SIZE // len(negative_B))
    blocks = []
    for start in range(0, len(positive_A), step):
        positive_a = positive_A[start : start + step]
        is_positive = np.arange(len(positive_a) + len(negative_B)) < len(positive_a)
        blocks.append(negative_PB @ pairwise_wins(np.concatenate([positive_a, negative_B])[None], is_positive).T)
    return np.concatenate(blocks, axis=1).T


def _members(patients: np.ndarray) -> sparse.csr_array:
    """Which cells belong to each patient; shape (P, cells)."""
    return sparse.csr_array((np.ones(len(patients)), (patients, np.arange(len(patients)))))
