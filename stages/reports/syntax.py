"""How alike sentences are written: Dice on characters, Levenshtein, Indel.

Shape legend: M and L sentences of either side, K indicator columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel, Levenshtein
from scipy.sparse import csr_array

SyntaxScorer = Literal["dice", "levenshtein", "indel"]

# Rows divided at a time, so that the sums of sizes stay in the cache.
_ROWS_PER_CHUNK = 64
_EDIT_SCORERS: dict[str, Any] = {"levenshtein": Levenshtein.normalized_similarity, "indel": Indel.normalized_similarity}


def score_sentences(scorer: SyntaxScorer, sentences: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Compare every sentence of one list with every sentence of another.

    There is no token-set scorer among them: it calls "acute infarct" and "no acute infarct" equal.

    Args:
        scorer: ``dice`` counts shared characters wherever they stand (so it works for Chinese);
            ``levenshtein`` and ``indel`` are 1 - distance / longest possible distance.
        sentences: M sentences, none empty.
        others: L sentences; the same object for a list against itself, which halves the work.

    Returns:
        Scores in [0, 1], float32, shape (M, L); 1 for equal sentences.
    """
    if scorer == "dice":
        return character_dice(sentences, others)
    return process.cdist(sentences, others, scorer=_EDIT_SCORERS[scorer], dtype=np.float32, workers=-1)


def character_dice(sentences: Sequence[str], others: Sequence[str], *, is_set: bool = False) -> np.ndarray:
    """Dice coefficient 2 |A ∩ B| / (|A| + |B|) of the characters of sentences, shape (M, L).

    The size of a multiset intersection is Σ_c min(a_c, b_c). Writing each count as that many ones
    (the k-th occurrence of a character is a column of its own) turns it into a matrix product.

    Args:
        sentences: M sentences.
        others: L sentences; may be the same object.
        is_set: count each character of a sentence once.
    """
    is_same = others is sentences
    ones = _occurrences([*sentences] if is_same else [*sentences, *others], is_set=is_set)
    sizes = ones.sum(axis=1, dtype=np.float32)
    # A column of a single sentence meets none; it counts in the sizes only.
    shared = ones[:, np.flatnonzero(ones.sum(axis=0) > 1)].toarray()
    rows, columns = (slice(None), slice(None)) if is_same else (slice(len(sentences)), slice(len(sentences), None))
    left = shared[rows]
    dice_ML = left @ (left.T if is_same else shared[columns].T)  # numpy computes only half of x @ x.T
    for first in range(0, len(dice_ML), _ROWS_PER_CHUNK):
        chunk = slice(first, first + _ROWS_PER_CHUNK)
        dice_ML[chunk] /= 0.5 * np.add.outer(sizes[rows][chunk], sizes[columns])
    if is_same:
        np.fill_diagonal(dice_ML, 1)
    return dice_ML


def _occurrences(sentences: list[str], *, is_set: bool) -> csr_array:
    """Indicator of "the k-th occurrence of character c stands in the sentence", shape (M, K)."""
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    characters = np.frombuffer("".join(sentences).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    rows = np.repeat(np.arange(len(sentences)), lengths)
    order = np.lexsort((characters, rows))
    rows, characters = rows[order], characters[order].astype(np.int64)
    starts = np.ones(len(rows), dtype=bool)
    starts[1:] = (rows[1:] != rows[:-1]) | (characters[1:] != characters[:-1])
    ranks = np.arange(len(rows)) - np.flatnonzero(starts)[np.cumsum(starts) - 1]
    if is_set:
        rows, characters, ranks = rows[starts], characters[starts], ranks[starts]
    keys = characters * (lengths.max(initial=0) + 1) + ranks
    names, columns = np.unique(keys, return_inverse=True)
    values = np.ones(len(rows), dtype=np.float32)
    return csr_array((values, (rows, columns)), shape=(len(sentences), len(names)))
