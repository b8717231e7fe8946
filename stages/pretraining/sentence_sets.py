"""The sentences of every text, and what each of them states.

Shape suffixes: T texts, M sentences of all texts, B texts of a batch, N sentences of a text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.artifacts import report_tables, tables, tensors
from stages.pretraining.texts import EMBEDDINGS, read_texts
from stages.reports.statements import NORMAL, Statement

NOTHING = -1


@dataclass(frozen=True)
class SentenceTable:
    """What the sentences of a cohort state, in the order of the sentence embeddings.

    Attributes:
        offsets_T1: first sentence of each text, and the end.
        is_finding_M: whether it states a finding as present or uncertain.
        meaning_M: number of what it states, -1 for nothing.
    """

    offsets_T1: np.ndarray
    is_finding_M: np.ndarray
    meaning_M: np.ndarray

    @classmethod
    def load(cls, texts: Path, findings: Path) -> SentenceTable:
        """Read which statements each sentence makes; those of a mirrored text have their sides exchanged.

        Args:
            texts: folder of ``encode_texts``.
            findings: ``findings.parquet``.
        """
        stored = tensors.read(
            texts / EMBEDDINGS,
            ["sentence_offsets", "sentence_lines", "statement_offsets", "statement_rows", "statement_lines"],
        )
        said = [Statement.from_row(row) for row in tables.read(findings, report_tables.FINDINGS).to_pylist()]
        stated: list[frozenset[Any]] = []
        for text in read_texts(texts).to_pylist():
            by_line = _by_line(text, said, stored)
            first, end = stored["sentence_offsets"][text["text_id"] : text["text_id"] + 2]
            stated += [frozenset(by_line[line]) for line in stored["sentence_lines"][first:end].tolist()]
        return cls(
            stored["sentence_offsets"].astype(np.int64),
            np.array([any(_is_finding(*statement) for statement in own) for own in stated], dtype=bool),
            _number(stated),
        )

    def gather(self, text_ids_B: np.ndarray) -> dict[str, np.ndarray]:
        """Collect the sentences of texts, padded to the longest.

        Returns:
            ``rows``: rows of the sentence embeddings, 0 in padding, and ``is_sentence``, ``is_finding``
            and ``meaning`` as in ``SentenceSets``, each of shape (B, N).
        """
        start_B, end_B = self.offsets_T1[text_ids_B], self.offsets_T1[text_ids_B + 1]
        rows_BN = start_B[:, None] + np.arange((end_B - start_B).max())
        is_sentence_BN = rows_BN < end_B[:, None]
        rows_BN = np.where(is_sentence_BN, rows_BN, 0)
        return {
            "rows": rows_BN,
            "is_sentence": is_sentence_BN,
            "is_finding": is_sentence_BN & self.is_finding_M[rows_BN],
            "meaning": np.where(is_sentence_BN, self.meaning_M[rows_BN], NOTHING),
        }


def _by_line(
    text: dict[str, Any], said: Sequence[Statement], stored: dict[str, np.ndarray]
) -> defaultdict[int, set[Any]]:
    """Finding, site, side and assertion of the statements of one text, by the line where they stand."""
    first, end = stored["statement_offsets"][text["text_id"] : text["text_id"] + 2]
    by_line: defaultdict[int, set[Any]] = defaultdict(set)
    for row, line in zip(stored["statement_rows"][first:end], stored["statement_lines"][first:end], strict=True):
        statement = said[row].flip() if text["is_flipped"] else said[row]
        by_line[int(line)].add((statement.finding, statement.site, statement.side, statement.assertion))
    return by_line


def _is_finding(finding: str, site: str | None, side: str | None, assertion: str) -> bool:
    return finding != NORMAL and assertion != "absent"


def _number(stated: Sequence[frozenset[Any]]) -> np.ndarray:
    numbers: dict[frozenset[Any], int] = {}
    return np.array([numbers.setdefault(own, len(numbers)) if own else NOTHING for own in stated], dtype=np.int64)
