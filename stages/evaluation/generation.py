"""What written reports are worth: findings through our own extractor, and words, against the study's own report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.artifacts import evaluation_tables, report_tables, tables, tensors
from stages.evaluation.quantities import ALL, DECODER, NEAREST
from stages.evaluation.text_metrics import TextMetrics, words_of
from stages.params import Params
from stages.reports.extraction import reader_of
from stages.reports.sections import BODY, detect_language

KINDS = (DECODER, NEAREST)
PRECISION, RECALL, F1 = "findings_precision", "findings_recall", "findings_f1"
SIDE_F1, SITE_F1 = "side_f1", "site_f1"
COPIED = "copied"
NORMAL = "normal"
DECIMALS = 6
_INDEX = ["statement_offsets", "statement_rows"]
_COLUMNS = ["finding", "site", "side", "assertion"]


class GenerationParams(Params):
    """Section ``evaluate_generation``.

    Attributes:
        objectives: methods that are evaluated.
        splits: splits that are evaluated.
        penalty: of the ridge regression from image embeddings to embeddings of reports.
        temperature: of the similarity that draws those to the embeddings of training reports.
        batch_size: images at a time.
        num_threads: CPU threads; fixed, since sums depend on their order.
        max_resident_gib: images are held in memory up to this size.
    """

    objectives: list[str]
    splits: list[str]
    penalty: float = Field(gt=0)
    temperature: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    num_threads: int = Field(ge=1)
    max_resident_gib: float = Field(ge=0)


class Stated(NamedTuple):
    """A finding that a report states as present, or as possible, and where."""

    finding: str
    site: str | None
    side: str | None


Statements = frozenset[Stated]


@dataclass(frozen=True)
class Written:
    """A report that was written about an image.

    Attributes:
        kind: who wrote it.
        seed: of the pretraining.
        split: of the study.
        sequence: of the image, None for a whole study.
        text_id: the study's own report.
        text: what was written.
    """

    kind: str
    seed: int
    split: str
    study_id: str
    patient_id: str
    sequence: str | None
    text_id: int
    text: str


class FindingsReader:
    """Reads the findings of texts by the extractor that reads the reports of the cohort."""

    def __init__(self, lexicon: str, spacy_model: str) -> None:
        self._reader = reader_of(lexicon, spacy_model)

    def read(self, text: str) -> Statements:
        """Find what a text states as present or possible."""
        located = self._reader.statements([(BODY, text)], detect_language(text))
        said = (one.statement for one in located)
        return frozenset(Stated(one.finding, one.place.site, one.place.side) for one in said if one.is_positive)


def read_statements(texts: Path, findings: Path) -> list[Statements]:
    """Look up what the reports of a cohort state as present or possible, by ``text_id``.

    Args:
        texts: folder with the statements of each text (``embeddings.safetensors``).
        findings: ``findings.parquet``.
    """
    index = tensors.read(texts / "embeddings.safetensors", _INDEX)
    columns = tables.read(findings, report_tables.FINDINGS, _COLUMNS)
    said = list(zip(*(columns[name].to_pylist() for name in _COLUMNS), strict=True))
    return [
        frozenset(Stated(*said[row][:3]) for row in rows.tolist() if said[row][3] != "absent")
        for rows in np.split(index["statement_rows"], index["statement_offsets"][1:-1])
    ]


class Judge:
    """Scores written reports, each pair of texts once.

    Args:
        reader: of findings.
        known: training reports; they say how common words are, and what is copied.
        references: English wording of each text, by ``text_id``.
        statements: what each states.
    """

    def __init__(
        self,
        reader: FindingsReader,
        known: Sequence[str],
        references: Sequence[str],
        statements: Sequence[Statements],
    ) -> None:
        self._reader, self._metrics = reader, TextMetrics(known)
        self._known = {tuple(words_of(text)) for text in known}
        self._references, self._statements = references, statements
        self._read: dict[str, Statements] = {}
        self._scored: dict[tuple[str, int], list[tuple[str, str, float]]] = {}

    def rows(self, name: str, written: Iterable[Written]) -> Iterator[dict[str, Any]]:
        """Rows of measure cases of one method."""
        for one in written:
            about = {
                "objective": name,
                "seed": one.seed,
                "split": one.split,
                "study_id": one.study_id,
                "patient_id": one.patient_id,
            }
            for metric, cls, value in self._score(one.text, one.text_id):
                yield about | {"metric": f"{one.kind}/{metric}", "class": cls, "value": value}

    def _score(self, text: str, text_id: int) -> list[tuple[str, str, float]]:
        key = text, text_id
        if key not in self._scored:
            if text not in self._read:
                self._read[text] = self._reader.read(text)
            words = self._metrics.score(text, self._references[text_id])
            self._scored[key] = [
                *finding_cases(self._read[text], self._statements[text_id]),
                *((metric, ALL, value) for metric, value in words.items()),
                (COPIED, ALL, float(tuple(words_of(text)) in self._known)),
            ]
        return self._scored[key]


def finding_cases(written: Statements, own: Statements) -> Iterator[tuple[str, str, float]]:
    """Yield (metric, class, value) so that a mean over the cases of many studies is the micro average.

    A case of the precision is a finding that was written, 1 if the study's own report states it too; of
    the recall, one that the own report states, 1 if it was written; of F1 both. So a patient that is drawn
    in a resample brings all of its findings along. Findings count once a report; that all is normal is a
    class of its own, and no finding.

    Args:
        written: what the written report states.
        own: what the study's own report states.
    """
    for metric, parts in ((F1, ("finding",)), (SIDE_F1, ("finding", "side")), (SITE_F1, ("finding", "site"))):
        sets = [{tuple(getattr(one, part) for part in parts) for one in said} for said in (written, own)]
        for key in (key for said in sets for key in sorted(said, key=str)):
            value = float(key in sets[0] and key in sets[1])
            if key[0] != NORMAL:
                yield metric, ALL, value
            if metric == F1:
                yield metric, key[0], value
    found, stated = ({one.finding for one in said} - {NORMAL} for said in (written, own))
    yield from ((PRECISION, ALL, float(finding in stated)) for finding in sorted(found))
    yield from ((RECALL, ALL, float(finding in found)) for finding in sorted(stated))


def to_tables(name: str, written: Sequence[Written], judge: Judge) -> tuple[pa.Table, pa.Table]:
    """Tables of measure cases and of the texts themselves."""
    texts = [
        {
            "objective": name,
            "seed": one.seed,
            "split": one.split,
            "study_id": one.study_id,
            "kind": one.kind,
            "sequence": one.sequence,
            "text_id": one.text_id,
            "text": one.text,
        }
        for one in written
    ]
    return (
        tables.from_rows(evaluation_tables.MEASURE_CASES, judge.rows(name, written)),
        tables.from_rows(evaluation_tables.GENERATED_TEXTS, texts),
    )


def summarise(cases: pa.Table, written: Sequence[Written]) -> dict[str, Any]:
    """Mean over cases and seeds by split, writer and metric, and the share of texts that differ."""
    means = cases.group_by(["split", "metric", "class"], use_threads=False).aggregate([("value", "mean")])
    summary: dict[str, Any] = {}
    for row in means.to_pylist():
        if row["class"] == ALL:
            kind, metric = row["metric"].split("/")
            of_kind = summary.setdefault(row["split"], {}).setdefault(kind, {})
            of_kind[metric] = round(row["value_mean"], DECIMALS)
    for (split, kind), share in distinct_shares(written).items():
        summary.setdefault(split, {}).setdefault(kind, {})["distinct_texts"] = share
    return summary


def distinct_shares(written: Sequence[Written]) -> Mapping[tuple[str, str], float]:
    """Share of the texts of a seed that differ from one another, mean over seeds, by split and writer."""
    groups: dict[tuple[str, str], dict[int, list[str]]] = {}
    for one in written:
        groups.setdefault((one.split, one.kind), {}).setdefault(one.seed, []).append(one.text)
    return {
        key: round(float(np.mean([len(set(texts)) / len(texts) for texts in by_seed.values()])), DECIMALS)
        for key, by_seed in groups.items()
    }
