"""Similarity of texts from what they state, how they are written and what an encoder makes of them.

Shape legend: N texts of the cohort, U and V texts of a block, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt

from stages.params import Params
from stages.reports.features import TextFeatures
from stages.reports.matching import Bags, best_match
from stages.reports.released import ReleasedScorer
from stages.reports.statements import AssertionWeights, StatementWeights, score_statements, statement_weights
from stages.reports.syntax import SyntaxScorer, score_sentences

# Largest table of item scores held at a time is the square of this, in float32.
MAX_BLOCK_ITEMS = 6144
MAX_BLOCK_TEXTS = 3072

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]
Mix = Literal["convex", "product", "statements", "syntax", "embedding", "selip_released"]


class SimilarityParams(Params):
    """One entry of ``similarities``."""

    mix: Mix
    statements: float = Field(default=0.0, ge=0)  # shares of the convex mix
    syntax: float = Field(default=0.0, ge=0)
    embedding: float = Field(default=0.0, ge=0)
    scorer: SyntaxScorer = "levenshtein"
    top_k: PositiveInt | None = None
    threshold: float = Field(default=0.0, ge=0, lt=1)
    statement_weights: StatementWeights = StatementWeights()
    assertion_weights: AssertionWeights = AssertionWeights()


class TextScorer:
    """Exact similarity among any texts, after design page §5.

    Every measure is symmetric, lies in [0, 1], is 1 for a text with itself and does not depend on the
    order of sentences.
    """

    def __init__(self, features: TextFeatures, params: SimilarityParams) -> None:
        self._features = features
        self._params = params
        numbers = {text: number for number, text in enumerate(dict.fromkeys(s for t in features.sentences for s in t))}
        self._sentences = np.array(list(numbers), dtype=object)
        in_texts = [[numbers[sentence] for sentence in sentences] for sentences in features.sentences]
        self._syntax_bags = Bags.from_lists(in_texts, np.ones(len(numbers)))
        statements = features.statements
        self._statement_bags = Bags.from_lists(
            [statements.items[statements.of(text)].tolist() for text in range(features.num_texts)],
            statement_weights(statements.codes, params.assertion_weights),
        )
        measures: dict[Mix, Measure] = {
            "convex": self._convex,
            "product": self._product,
            "statements": self._by_statements,
            "syntax": self._by_syntax,
            "embedding": self._by_embedding,
            "selip_released": ReleasedScorer(features).block,
        }
        self._measure = measures[params.mix]

    def block(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        """Compare texts with texts, float32, shape (U, V).

        Args:
            texts_u: distinct text ids.
            texts_v: distinct text ids; the same object for texts among themselves, which halves the work.
        """
        block_UV = self._measure(texts_u, texts_v).astype(np.float32, copy=False)
        np.clip(block_UV, 0, 1, out=block_UV)
        _, u, v = np.intersect1d(texts_u, texts_v, return_indices=True)
        block_UV[u, v] = 1
        return block_UV

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Go through the upper triangle of the whole matrix in blocks of bounded memory."""
        groups = self._groups()
        for number, texts_u in enumerate(groups):
            for texts_v in groups[number:]:
                yield texts_u, texts_v, self.block(texts_u, texts_v)

    def _groups(self) -> list[np.ndarray]:
        """Runs of texts with few enough distinct sentences and statements for one block."""
        bags = (self._syntax_bags, self._statement_bags)
        starts, seen = [0], [set[int](), set[int]()]
        for text in range(self._features.num_texts):
            for items, bag in zip(seen, bags, strict=True):
                items.update(bag.of(text))
            if max(map(len, seen)) > MAX_BLOCK_ITEMS or text - starts[-1] == MAX_BLOCK_TEXTS:
                starts += [text] if text > starts[-1] else []
                seen = [set(bag.of(text)) for bag in bags]
        return np.split(np.arange(self._features.num_texts), starts[1:])

    def _convex(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        shares = self._params
        total = shares.statements + shares.syntax + shares.embedding
        statements_UV = self._by_statements(texts_u, texts_v)
        mixed_UV = shares.statements * statements_UV
        if shares.syntax:
            mixed_UV += shares.syntax * self._by_syntax(texts_u, texts_v)
        if shares.embedding:
            mixed_UV += shares.embedding * self._by_embedding(texts_u, texts_v)
        return np.where(self._same_language(texts_u, texts_v), mixed_UV / total, statements_UV)

    def _product(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        statements_UV = self._by_statements(texts_u, texts_v)
        syntax_UV = self._by_syntax(texts_u, texts_v)
        return np.where(self._same_language(texts_u, texts_v), statements_UV * syntax_UV, statements_UV)

    def _same_language(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        """Where wording can be compared at all.

        Between two languages it cannot, and a text that the encoder reads as a rendering of its
        statements embeds nothing but these: such pairs are mixed of the statements alone.
        """
        return np.equal.outer(self._features.languages[texts_u], self._features.languages[texts_v])

    def _by_statements(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        bags_u, items_u, bags_v, items_v = _restrict(self._statement_bags, texts_u, texts_v)
        codes = self._features.statements.codes
        scores = score_statements(codes[items_u], codes[items_v], self._params.statement_weights)
        block_UV = best_match(scores, bags_u, bags_v)
        is_normal, is_silent = self._features.statements.is_normal, self._features.statements.is_silent
        block_UV[np.logical_and.outer(is_normal[texts_u], is_normal[texts_v])] = 1
        falls_back = np.logical_or.outer(is_silent[texts_u], is_silent[texts_v])
        return np.where(falls_back, self._by_embedding(texts_u, texts_v), block_UV) if falls_back.any() else block_UV

    def _by_syntax(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        bags_u, items_u, bags_v, items_v = _restrict(self._syntax_bags, texts_u, texts_v)
        sentences = [self._sentences[item] for item in items_u]
        others = sentences if bags_v is bags_u else [self._sentences[item] for item in items_v]
        return best_match(score_sentences(self._params.scorer, sentences, others), bags_u, bags_v)

    def _by_embedding(self, texts_u: np.ndarray, texts_v: np.ndarray) -> np.ndarray:
        return np.maximum(self._features.centred[texts_u] @ self._features.centred[texts_v].T, 0)


def _restrict(bags: Bags, texts_u: np.ndarray, texts_v: np.ndarray) -> tuple[Bags, np.ndarray, Bags, np.ndarray]:
    bags_u, items_u = bags.take(texts_u)
    return (bags_u, items_u, bags_u, items_u) if texts_v is texts_u else (bags_u, items_u, *bags.take(texts_v))
