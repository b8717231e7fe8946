"""Text similarity by SeLIP's public code, reimplemented from its description to compare with ours.

Shape legend: U and V texts of a block, M and L statements of either side.
"""

from __future__ import annotations

import numpy as np

from stages.reports.features import NO_LINE, TextFeatures
from stages.reports.matching import Bags, mean_match
from stages.reports.statements import FIRST_SIGNAL, NOT_SAID, SIDE, SITE
from stages.reports.syntax import character_dice


class ReleasedScorer:
    """Mean over all pairs of statements of sem · dice (SeLIP, arXiv 2503.19801, as released).

    sem = ½ [same site and side] + ½ [same signal class], dice on character *sets* of the sentences; 0
    against a normal report. Assertion and finding are not looked at, and averaging over all pairs
    leaves even reports of equal content below 1: the faults are the point of this class.
    """

    def __init__(self, features: TextFeatures) -> None:
        statements = features.statements
        self._is_normal = statements.is_normal
        records: dict[tuple[int, int, int, str], int] = {}
        bags = []
        for text, sentences in enumerate(features.sentences):
            span = statements.of(text)
            standing = [
                (i, n) for i, n in zip(statements.items[span], statements.lines[span], strict=True) if n != NO_LINE
            ]
            keys = [(*_part_and_signal(statements.codes[item]), sentences[line]) for item, line in standing]
            bags.append([records.setdefault(key, len(records)) for key in keys])
        self._codes = np.array([key[:3] for key in records], dtype=np.int16).reshape(-1, 3)
        self._sentences = np.array([key[3] for key in records], dtype=object)
        self._bags = Bags.from_lists(bags, np.ones(len(records)), is_unique=False)

    def block(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        """Compare texts with texts, float32, shape (U, V)."""
        bags_u, items_u = self._bags.take(texts_u)
        bags_v, items_v = self._bags.take(texts_v)
        same_ML3 = self._codes[items_u][:, None] == self._codes[items_v][None]
        semantic_ML = 0.5 * (same_ML3[..., 0] & same_ML3[..., 1]) + 0.5 * same_ML3[..., 2]
        dice_ML = character_dice(self._sentences[items_u], self._sentences[items_v], is_set=True)
        block_UV = mean_match(semantic_ML.astype(np.float32) * dice_ML, bags_u, bags_v)
        block_UV[np.logical_or.outer(self._is_normal[texts_u], self._is_normal[texts_v])] = 0
        return np.minimum(block_UV, 1)


def _part_and_signal(codes: np.ndarray) -> tuple[int, int, int]:
    said = [int(signal) for signal in codes[FIRST_SIGNAL:] if signal != NOT_SAID]
    return int(codes[SITE]), int(codes[SIDE]), said[0] if said else NOT_SAID
