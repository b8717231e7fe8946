"""The phrases that grounding looks for: a finding's prompts, and the sentences of the study's own report.

Shape suffixes: M prompts, F findings, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.artifacts import report_tables, tables, tensors
from stages.evaluation.embeddings import normalise

FloatArray = np.ndarray

_PRESENT = "present"
_INDEX = ("sentence_offsets", "sentence_lines", "statement_offsets", "statement_rows", "statement_lines")


@dataclass(frozen=True)
class Prompts:
    """Zero-shot prompts by finding.

    Attributes:
        positive: rows of the prompts that say that a finding is there.
        negative: rows of those that say that it is not, for the same findings in the same order.
        num_prompts: prompts of all kinds.
    """

    positive: Mapping[str, Sequence[int]]
    negative: Mapping[str, Sequence[int]]
    num_prompts: int

    @classmethod
    def load(cls, texts: Path) -> Prompts:
        """Read the prompts of a texts folder; findings that lack either polarity are left out."""
        rows: dict[str, dict[str, list[int]]] = {"positive": {}, "negative": {}}
        prompts = tables.read(texts / "prompts.parquet", report_tables.PROMPTS).to_pylist()
        for prompt in prompts:
            if prompt["polarity"] in rows:
                rows[prompt["polarity"]].setdefault(prompt["finding"], []).append(prompt["prompt_id"])
        findings = [finding for finding in rows["positive"] if finding in rows["negative"]]
        positive, negative = ({finding: of[finding] for finding in findings} for of in rows.values())
        return cls(positive, negative, len(prompts))

    def vectors(self, embeddings_MD: FloatArray, *, is_difference: bool) -> dict[str, FloatArray]:
        """Vector of each finding whose product with a normalised embedding is its score.

        Args:
            embeddings_MD: embeddings of all prompts in the shared space.
            is_difference: cos(v, positive) - cos(v, negative), the zero-shot score of classification,
                and not the cosine with the positive side alone. A side is the normalised mean of
                normalised prompts.

        Returns:
            Vectors of shape (D,).
        """
        if not self.positive:
            return {}
        unit_MD = normalise(embeddings_MD.astype(np.float32))
        positive_FD, negative_FD = (
            normalise(np.stack([unit_MD[list(rows)].mean(axis=0) for rows in of.values()]))
            for of in (self.positive, self.negative)
        )
        return dict(zip(self.positive, positive_FD - negative_FD if is_difference else positive_FD, strict=True))


@dataclass(frozen=True)
class StatedSentences:
    """Sentences of each text by the finding that they state as present."""

    rows: Mapping[int, Mapping[str, Sequence[int]]]

    @classmethod
    def load(cls, texts: Path, findings: Path, text_ids: Iterable[int]) -> StatedSentences:
        """Look up the sentences of some texts.

        ``encode_texts`` says in which line of a text each statement stands and which line each embedded
        sentence is, so nothing has to be matched by its words.

        Args:
            texts: folder with the sentence embeddings and their index.
            findings: ``findings.parquet``, whose rows the index names.
            text_ids: texts to look up.
        """
        index = tensors.read(texts / "embeddings.safetensors", list(_INDEX))
        columns = ["finding", "assertion"]
        stated = tables.read(findings, report_tables.FINDINGS, columns).to_pylist()
        rows: dict[int, dict[str, list[int]]] = {}
        for text_id in text_ids:
            first, end = index["sentence_offsets"][text_id : text_id + 2].tolist()
            lines = index["sentence_lines"][first:end].tolist()
            sentence_of = {line: first + position for position, line in enumerate(lines)}
            found: dict[str, dict[int, None]] = {}
            for number in range(*index["statement_offsets"][text_id : text_id + 2].tolist()):
                statement, line = stated[index["statement_rows"][number]], int(index["statement_lines"][number])
                if statement["assertion"] == _PRESENT and line in sentence_of:
                    found.setdefault(statement["finding"], {})[sentence_of[line]] = None
            rows[text_id] = {finding: list(sentences) for finding, sentences in found.items()}
        return cls(rows)

    def of(self, text_ids: Iterable[int], finding: str) -> list[int]:
        """Rows of the sentences of some texts that state a finding, each once."""
        return list(dict.fromkeys(row for text_id in text_ids for row in self.rows[text_id].get(finding, ())))
