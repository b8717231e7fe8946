"""Symmetric sparse matrices of text similarity: exact top-k built block by block, looked up in batches.

Shape legend: N texts, U and V texts of a block, K entries kept a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

#: texts of the rows, texts of the columns, scores (U, V)
Block = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SparseSimilarity:
    """Compressed rows of a symmetric matrix with diagonal 1; columns are sorted in each row."""

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @property
    def num_texts(self) -> int:
        """Rows of the matrix."""
        return len(self.indptr) - 1

    def block(self, texts: np.ndarray) -> np.ndarray:
        """Read the entries among some distinct texts; what is not stored is 0. Float32, shape (U, U)."""
        counts = np.diff(self.indptr)[texts]
        rows = np.repeat(np.arange(len(texts)), counts)
        flat = np.repeat(self.indptr[texts] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        place = np.full(self.num_texts, -1, dtype=np.int64)
        place[texts] = np.arange(len(texts))
        columns = place[self.indices[flat]]
        is_inside = columns >= 0
        block_UU = np.zeros((len(texts), len(texts)), dtype=np.float32)
        block_UU[rows[is_inside], columns[is_inside]] = self.values[flat][is_inside]
        return block_UU


def keep_all(blocks: Iterable[Block], num_texts: int, threshold: float) -> SparseSimilarity:
    """Keep every entry above a threshold; memory is quadratic, as is what is asked for.

    Args:
        blocks: the upper triangle of blocks: each pair of texts once, diagonal blocks whole.
        num_texts: N.
        threshold: entries at or below it are dropped.
    """
    dense_NN = np.zeros((num_texts, num_texts), dtype=np.float16)
    for texts_u, texts_v, block_UV in blocks:
        kept = np.where(block_UV > threshold, block_UV, 0).astype(np.float16)
        dense_NN[np.ix_(texts_u, texts_v)] = kept
        dense_NN[np.ix_(texts_v, texts_u)] = kept.T
    columns = [np.flatnonzero(row).astype(np.int32) for row in dense_NN]
    indptr = np.cumsum([0, *map(len, columns)], dtype=np.int64)
    return SparseSimilarity(indptr, np.concatenate(columns), dense_NN[dense_NN != 0])


def keep_best(blocks: Iterable[Block], num_texts: int, top_k: int, threshold: float) -> SparseSimilarity:
    """Keep the ``top_k`` best other texts of each text, an entry being kept if either text wants it.

    Ties go to the text that the reports brought first. Memory is linear in ``num_texts``.
    """
    values_NK = np.full((num_texts, top_k), -1, dtype=np.float32)
    texts_NK = np.full((num_texts, top_k), -1, dtype=np.int64)
    for rows, columns, block in _both_triangles(blocks):
        is_self = rows[:, None] == columns[None, :]
        values = np.concatenate([values_NK[rows], np.where(is_self, -1, block)], axis=1)
        names = np.concatenate([texts_NK[rows], np.broadcast_to(columns, block.shape)], axis=1)
        best = np.argsort(-values, axis=1, kind="stable")[:, :top_k]
        values_NK[rows] = np.take_along_axis(values, best, axis=1)
        texts_NK[rows] = np.take_along_axis(names, best, axis=1)
    left, k = np.nonzero(values_NK > threshold)
    right, kept = texts_NK[left, k], values_NK[left, k].astype(np.float16)
    every = np.arange(num_texts)
    return _compress(
        np.concatenate([left, right, every]),
        np.concatenate([right, left, every]),
        np.concatenate([kept, kept, np.ones(num_texts, dtype=np.float16)]),
        num_texts,
    )


def _both_triangles(blocks: Iterable[Block]) -> Iterator[Block]:
    for texts_u, texts_v, block_UV in blocks:
        yield texts_u, texts_v, block_UV
        if texts_u[0] != texts_v[0]:
            yield texts_v, texts_u, block_UV.T


def _compress(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, num_texts: int) -> SparseSimilarity:
    keys, first = np.unique(rows.astype(np.int64) * num_texts + columns, return_index=True)
    indptr = np.searchsorted(keys, np.arange(num_texts + 1, dtype=np.int64) * num_texts)
    return SparseSimilarity(indptr.astype(np.int64), (keys % num_texts).astype(np.int32), values[first])
