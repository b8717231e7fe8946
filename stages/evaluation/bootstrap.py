"""Resampling of patients and seeds: the distribution that every interval of the tables is read from.

Patients are drawn with replacement, with all their studies; seeds likewise, but one fewer than there
are: the spread of three resampled seeds is on average only two thirds of what it estimates, that of two
out of three is right (Rao and Wu 1988). The gallery of a retrieval stays whole: only queries are
resampled. The same draws serve every method, which makes differences paired.

Shapes: R resamples, P patients, S seeds, K draws, N studies (A positive, B negative), Q queries, T scorings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

FloatArray = np.ndarray

# Products held at a time: 8 MiB, which stays near the processor.
_BLOCK_SIZE = 1 << 21


@dataclass(frozen=True)
class Resampling:
    """How often each patient of a split counts in each resample."""

    patients: dict[str, int]
    #: shape (R, P); a patient's resamples lie side by side in memory, as all that follows reads them
    weights: FloatArray
    seed: int

    @classmethod
    def draw(cls, patient_ids: Sequence[str], num_resamples: int, seed: int) -> Resampling:
        """Draw patients with replacement; the draw depends on their number and order, not on their ids."""
        patients = {patient_id: number for number, patient_id in enumerate(dict.fromkeys(patient_ids))}
        num = max(len(patients), 1)
        weights = np.random.default_rng([seed, 0]).multinomial(num, np.full(num, 1 / num), size=num_resamples)
        return cls(patients, np.asfortranarray(weights, dtype=np.float32), seed)

    def rows(self, patient_ids: Sequence[str]) -> np.ndarray:
        """Number of each patient."""
        return np.array([self.patients[patient_id] for patient_id in patient_ids], dtype=int)

    @cached_property
    def exact_weights(self) -> FloatArray:
        """The weights in double precision, shape (R, P)."""
        return self.weights.astype(np.float64)

    def over_seeds(self, values_RS: FloatArray) -> FloatArray:
        """Average each resample over seeds drawn with replacement, one fewer than there are; shape (R,)."""
        num_resamples, num_seeds = values_RS.shape
        return (values_RS * _draw_seeds(self.seed, num_seeds, num_resamples)).sum(axis=1).astype(np.float32)


def mean_over_cases(resampling: Resampling, totals_SP: FloatArray, counts_SP: FloatArray) -> FloatArray:
    """Resample a mean over cases, given each patient's sum of values and number of cases; shape (R, S)."""
    return _divide(resampling.exact_weights @ totals_SP.T, resampling.exact_weights @ counts_SP.T)


def median_over_cases(resampling: Resampling, values_Q: FloatArray, patients_Q: np.ndarray) -> FloatArray:
    """Resample the (lower) median over the cases of one seed; shape (R,)."""
    order = np.argsort(values_Q, kind="stable")
    cumulative_RQ = np.cumsum(resampling.weights[:, patients_Q[order]], axis=1)
    position_R = (cumulative_RQ < 0.5 * cumulative_RQ[:, -1:]).sum(axis=1)
    return np.where(cumulative_RQ[:, -1] > 0, values_Q[order][np.minimum(position_R, len(order) - 1)], np.nan)


def pairwise_wins(scores_KN: FloatArray, is_positive_N: np.ndarray) -> FloatArray:
    """Share of draws in which each positive outscores each negative, ties one half; shape (A, B).

    Its mean is the mean AUC over the draws (Mann–Whitney), and with weights for the studies so is its
    weighted mean, which makes resampling a matrix product.
    """
    wins_AB = np.zeros((int(is_positive_N.sum()), int((~is_positive_N).sum())), dtype=np.float32)
    for scores_N in scores_KN:
        positive_A1, negative_B = scores_N[is_positive_N, None], scores_N[~is_positive_N]
        wins_AB += (positive_A1 > negative_B) + np.float32(0.5) * (positive_A1 == negative_B)
    return wins_AB / len(scores_KN)


def area_under_curve(
    resampling: Resampling, wins_TAB: FloatArray, positives_A: np.ndarray, negatives_B: np.ndarray
) -> FloatArray:
    """Resample the areas under the ROC curves of several scorings of the same studies.

    Args:
        resampling: of the patients.
        wins_TAB: from :func:`pairwise_wins`, for each scoring.
        positives_A: patient of each positive study.
        negatives_B: patient of each negative study.

    Returns:
        AUC by resample and scoring (R, T), NaN where a resample has only one label.
    """
    positive_AR, negative_BR = resampling.weights.T[positives_A], resampling.weights.T[negatives_B]
    step = max(1, _BLOCK_SIZE // max(negative_BR.size, 1))
    blocks = []
    for wins_tAB in (wins_TAB[start : start + step] for start in range(0, len(wins_TAB), step)):
        won_tBR = (wins_tAB.transpose(0, 2, 1).reshape(-1, len(positives_A)) @ positive_AR).reshape(
            len(wins_tAB), *negative_BR.shape
        )
        won_tBR *= negative_BR
        blocks.append(won_tBR.sum(axis=1).astype(np.float64))
    num_pairs_R = positive_AR.sum(axis=0, dtype=float) * negative_BR.sum(axis=0, dtype=float)
    return _divide(np.concatenate(blocks), num_pairs_R).T


def balanced_accuracy(
    resampling: Resampling, called_TN: FloatArray, is_positive_N: np.ndarray, patients_N: np.ndarray
) -> FloatArray:
    """Resample the means of sensitivity and specificity of several scorings of the same studies.

    Args:
        resampling: of the patients.
        called_TN: share of the draws that call each study positive, for each scoring.
        is_positive_N: its label.
        patients_N: its patient.

    Returns:
        Balanced accuracy by resample and scoring (R, T), NaN where a resample has only one label.
    """
    positive_AR = resampling.weights.T[patients_N[is_positive_N]]
    negative_BR = resampling.weights.T[patients_N[~is_positive_N]]
    called_TN = called_TN.astype(np.float32)
    found_TR = called_TN[:, is_positive_N] @ positive_AR
    spared_TR = (1 - called_TN[:, ~is_positive_N]) @ negative_BR
    sensitivity_TR = _divide(found_TR, positive_AR.sum(axis=0))
    specificity_TR = _divide(spared_TR, negative_BR.sum(axis=0))
    return 0.5 * (sensitivity_TR + specificity_TR).T


@lru_cache(maxsize=16)
def _draw_seeds(seed: int, num_seeds: int, num_resamples: int) -> FloatArray:
    """Share of each seed in each resample, shape (R, S)."""
    num_drawn = max(num_seeds - 1, 1)
    rng = np.random.default_rng([seed, 1, num_seeds])
    return rng.multinomial(num_drawn, np.full(num_seeds, 1 / num_seeds), size=num_resamples) / num_drawn


def _divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient, NaN where the denominator is 0; a denominator of fewer axes serves each row."""
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
