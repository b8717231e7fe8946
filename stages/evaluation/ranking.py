"""Ranking metrics that do not depend on the order in which equal scores happen to stand.

Texts with the same meaning can have the same embedding, so ties are real. Every metric here is its
expectation over all orders of tied items; with all scores equal it is chance in closed form.

Shapes: Q queries, G gallery items. A gallery item scored ``EXCLUDED`` is not part of the ranking.
"""

from __future__ import annotations

import numpy as np

FloatArray = np.ndarray
BoolArray = np.ndarray

EXCLUDED = -np.inf


def ndcg(scores_QG: FloatArray, gains_QG: FloatArray, k: int) -> FloatArray:
    """Normalised discounted cumulative gain of the first k items, with linear gain.

    Args:
        scores_QG: higher ranks earlier.
        gains_QG: gain of each item, ≥ 0.
        k: length of the list that counts.

    Returns:
        Value per query in [0, 1], NaN where no item has any gain. Shape (Q,).
    """
    gains_QG = np.where(np.isneginf(scores_QG), 0.0, gains_QG)
    k = min(k, scores_QG.shape[1])
    discounts = 1.0 / np.log2(np.arange(k) + 2.0)
    ideal = np.sort(gains_QG, axis=1)[:, ::-1][:, :k] @ discounts
    achieved = _expected_by_rank(scores_QG, gains_QG)[:, :k] @ discounts
    return np.divide(achieved, ideal, out=np.full(len(ideal), np.nan), where=ideal > 0)


def precision(scores_QG: FloatArray, relevant_QG: BoolArray, k: int) -> FloatArray:
    """Expected share of relevant items among the first k (or all, if there are fewer). Shape (Q,)."""
    is_ranked = ~np.isneginf(scores_QG)
    by_rank = _expected_by_rank(scores_QG, (relevant_QG & is_ranked).astype(float))[:, :k]
    length = np.minimum(is_ranked.sum(axis=1), k)
    return np.divide(by_rank.sum(axis=1), length, out=np.full(len(length), np.nan), where=length > 0)


def best_ranked(scores_QG: FloatArray, relevant_QG: BoolArray, k: int) -> tuple[np.ndarray, FloatArray]:
    """Take the first k places of each ranking apart; the mean of their values is ``precision``.

    Args:
        scores_QG: higher ranks earlier; every query must leave out as many items.
        relevant_QG: which items count.
        k: number of places, cut to the number of ranked items.

    Returns:
        Item at each place, ties in the order of the gallery, and the expected relevance there, both (Q, k).
    """
    is_ranked = ~np.isneginf(scores_QG)
    k = min(k, int(is_ranked.sum(axis=1).min(initial=scores_QG.shape[1])))
    order_QG = np.argsort(-scores_QG, axis=1, kind="stable")
    return order_QG[:, :k], _expected_by_rank(scores_QG, (relevant_QG & is_ranked).astype(float))[:, :k]


class FirstHit:
    """Where the best-ranked hit of each query stands: recall at k and rank."""

    def __init__(self, scores_QG: FloatArray, hits_QG: BoolArray) -> None:
        hits_QG = hits_QG & ~np.isneginf(scores_QG)
        best_Q1 = np.where(hits_QG, scores_QG, EXCLUDED).max(axis=1, keepdims=True, initial=EXCLUDED)
        tied_QG = scores_QG == best_Q1
        self._has_hit = hits_QG.any(axis=1)
        self._num_ahead = (scores_QG > best_Q1).sum(axis=1)
        self._num_tied = tied_QG.sum(axis=1)
        self._num_tied_hits = (tied_QG & hits_QG).sum(axis=1)

    def recall(self, k: int) -> FloatArray:
        """Probability that a hit is among the first k; NaN where the gallery holds none. Shape (Q,)."""
        drawn = np.clip(k - self._num_ahead, 0, self._num_tied)
        miss = np.ones(len(drawn))
        for i in range(k):  # hypergeometric: no hit among the drawn items of the tied group
            left = np.maximum(self._num_tied - i, 1)
            miss *= np.where(i < drawn, np.maximum(left - self._num_tied_hits, 0) / left, 1.0)
        return np.where(self._has_hit, 1.0 - miss, np.nan)

    def rank(self) -> FloatArray:
        """Expected rank of the first hit, from 1; NaN where the gallery holds none. Shape (Q,)."""
        within = (self._num_tied + 1) / (self._num_tied_hits + 1)
        return np.where(self._has_hit, self._num_ahead + within, np.nan)


def _expected_by_rank(scores_QG: FloatArray, values_QG: FloatArray) -> FloatArray:
    order_QG = np.argsort(-scores_QG, axis=1, kind="stable")
    scores_QG = np.take_along_axis(scores_QG, order_QG, axis=1)
    values_QG = np.take_along_axis(values_QG, order_QG, axis=1)
    is_new_QG = np.ones(scores_QG.shape, dtype=bool)
    is_new_QG[:, 1:] = scores_QG[:, 1:] != scores_QG[:, :-1]
    group = np.cumsum(is_new_QG.ravel()) - 1
    means = np.bincount(group, weights=values_QG.ravel()) / np.bincount(group)
    return means[group].reshape(scores_QG.shape)
