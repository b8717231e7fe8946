"""Texts, their sentences and the prompts, as what a text tower is given.

Shape suffixes: U rows, T texts, E width of the precomputed embeddings, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.nn import functional

from stages.artifacts import report_tables, tables, tensors

Kind = Literal["text", "sentence", "prompt"]

TEXTS_TABLE = "texts.parquet"
PAIRS_TABLE = "pairs.parquet"
PROMPTS_TABLE = "prompts.parquet"
EMBEDDINGS = "embeddings.safetensors"
_OFFSETS = "sentence_offsets"
_KEPT_SHARE = 0.5


class TextInputs(Protocol):
    """Rows of texts in the form that a tower reads."""

    def take(self, kind: Kind, rows_U: np.ndarray) -> dict[str, Tensor]:
        """Collect rows of one kind; every tensor has U rows."""
        ...

    def join(self, sentences_U: list[np.ndarray]) -> dict[str, Tensor]:
        """Make one text of each group of sentence rows; every tensor has U rows."""
        ...


@dataclass(frozen=True)
class Precomputed:
    """Sentence embeddings that ``encode_texts`` made: what a frozen tower reads."""

    features: dict[str, Tensor]

    @classmethod
    def load(cls, folder: Path) -> Precomputed:
        """Read the embeddings of a texts folder."""
        arrays = tensors.read(folder / EMBEDDINGS, ["text", "sentence", "prompt"])
        return cls({name: torch.from_numpy(values.astype(np.float32)) for name, values in arrays.items()})

    @property
    def width(self) -> int:
        """Width E of the embeddings."""
        return self.features["text"].shape[1]

    def take(self, kind: Kind, rows_U: np.ndarray) -> dict[str, Tensor]:
        """Return ``features``, shape (U, E)."""
        return {"features": self.features[kind][torch.from_numpy(rows_U)]}

    def join(self, sentences_U: list[np.ndarray]) -> dict[str, Tensor]:
        """Return the normalised mean of each group, as ``encode_texts`` makes it of whole texts."""
        owner = torch.from_numpy(np.repeat(np.arange(len(sentences_U)), [len(rows) for rows in sentences_U]))
        features = self.features["sentence"][torch.from_numpy(np.concatenate(sentences_U))]
        sums_UE = torch.zeros(len(sentences_U), self.width).index_add_(0, owner, features)
        return {"features": functional.normalize(sums_UE, dim=-1)}


@dataclass(frozen=True)
class Tokenised:
    """Raw texts, tokenised batch by batch: what a tuned tower reads."""

    strings: dict[str, list[str]]
    tokeniser: Any
    max_tokens: int

    @classmethod
    def load(cls, folder: Path, tokeniser: Any, max_tokens: int) -> Tokenised:
        """Read the texts (in their English rendering) and prompts of a texts folder."""
        english = read_texts(folder)["english_text"].to_pylist()
        prompts = tables.read(folder / PROMPTS_TABLE, report_tables.PROMPTS, ["text"])["text"].to_pylist()
        sentences = [sentence for text in english for sentence in text.split("\n")]
        num_expected = int(tensors.read(folder / EMBEDDINGS, [_OFFSETS])[_OFFSETS][-1])
        if len(sentences) != num_expected:
            raise ValueError(
                f"{folder}: {len(sentences)} sentences in texts, {num_expected} embedded; rerun encode_texts"
            )
        return cls({"text": english, "sentence": sentences, "prompt": prompts}, tokeniser, max_tokens)

    def take(self, kind: Kind, rows_U: np.ndarray) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, shapes (U, L)."""
        return self._tokenise([self.strings[kind][row].replace("\n", " ") for row in rows_U])

    def join(self, sentences_U: list[np.ndarray]) -> dict[str, Tensor]:
        """Return the tokens of each group's sentences, one after the other."""
        return self._tokenise([" ".join(self.strings["sentence"][row] for row in rows) for rows in sentences_U])

    def _tokenise(self, strings: list[str]) -> dict[str, Tensor]:
        batch = self.tokeniser(strings, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt")
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


@dataclass(frozen=True)
class TextTable:
    """What the loop needs to know of each text.

    Attributes:
        unit: ``sequence`` or ``study``.
        flipped_T: text with left and right exchanged.
        is_flipped_T: made by exchanging sides; no report holds it.
        offsets_T1: first sentence of each text among all sentences, and the end.
    """

    unit: str
    flipped_T: np.ndarray
    is_flipped_T: np.ndarray
    offsets_T1: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> TextTable:
        """Read ``texts.parquet`` and the sentence offsets.

        Raises:
            ValueError: if texts are not numbered by row or mix units.
        """
        table = read_texts(folder)
        units = set(table["unit"].to_pylist())
        if len(units) != 1 or table["text_id"].to_pylist() != list(range(len(table))):
            raise ValueError(
                f"{folder / TEXTS_TABLE}: expected texts of one unit numbered by row, got units {sorted(units)} and "
                f"{len(table)} rows; rerun encode_texts"
            )
        offsets = tensors.read(folder / EMBEDDINGS, [_OFFSETS])[_OFFSETS]
        flipped, is_flipped = (table[name].to_numpy() for name in ("flipped_text_id", "is_flipped"))
        return cls(units.pop(), flipped.astype(np.int64), is_flipped, offsets.astype(np.int64))

    def draw_sentences(self, text_ids_U: np.ndarray, uniform_U: np.ndarray) -> np.ndarray:
        """Choose one sentence of each text by a number in [0, 1). Shape (U,)."""
        start, end = self.offsets_T1[text_ids_U], self.offsets_T1[text_ids_U + 1]
        return start + (uniform_U * (end - start)).astype(np.int64)

    def draw_subsets(self, text_ids_U: np.ndarray, uniform_U: np.ndarray) -> list[np.ndarray]:
        """Choose each sentence of a text with probability ½, and at least one; a function of ``uniform_U``."""
        subsets = []
        for text_id, uniform in zip(text_ids_U, uniform_U, strict=True):
            rows = np.arange(self.offsets_T1[text_id], self.offsets_T1[text_id + 1])
            random = np.random.default_rng(int(uniform * 2**53))
            chosen = rows[random.random(len(rows)) < _KEPT_SHARE]
            subsets.append(chosen if len(chosen) else rows[random.integers(len(rows), size=1)])
        return subsets


def read_texts(folder: Path) -> pa.Table:
    """Read ``texts.parquet`` of a texts folder."""
    return tables.read(folder / TEXTS_TABLE, report_tables.TEXTS)
