"""Frozen sentence embeddings of the lexicon's phrases: definitions and names of findings, and questions.

Shape suffixes: F findings, K phrases, E width of the sentence encoder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts import report_tables, tables, tensors

PHRASES_TABLE, PHRASES_TENSORS = "phrases.parquet", "phrases.safetensors"


@dataclass(frozen=True)
class Question:
    """What a question asks, whatever its wording."""

    #: presence, side, site, signal: a kind of the lexicon
    kind: str
    finding: str
    #: sequence that it names
    sequence: str | None = None


@dataclass(frozen=True)
class Wordings:
    """Phrases that ask the same, by their rows."""

    trained: tuple[int, ...]
    held_out: tuple[int, ...]


@dataclass(frozen=True)
class Phrases:
    """Phrases in the order of ``phrases.parquet``.

    Attributes:
        rows: of contract PHRASES.
        embedding_KE: L2-normalised sentence embeddings, float32.
    """

    rows: Sequence[Mapping[str, Any]]
    embedding_KE: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Phrases:
        """Read phrases and their embeddings from a texts folder.

        Raises:
            ValueError: if phrases and embeddings differ in number.
        """
        rows = tables.read(folder / PHRASES_TABLE, report_tables.PHRASES).to_pylist()
        embedding_KE = tensors.read(folder / PHRASES_TENSORS, ["phrase"])["phrase"].astype(np.float32)
        if len(rows) != len(embedding_KE):
            raise ValueError(f"{folder}: {len(rows)} phrases, {len(embedding_KE)} embedded; rerun encode_texts")
        return cls(rows, embedding_KE)

    def definitions(self, findings: Sequence[str]) -> np.ndarray:
        """Embeddings of the definitions of some findings, shape (F, E).

        Raises:
            ValueError: if a finding has none.
        """
        return self._of_findings("definition", findings)

    def names(self, findings: Sequence[str]) -> np.ndarray:
        """Embeddings of the bare names of some findings, shape (F, E).

        Raises:
            ValueError: if a finding has none.
        """
        return self._of_findings("name", findings)

    @cached_property
    def questions(self) -> dict[Question, Wordings]:
        """Every question with the phrases that ask it, in the order of the table."""
        found: dict[Question, tuple[list[int], list[int]]] = {}
        for row in self.rows:
            if row["kind"] == "question":
                question = Question(row["question"], row["finding"], row["sequence"])
                found.setdefault(question, ([], []))[row["is_held_out"]].append(row["phrase_id"])
        return {question: Wordings(*map(tuple, parts)) for question, parts in found.items()}

    def _of_findings(self, kind: str, findings: Sequence[str]) -> np.ndarray:
        row_of = {row["finding"]: row["phrase_id"] for row in self.rows if row["kind"] == kind}
        if missing := sorted(set(findings) - set(row_of)):
            raise ValueError(
                f"{kind} of {missing}: not among the phrases; add the findings to the lexicon, "
                "or English to encode_texts.languages, and rerun encode_texts"
            )
        return self.embedding_KE[[row_of[finding] for finding in findings]]
