"""How much of what one study shows another shows too, by symmetric best match over their contents.

Shapes: N classes (studies with equal content count once), K items of one kind (lesions of one subtype,
statements of one finding), V template voxels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Entries of a dense working block: 64 MiB in float32.
_BLOCK_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Items:
    """Contents of one kind, which alone can match one another.

    Attributes:
        classes: class that each item belongs to, in ascending order, shape (K,).
        weights: what each item counts in its class, float32, shape (K,).
        gain: gain in [0, 1] of the items of a slice with all items, shape (slice, K); symmetric.
    """

    classes: np.ndarray
    weights: np.ndarray
    gain: Callable[[slice], np.ndarray]


def best_match_gains(kinds: Iterable[Items], num_classes: int) -> sparse.csr_array:
    """Gain between all classes: ½ Σ_a w_a max_b g(a, b) / Σ_a w_a, plus the same from b to a.

    Work and memory grow with the pairs that share a kind, not with all pairs.

    Args:
        kinds: items that may match one another; an item matches none of another kind.
        num_classes: N; a class without items has no gain, not even with itself.

    Returns:
        Symmetric gains in [0, 1], zeros left out, float32, shape (N, N).
    """
    one_way_NN = sparse.csr_array((num_classes, num_classes), dtype=np.float32)
    weights_N = np.zeros(num_classes)
    for items in kinds:
        np.add.at(weights_N, items.classes, items.weights)
        one_way_NN = one_way_NN + _one_way(items, num_classes)
    scale_N = np.divide(0.5, weights_N, out=np.zeros(num_classes), where=weights_N > 0)
    share_NN = (sparse.diags_array(scale_N.astype(np.float32)) @ one_way_NN).tocsr()
    gains_NN = (share_NN + share_NN.T).tocsr()
    gains_NN.eliminate_zeros()
    gains_NN.sort_indices()
    return gains_NN


def overlap_gains(masks_KV: sparse.csr_array) -> Callable[[slice], np.ndarray]:
    """Gain of lesions of one subtype: ½ + ½ Dice of their masks; two empty masks count as equal.

    Args:
        masks_KV: 1 where a lesion covers a template voxel.
    """
    sizes_K = np.diff(masks_KV.indptr).astype(np.float32)

    def gain(rows: slice) -> np.ndarray:
        overlap = (masks_KV[rows] @ masks_KV.T).toarray()
        total = sizes_K[rows, None] + sizes_K[None]
        dice = np.divide(2 * overlap, total, out=np.ones_like(overlap), where=total > 0)
        return 0.5 + 0.5 * dice

    return gain


def table_gains(codes_K: np.ndarray, table: np.ndarray) -> Callable[[slice], np.ndarray]:
    """Gain of coded items, looked up in a square table of codes."""
    return lambda rows: table[np.ix_(codes_K[rows], codes_K)]


def _one_way(items: Items, num_classes: int) -> sparse.csr_array:
    """Σ_a w_a max_b g(a, b) between the classes of one kind of item."""
    present, starts = np.unique(items.classes, return_index=True)
    parts = []
    bounds = np.append(starts, len(items.classes))
    for first, last in _class_blocks(bounds):
        rows = slice(bounds[first], bounds[last])
        best = np.maximum.reduceat(items.gain(rows), starts, axis=1) * items.weights[rows, None]
        parts.append(sparse.coo_array(np.add.reduceat(best, starts[first:last] - starts[first], axis=0)))
    block = sparse.vstack(parts, format="coo")
    entries = (block.data.astype(np.float32), (present[block.row], present[block.col]))
    return sparse.csr_array(entries, shape=(num_classes, num_classes))


def _class_blocks(bounds: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of whole classes, such that their items times all items fit the working block."""
    limit = max(1, _BLOCK_ENTRIES // int(bounds[-1]))
    first = 0
    while first < len(bounds) - 1:
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + limit, side="right")) - 1)
        yield first, last
        first = last
