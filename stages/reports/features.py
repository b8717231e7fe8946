"""What the scorers of text similarity know of each text.

Shape legend: N texts, M unique statements, E statements of all texts, F fields, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts import tables, tensors
from stages.artifacts.cohort_tables import SPLIT_TABLE
from stages.artifacts.report_tables import PAIRS, TEXTS
from stages.reports.statements import Statement, encode_statements, is_normal, with_normal

# Line of a statement that a text implies without a sentence of its own.
NO_LINE = -1


@dataclass(frozen=True)
class TextStatements:
    """The statements of every text, as arrays that can be stored beside a similarity."""

    #: unique statements (M, F), see ``statements``
    codes: np.ndarray
    #: statements of text i are entries offsets[i] to offsets[i + 1] of items and lines (N + 1)
    offsets: np.ndarray
    #: row in codes (E,)
    items: np.ndarray
    #: line of the text where the statement stands (E,)
    lines: np.ndarray
    #: texts that state something, and nothing abnormal (N,)
    is_normal: np.ndarray

    @classmethod
    def collect(
        cls,
        texts: Sequence[Mapping[str, Any]],
        index: Mapping[str, np.ndarray],
        findings: Sequence[Mapping[str, Any]],
        parents: Mapping[str, str | None],
    ) -> TextStatements:
        """Gather the statements of texts.

        Args:
            texts: rows of ``texts.parquet``.
            index: ``statement_offsets``, ``statement_rows`` and ``statement_lines`` of the embeddings file.
            findings: rows of ``findings.parquet``.
            parents: region that holds each site, by site code.
        """
        said = [Statement.from_row(row) for row in findings]
        numbers: dict[Statement, int] = {}
        entries, counts, normal = [], [], []
        for text, span in zip(texts, _spans(index["statement_offsets"]), strict=True):
            own = [said[row].within(text["sequence"]) for row in index["statement_rows"][span]]
            own = [statement.flip() for statement in own] if text["is_flipped"] else own
            complete = with_normal(own)
            lines = [*index["statement_lines"][span].tolist(), NO_LINE][: len(complete)]
            entries += [(numbers.setdefault(s, len(numbers)), line) for s, line in zip(complete, lines, strict=True)]
            counts.append(len(complete))
            normal.append(is_normal(own))
        flat = np.array(entries, dtype=np.int32).reshape(-1, 2)
        offsets = np.cumsum([0, *counts], dtype=np.int64)
        return cls(encode_statements(list(numbers), parents), offsets, flat[:, 0], flat[:, 1], np.array(normal))

    @classmethod
    def from_tensors(cls, stored: Mapping[str, np.ndarray]) -> TextStatements:
        """Restore what ``to_tensors`` gave."""
        return cls(**{name: stored[f"statements.{name}"] for name in cls.tensor_names()})

    @classmethod
    def tensor_names(cls) -> list[str]:
        """Names of the arrays."""
        return [field.name for field in fields(cls)]

    def to_tensors(self) -> dict[str, np.ndarray]:
        """Name the arrays for a tensor file."""
        return {f"statements.{name}": getattr(self, name) for name in self.tensor_names()}

    @property
    def is_silent(self) -> np.ndarray:
        """Texts without a statement; their embedding is compared instead (N,)."""
        return np.diff(self.offsets) == 0

    def of(self, text: int) -> slice:
        """Entries of one text."""
        return slice(self.offsets[text], self.offsets[text + 1])


@dataclass(frozen=True)
class TextFeatures:
    """All that texts are compared by."""

    #: sentences of each text
    sentences: list[list[str]]
    #: language of each text (N,)
    languages: np.ndarray
    #: text embeddings, centred and L2-normalised (N, D)
    centred: np.ndarray
    statements: TextStatements

    @classmethod
    def build(
        cls,
        texts: Sequence[Mapping[str, Any]],
        embeddings: np.ndarray,
        statements: TextStatements,
        centre: np.ndarray | None = None,
    ) -> TextFeatures:
        """Put together the rows of ``texts.parquet``, their embeddings (N, D) and their statements.

        Args:
            texts: rows of ``texts.parquet``.
            embeddings: text embeddings (N, D).
            statements: statements of the texts.
            centre: mean embedding of the training texts (D,); of all texts of studies by default.
        """
        vectors = embeddings.astype(np.float32)
        if centre is None:
            centre = vectors[[text["num_studies"] > 0 for text in texts]].mean(axis=0)
        centred = vectors - centre
        norms = np.linalg.norm(centred, axis=1, keepdims=True)
        return cls(
            [text["text"].split("\n") for text in texts],
            np.array([text["language"] for text in texts]),
            np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 1e-6),
            statements,
        )

    @classmethod
    def load(cls, folder: Path, statements: TextStatements, centre: np.ndarray | None = None) -> TextFeatures:
        """Read what ``encode_texts`` wrote; ``centre`` as in ``build``.

        Raises:
            ValueError: if the statements are those of other texts.
        """
        texts = tables.read(folder / "texts.parquet", TEXTS).to_pylist()
        if len(texts) != len(statements.is_normal):
            raise ValueError(
                f"{folder}: {len(texts)} texts, expected {len(statements.is_normal)} as in the similarity; "
                "run `dvc repro`"
            )
        return cls.build(texts, tensors.read(folder / "embeddings.safetensors", ["text"])["text"], statements, centre)

    @property
    def num_texts(self) -> int:
        """N."""
        return len(self.sentences)


def training_centre(folder: Path, splits: Path) -> np.ndarray:
    """Mean embedding of the unique texts of training studies (D,): no text of another split enters S.

    Args:
        folder: folder of ``encode_texts``.
        splits: ``splits.parquet``.

    Raises:
        ValueError: if no training study has a text.
    """
    split_of = {row["study_id"]: row["split"] for row in tables.read(splits, SPLIT_TABLE).to_pylist()}
    pairs = tables.read(folder / "pairs.parquet", PAIRS).to_pylist()
    text_ids = sorted({pair["text_id"] for pair in pairs if split_of.get(pair["study_id"]) == "train"})
    if not text_ids:
        raise ValueError(f"{splits}: no training study has a text; check split_cohort.fractions")
    vectors: np.ndarray = tensors.read(folder / "embeddings.safetensors", ["text"])["text"][text_ids]
    return vectors.astype(np.float32).mean(axis=0)


def _spans(offsets: np.ndarray) -> list[slice]:
    return [slice(start, end) for start, end in zip(offsets[:-1], offsets[1:], strict=True)]
