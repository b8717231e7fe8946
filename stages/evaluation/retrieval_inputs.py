"""What retrieval is held against: content of the studies, what the texts say, and the category queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from stages.artifacts import report_tables, tables, tensors
from stages.evaluation.categories import CategoryEvaluation
from stages.evaluation.embeddings import Embeddings
from stages.evaluation.labels import Labels
from stages.evaluation.relevance import Relevance
from stages.evaluation.retrieval import RetrievalEvaluation, RetrievalParams
from stages.reports.statements import NORMAL

#: what a text says, signals left out; or the text itself where nothing was read in it
Said = frozenset[tuple[str | None, ...]] | str | int

_QUERY = "query"
_FINDINGS = ["finding", "site", "side", "assertion"]


@dataclass(frozen=True)
class RetrievalInputs:
    """Everything that retrieval needs beside embeddings.

    Attributes:
        relevance: gains and statement sets by study.
        labels: findings of the studies, for the categories.
        languages: language of each text_id.
        collapsed: number of what each text_id says, signals left out.
        queries: finding that each query sentence, by prompt_id, asks for.
    """

    relevance: Relevance
    labels: Labels
    languages: Mapping[int, str]
    collapsed: Mapping[int, int]
    queries: Mapping[int, str]

    @classmethod
    def load(cls, *, relevance: Path, labels: Path, texts: Path, reports: Path) -> RetrievalInputs:
        """Read the inputs.

        Args:
            relevance: folder of ``judge_relevance``.
            labels: ``labels.parquet``.
            texts: folder with texts, prompts and the statements of each text.
            reports: folder with ``findings.parquet``.
        """
        languages = tables.read(texts / "texts.parquet", report_tables.TEXTS, ["text_id", "language"]).to_pydict()
        prompts = tables.read(texts / "prompts.parquet", report_tables.PROMPTS).to_pylist()
        return cls(
            Relevance.load(relevance),
            Labels.load(labels),
            dict(zip(languages["text_id"], languages["language"], strict=True)),
            dict(enumerate(read_collapsed(texts, reports))),
            {prompt["prompt_id"]: prompt["finding"] for prompt in prompts if prompt["polarity"] == _QUERY},
        )

    def evaluate(self, name: str, embeddings: Embeddings, params: RetrievalParams) -> pa.Table:
        """Rank every gallery for every query of one method, and return the cases."""
        by_study = RetrievalEvaluation(name, embeddings, self.relevance, self.languages, self.collapsed, params)
        by_category = CategoryEvaluation(name, embeddings, self.labels, self.relevance, self.queries, params)
        return pa.concat_tables([by_study.run(), by_category.run()])


def read_collapsed(texts: Path, reports: Path) -> list[int]:
    """Number what each text says once the signals of its statements are left out, by first appearance.

    Args:
        texts: folder with the statements of each text (``embeddings.safetensors``).
        reports: folder with ``findings.parquet``.
    """
    index = tensors.read(texts / "embeddings.safetensors", ["statement_offsets", "statement_rows"])
    columns = tables.read(reports / "findings.parquet", report_tables.FINDINGS, _FINDINGS)
    statements = list(zip(*(columns[name].to_pylist() for name in _FINDINGS), strict=True))
    own = np.split(index["statement_rows"], index["statement_offsets"][1:-1])
    numbers: dict[Said, int] = {}
    said = (collapse([statements[row] for row in rows.tolist()], text_id) for text_id, rows in enumerate(own))
    return [numbers.setdefault(what, len(numbers)) for what in said]


def collapse(statements: Iterable[tuple[str | None, ...]], text_id: int) -> Said:
    """Reduce statements to what is shown, and where: findings that are present or hedged.

    Denials are left out, as in the gain: they are boilerplate that differs from reader to reader. A text of
    denials alone says that all is normal; one without statements says nothing that another text says too.

    Args:
        statements: finding, site, side and assertion of each.
        text_id: of the text that makes them.
    """
    statements = list(statements)
    shown = frozenset(one for one in statements if one[0] != NORMAL and one[3] != "absent")
    return shown or (NORMAL if statements else text_id)
