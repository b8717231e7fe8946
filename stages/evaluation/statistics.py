"""Intervals and tests of estimates and of their paired differences.

Shapes: R resamples, P patients, S seeds, F sign flips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

FloatArray = np.ndarray


@dataclass(frozen=True)
class Estimate:
    """One number of one method, with what is needed to compare it with another method's."""

    seeds: tuple[int, ...]
    #: shape (S,)
    seed_values: FloatArray
    #: distribution over resampled patients and seeds, shape (R,)
    resampled: FloatArray
    num_patients: int
    #: fewest patients that the number tells something of: of the smaller class, of a part or of the rest
    smallest_cell: int
    #: what each patient adds to the value, mean over seeds, shape (P,); for metrics that are means over cases
    patient_shares: FloatArray | None = None
    #: why there is no value
    reason: str = ""

    @property
    def value(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.seed_values)) if len(self.seed_values) else float("nan")


@dataclass(frozen=True)
class Difference:
    """Paired difference of two methods."""

    delta: float
    low: float
    high: float
    #: NaN where the difference is not tested
    p: float
    #: +, - or 0 of each seed's difference
    seed_signs: str
    #: whether the interval lies on the better side of 0, and p agrees
    is_better: bool


def interval(resampled_R: FloatArray, confidence: float) -> tuple[float, float]:
    """Percentile interval of a bootstrap distribution, NaN where it has no finite value."""
    finite = resampled_R[np.isfinite(resampled_R)]
    if not len(finite):
        return float("nan"), float("nan")
    tail = 0.5 * (1.0 - confidence)
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return float(low), float(high)


def compare(
    method: Estimate,
    baseline: Estimate,
    *,
    confidence: float,
    num_sign_flips: int,
    seed: int,
    is_lower_better: bool = False,
    is_tested: bool = True,
) -> Difference:
    """Compare two methods on the same patients.

    The interval comes from the paired bootstrap over patients and seeds. Where the metric is a mean over
    cases, each patient's difference is tested by sign flips too. Those hold the seeds fixed, and alone
    would call significant what the interval, which does not, leaves open; so p is the larger of the two,
    and a method is better only where interval and p agree.

    Args:
        method: one method.
        baseline: the other.
        confidence: of the interval; p below its complement is what a better method needs.
        num_sign_flips: random sign patterns of the test.
        seed: of the patterns.
        is_lower_better: whether a smaller number is the better one.
        is_tested: whether there is a p; without one no method is called better.
    """
    resampled = method.resampled - baseline.resampled
    p = bootstrap_test(resampled) if is_tested else float("nan")
    if is_tested and method.patient_shares is not None and baseline.patient_shares is not None:
        p = max(p, sign_flip_test(method.patient_shares - baseline.patient_shares, num_sign_flips, seed))
    low, high = interval(resampled, confidence)
    signs = np.sign(method.seed_values - baseline.seed_values) if _are_paired(method, baseline) else []
    is_beyond = high < 0 if is_lower_better else low > 0
    return Difference(
        delta=method.value - baseline.value,
        low=low,
        high=high,
        p=p,
        seed_signs="".join({1: "+", -1: "-", 0: "0"}[int(sign)] for sign in signs),
        is_better=is_beyond and p < 1.0 - confidence,
    )


def sign_flip_test(differences_P: FloatArray, num_flips: int, seed: int) -> float:
    """Two-sided p-value of the mean paired difference under random exchange of methods within patients.

    All cases of a patient are exchanged together. A patient's share of a mean over cases is the sum of
    its values over the number of all cases, so that the shares add up to the mean, whatever the number of
    cases of each patient; where two methods have the same cases, the test is that of the sums.

    Args:
        differences_P: difference of each patient's share of the mean, averaged over seeds.
        num_flips: random sign patterns; the observed one is counted among them.
        seed: of the patterns.
    """
    signs_FP = _draw_signs(num_flips, len(differences_P), seed)
    # Sums over the same numbers in another order differ in the last digits; those are ties.
    is_extreme_F = np.abs(signs_FP @ differences_P) >= abs(differences_P.sum()) - 1e-6 * np.abs(differences_P).sum()
    return (int(is_extreme_F.sum()) + 1) / (num_flips + 1)


def bootstrap_test(differences_R: FloatArray) -> float:
    """Two-sided p-value from the share of resampled differences beyond 0."""
    finite = differences_R[np.isfinite(differences_R)]
    tail = min((finite <= 0).sum(), (finite >= 0).sum())
    return float(min(1.0, 2.0 * (tail + 1) / (len(finite) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust the p-values of one family for multiple testing (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values, dtype=float)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()


@lru_cache(maxsize=4)
def _draw_signs(num_flips: int, num_patients: int, seed: int) -> FloatArray:
    bits = np.random.default_rng([seed, num_patients]).integers(0, 2, size=(num_flips, num_patients), dtype=np.int8)
    return (1 - 2 * bits).astype(np.float32)


def _are_paired(method: Estimate, baseline: Estimate) -> bool:
    return method.seeds == baseline.seeds or 1 in (len(method.seeds), len(baseline.seeds))
