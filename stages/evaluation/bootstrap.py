"""Resampling of patients and seeds: the distribution that every interval of the tables is read from.

Patients are drawn with replacement, with all their studies; seeds likewise. The gallery of a retrieval
stays whole: only queries are resampled. The same draws serve every method, which makes differences
paired.

Shapes: R resamples, P patients, S seeds, K draws, N studies (A positive, B negative), Q queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FloatArray = np.ndarray


@dataclass(frozen=True)
class Resampling:
    """How often each patient of a split counts in each resample."""

    patients: dict[str, int]
    #: shape (R, P)
    weights: FloatArray
    seed: int

    @classmethod
    def draw(cls, patient_ids: Sequence[str], num_resamples: int, seed: int) -> Resampling:
        """Draw patients with replacement; the draw depends on their number and order, not on their ids."""
        patients = {patient_id: number for number, patient_id in enumerate(dict.fromkeys(patient_ids))}
        num = max(len(patients), 1)
        weights = np.random.default_rng([seed, 0]).multinomial(num, np.full(num, 1 / num), size=num_resamples)
        return cls(patients, weights.astype(np.float32), seed)

    def rows(self, patient_ids: Sequence[str]) -> np.ndarray:
        """Number of each patient."""
        return np.array([self.patients[patient_id] for patient_id in patient_ids], dtype=int)

    def over_seeds(self, values_RS: FloatArray) -> FloatArray:
        """Average each resample over seeds drawn with replacement, shape (R,)."""
        num_resamples, num_seeds = values_RS.shape
        rng = np.random.default_rng([self.seed, 1, num_seeds])
        weights = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), size=num_resamples)
        return (values_RS * weights).sum(axis=1) / num_seeds


def mean_over_cases(resampling: Resampling, totals_SP: FloatArray, counts_SP: FloatArray) -> FloatArray:
    """Resample a mean over cases, given each patient's sum of values and number of cases; shape (R, S)."""
    weights = resampling.weights.astype(np.float64)
    return _divide(weights @ totals_SP.T, weights @ counts_SP.T)


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
    resampling: Resampling, wins_AB: FloatArray, positives_A: np.ndarray, negatives_B: np.ndarray
) -> FloatArray:
    """Resample the area under the ROC curve of one class and seed.

    Args:
        resampling: of the patients.
        wins_AB: from :func:`pairwise_wins`.
        positives_A: patient of each positive study.
        negatives_B: patient of each negative study.

    Returns:
        AUC per resample (R,), NaN where a resample has only one label.
    """
    positive_RA, negative_RB = resampling.weights[:, positives_A], resampling.weights[:, negatives_B]
    won_R = np.einsum("rb,rb->r", positive_RA @ wins_AB, negative_RB, dtype=np.float64)
    return _divide(won_R, positive_RA.sum(axis=1, dtype=float) * negative_RB.sum(axis=1, dtype=float))


def balanced_accuracy(
    resampling: Resampling, called_N: FloatArray, is_positive_N: np.ndarray, patients_N: np.ndarray
) -> FloatArray:
    """Resample the mean of sensitivity and specificity of one class and seed.

    Args:
        resampling: of the patients.
        called_N: share of the draws that call each study positive.
        is_positive_N: its label.
        patients_N: its patient.
    """
    weights_RN = resampling.weights[:, patients_N].astype(np.float64)
    positive_N = is_positive_N.astype(float)
    sensitivity_R = _divide(weights_RN @ (positive_N * called_N), weights_RN @ positive_N)
    specificity_R = _divide(weights_RN @ ((1 - positive_N) * (1 - called_N)), weights_RN @ (1 - positive_N))
    return 0.5 * (sensitivity_R + specificity_R)


def _divide(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)
