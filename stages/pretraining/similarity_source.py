"""Report similarity for training, as it is or shuffled as a control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stages.pretraining.texts import TextTable


class SimilaritySource(Protocol):
    """Similarity of any texts of a cohort, e.g. ``reports.similarity.BatchSimilarity``."""

    def block(self, text_ids: np.ndarray) -> np.ndarray:
        """Similarity among some texts. Shape (U, U), float32."""
        ...

    def off_diagonal_quantile(self, text_ids: np.ndarray, q: float) -> float:
        """Quantile of the similarity between different texts of a set."""
        ...


@dataclass(frozen=True)
class Shuffled:
    """Similarity with its rows and columns permuted together.

    The distribution of values and the structure among texts stay as they are; only which text
    stands where is lost. A method that profits from similarity must not profit from this.
    """

    source: SimilaritySource
    place_T: np.ndarray

    @classmethod
    def among(cls, source: SimilaritySource, texts: TextTable, text_ids: np.ndarray, seed: int) -> Shuffled:
        """Permute some texts among themselves; a mirrored text goes to the mirror of its original's place."""
        place_T = np.arange(len(texts.flipped_T))
        known = np.unique(text_ids)
        place_T[known] = np.random.default_rng(seed).permutation(known)
        mirrored = texts.flipped_T[known]
        is_only_mirrored = ~np.isin(mirrored, known)
        place_T[mirrored[is_only_mirrored]] = texts.flipped_T[place_T[known]][is_only_mirrored]
        return cls(source, place_T)

    def block(self, text_ids: np.ndarray) -> np.ndarray:
        """Similarity among the texts that stand where these stood. Shape (U, U), float32, diagonal 1."""
        return self.source.block(self.place_T[text_ids])

    def off_diagonal_quantile(self, text_ids: np.ndarray, q: float) -> float:
        """Quantile over the whole set, which a permutation leaves as it is."""
        return self.source.off_diagonal_quantile(text_ids, q)
