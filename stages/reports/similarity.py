"""Report similarity of a training batch, exact whether the stored matrix is whole or sparse.

Shape legend: U texts of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.artifacts import tensors
from stages.reports.sparse import SparseSimilarity

if TYPE_CHECKING:
    from stages.reports.scoring import TextScorer

# Texts per sampled block, and how many blocks, where the whole matrix is not at hand.
_SAMPLE_TEXTS = 512
_NUM_SAMPLES = 4
_SAMPLE_SEED = 20503


@dataclass(frozen=True)
class BatchSimilarity:
    """S among the texts of a batch.

    A matrix with every entry is looked up. Of one that keeps the best entries only, a missing entry is
    not a zero: there the scorers compute the batch anew from the texts.
    """

    matrix: SparseSimilarity
    #: computes what is not stored; None if every entry is
    scorer: TextScorer | None

    @classmethod
    def load(cls, file: Path, texts: Path | None = None) -> BatchSimilarity:
        """Open what ``compare_reports`` wrote.

        Args:
            file: the similarity.
            texts: folder of ``encode_texts``, needed if the file does not hold every entry.

        Raises:
            ValueError: if it is needed and not given, or holds other texts.
        """
        about = tensors.read_metadata(file)
        matrix = SparseSimilarity(**tensors.read(file, ["indptr", "indices", "values"]))
        if about["is_complete"]:
            return cls(matrix, None)
        if texts is None:
            raise ValueError(f"{file}: keeps the best entries only; pass the texts folder to compute the others")
        return cls(matrix, _open_scorer(file, texts, about))

    def block(self, text_ids: np.ndarray) -> np.ndarray:
        """Similarity among texts, float32, shape (U, U), diagonal 1; texts may repeat."""
        unique, inverse = np.unique(np.asarray(text_ids, dtype=np.int64), return_inverse=True)
        block_UU = self.matrix.block(unique) if self.scorer is None else self.scorer.block(unique, unique)
        return block_UU[np.ix_(inverse, inverse)]

    def off_diagonal_quantile(self, text_ids: np.ndarray, q: float) -> float:
        """Quantile of S over pairs of different texts (s₀ of the SeLIP targets).

        Exact where every entry is stored; otherwise over blocks of texts drawn under a fixed seed.

        Raises:
            ValueError: if there are fewer than two different texts.
        """
        unique = np.unique(np.asarray(text_ids, dtype=np.int64))
        if len(unique) < 2:
            raise ValueError(f"similarity quantile: {len(unique)} different texts, expected at least 2")
        samples = [unique]
        if self.scorer is not None and len(unique) > _SAMPLE_TEXTS:
            random = np.random.default_rng(_SAMPLE_SEED)
            samples = [random.choice(unique, _SAMPLE_TEXTS, replace=False) for _ in range(_NUM_SAMPLES)]
        above = [block[np.triu_indices(len(block), k=1)] for block in map(self.block, samples)]
        return float(np.quantile(np.concatenate(above), q))


def _open_scorer(file: Path, texts: Path, about: dict[str, Any]) -> TextScorer:
    # imported here: looking up a complete matrix needs none of the scorers
    from stages.reports.features import TextFeatures, TextStatements
    from stages.reports.scoring import SimilarityParams, TextScorer

    stored = tensors.read(file)
    features = TextFeatures.load(texts, TextStatements.from_tensors(stored), stored.get("centre"))
    return TextScorer(features, SimilarityParams.model_validate(about["config"]))
