"""Symmetric best match between bags of items: the one rule that scores texts by their parts.

Shape legend: U texts of one side, V texts of the other, M and L items of either side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count

import numpy as np
from scipy.sparse import csr_array

# Texts reduced at a time: their running maxima (texts x items, float32) should stay in the cache.
_TEXTS_PER_CHUNK = 64


@dataclass(frozen=True)
class Bags:
    """Texts as bags of items: text t holds ``items[indptr[t]:indptr[t + 1]]``.

    ``items`` number a table of unique sentences or statements; ``weights`` of a text sum to 1
    (a text may be empty).
    """

    indptr: np.ndarray
    items: np.ndarray
    weights: np.ndarray

    @classmethod
    def from_lists(cls, bags: Sequence[Sequence[int]], item_weights: np.ndarray, *, is_unique: bool = True) -> Bags:
        """Build bags from item numbers.

        Args:
            bags: item numbers of each text; the order inside a text has no effect.
            item_weights: weight > 0 of each item, before it is normalised per text.
            is_unique: drop repetitions inside a text.
        """
        unique = [sorted(set(bag) if is_unique else bag) for bag in bags]
        counts = np.array([len(bag) for bag in unique], dtype=np.int64)
        items = np.array([item for bag in unique for item in bag], dtype=np.int64)
        weights = np.asarray(item_weights, dtype=np.float64)[items]
        totals = np.bincount(np.repeat(np.arange(len(unique)), counts), weights=weights, minlength=len(unique))
        normalised = (weights / np.repeat(totals, counts)).astype(np.float32)
        return cls(np.concatenate([[0], np.cumsum(counts)]), items, normalised)

    @property
    def counts(self) -> np.ndarray:
        """Items of each text."""
        return np.diff(self.indptr)

    def of(self, text: int) -> list[int]:
        """Items of one text."""
        return self.items[self.indptr[text] : self.indptr[text + 1]].tolist()

    def take(self, texts: np.ndarray) -> tuple[Bags, np.ndarray]:
        """Restrict to some texts.

        Returns:
            The bags of these texts over renumbered items, and the old number of each item.
        """
        counts = self.counts[texts]
        indptr = np.concatenate([[0], np.cumsum(counts)])
        flat = np.repeat(self.indptr[texts] - indptr[:-1], counts) + np.arange(indptr[-1])
        used, local = np.unique(self.items[flat], return_inverse=True)
        return Bags(indptr, local, self.weights[flat]), used

    def as_matrix(self, num_items: int) -> csr_array:
        """Weights as a sparse matrix, shape (texts, num_items)."""
        return csr_array((self.weights, self.items, self.indptr), shape=(len(self.counts), num_items))


def best_match(score_ML: np.ndarray, bags_u: Bags, bags_v: Bags) -> np.ndarray:
    """Score texts by the best partner of each of their items, averaged over both directions.

    s(A, B) = ½ [Σ_a w_a max_b m(a, b) + Σ_b w_b max_a m(a, b)], weights normalised per text; 0 for
    an empty text.

    Args:
        score_ML: scores of the items of one side against those of the other, shape (M, L).
        bags_u: texts over the M items.
        bags_v: texts over the L items; the same object as ``bags_u`` for a block of texts against
            themselves (``score_ML`` is then symmetric), which halves the work.

    Returns:
        Scores, float32, shape (U, V).
    """
    towards_u = _directed(score_ML, bags_u, bags_v)  # (U, V): each item of v finds its best in u
    towards_v = towards_u if bags_v is bags_u else _directed(score_ML.T, bags_v, bags_u)
    score_UV = towards_u + towards_v.T
    score_UV *= 0.5
    return score_UV


def mean_match(score_ML: np.ndarray, bags_u: Bags, bags_v: Bags) -> np.ndarray:
    """Average the scores of all pairs of items by their weights, shape (U, V)."""
    half = bags_u.as_matrix(score_ML.shape[0]) @ score_ML
    return np.ascontiguousarray((bags_v.as_matrix(score_ML.shape[1]) @ half.T).T)


def _directed(score_ML: np.ndarray, bags_u: Bags, bags_v: Bags) -> np.ndarray:
    """Σ_b w_b max_a m(a, b) for a in u, b in v; shape (U, V)."""
    score_ML = np.ascontiguousarray(score_ML)
    weights = bags_v.as_matrix(score_ML.shape[1])
    score_UV = np.zeros((len(bags_u.counts), weights.shape[0]), dtype=np.float32)

    def reduce_chunk(first: int) -> None:
        texts = np.arange(first, min(first + _TEXTS_PER_CHUNK, len(score_UV)))
        filled = texts[bags_u.counts[texts] > 0]
        if not len(filled) or not score_ML.shape[1]:
            return
        span = slice(bags_u.indptr[filled[0]], bags_u.indptr[filled[-1] + 1])
        best = np.maximum.reduceat(score_ML[bags_u.items[span]], bags_u.indptr[filled] - span.start, axis=0)
        score_UV[filled] = (weights @ np.ascontiguousarray(best.T)).T

    with ThreadPoolExecutor(cpu_count()) as pool:
        list(pool.map(reduce_chunk, range(0, len(score_UV), _TEXTS_PER_CHUNK)))
    return score_UV
