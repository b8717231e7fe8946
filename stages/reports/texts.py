"""Unique texts of a cohort, with their side-flipped twins and the statements that each makes."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stages.artifacts.imaging_tables import SEQUENCES
from stages.reports.lexicon import Lexicon
from stages.reports.scrubbing import MASK
from stages.reports.sections import BODY, REPORTED
from stages.reports.statements import OPPOSITE_SIDES

_LIST_MARK = re.compile(r"^(?:\d{1,2}\s*[.)、]|[-•*])\s*(?=\D)")
# A full stop ends a sentence before white space, a Chinese one always; a line break does before an
# empty line, a list item, a capitalised word or a Han character, and is a wrapped line otherwise.
_SENTENCE_END = re.compile(
    r"(?<=[.!?])\s+|(?<=[。！？；])|\n(?=\s*(?:\n|[-•*]|\d+\s*[.)、]|[A-Z][a-z\s]|[\u4e00-\u9fff]))"
)
_WORD = re.compile(r"[^\W\d_]{2}")


class Line(NamedTuple):
    """One sentence of a report, what it states, and the sequences that it names."""

    text: str
    statements: tuple[int, ...]  # rows of findings.parquet
    sequences: frozenset[str]


@dataclass
class Draft:
    """One text on its way into ``texts.parquet``."""

    sequence: str | None
    language: str
    row: int
    lines: tuple[Line, ...]
    english: tuple[tuple[int, str], ...]  # number of the line, sentence for the encoder
    is_flipped: bool = False
    flipped_text_id: int = -1
    study_ids: set[str] = field(default_factory=set)

    @property
    def text(self) -> str:
        """Sentences joined by a newline."""
        return "\n".join(line.text for line in self.lines)

    @property
    def key(self) -> tuple[str | None, str, str]:
        """What makes a text unique."""
        return self.sequence, self.language, self.text


@dataclass
class TextSet:
    """The unique texts of a cohort, and which study and sequence each describes."""

    drafts: list[Draft] = field(default_factory=list)
    pairs: list[dict[str, Any]] = field(default_factory=list)
    #: reports in a language that the encoder does not read and without a statement to render
    num_unreadable: int = 0

    ids: dict[tuple[str | None, str, str], int] = field(default_factory=dict)

    def add(self, draft: Draft) -> int:
        """Number a text, by its first draft."""
        text_id = self.ids.setdefault(draft.key, len(self.drafts))
        if text_id == len(self.drafts):
            self.drafts.append(draft)
        return text_id

    def rows(self, unit: str) -> Iterator[dict[str, Any]]:
        """Rows of ``texts.parquet``."""
        for text_id, draft in enumerate(self.drafts):
            yield {
                "text_id": text_id,
                "unit": unit,
                "sequence": draft.sequence,
                "language": draft.language,
                "row": draft.row,
                "text": draft.text,
                "english_text": "\n".join(sentence for _, sentence in draft.english),
                "flipped_text_id": draft.flipped_text_id,
                "is_flipped": draft.is_flipped,
                "num_studies": len(draft.study_ids),
            }


class TextBuilder:
    """Turns reports and their statements into unique texts.

    Args:
        findings: rows of ``findings.parquet``.
        lexicon: renders statements and exchanges sides.
        unit: ``study`` (one text a report) or ``sequence`` (the sentences that name a sequence with
            those that name none; one text serves all sequences that are not named).
        readable: languages that the encoder reads; the others are rendered in English.
    """

    def __init__(
        self, findings: Sequence[Mapping[str, Any]], lexicon: Lexicon, unit: str, readable: Iterable[str]
    ) -> None:
        self._findings = findings
        self._lexicon = lexicon
        self._sequences: tuple[str | None, ...] = (None,) if unit == "study" else SEQUENCES
        self._readable = frozenset(readable)

    def build(self, reports: Iterable[Mapping[str, Any]]) -> TextSet:
        """Collect the unique texts in the order in which the reports first bring them.

        Args:
            reports: rows of ``reports.parquet``; those whose status is ``used`` give texts.
        """
        by_report = defaultdict(list)
        for number, statement in enumerate(self._findings):
            by_report[statement["row"]].append(number)
        texts = TextSet()
        for report in reports:
            if report["status"] == "used":
                self._add_report(texts, report, self._lines(report["sections"], by_report[report["row"]]))
        self._add_flipped(texts)
        return texts

    def _lines(self, sections: Iterable[Mapping[str, str]], numbers: Sequence[int]) -> list[Line]:
        lines = []
        for section in sections:
            if section["name"] not in REPORTED:
                continue
            here = [number for number in numbers if _stands_in(self._findings[number], section)]
            for start, end in sentence_spans(section["text"]):
                inside = tuple(n for n in here if start <= self._findings[n]["start"] < end)
                named = frozenset(name for n in inside for name in _named_sequences(self._findings[n]))
                text = normalise(section["text"][start:end])
                if inside or not _is_letterhead(text, section["name"]):
                    lines.append(Line(text, inside, named))
        return lines

    def _add_report(self, texts: TextSet, report: Mapping[str, Any], lines: list[Line]) -> None:
        for sequence in self._sequences:
            chosen = tuple(line for line in lines if not line.sequences or sequence in line.sequences or not sequence)
            named = sequence if any(sequence in line.sequences for line in chosen) else None
            english = self._english(chosen, report["language"], is_flipped=False)
            if not english:
                texts.num_unreadable += bool(chosen)
                continue
            draft = Draft(named, report["language"], report["row"], chosen, english)
            text_id = texts.add(draft)
            texts.drafts[text_id].study_ids.add(report["study_id"])
            texts.pairs.append({"study_id": report["study_id"], "sequence": sequence, "text_id": text_id})

    def _add_flipped(self, texts: TextSet) -> None:
        for draft in list(texts.drafts):
            lines = tuple(
                line._replace(text=self._lexicon.flip_sides(line.text, draft.language)) for line in draft.lines
            )
            english = self._english(lines, draft.language, is_flipped=True)
            twin = Draft(draft.sequence, draft.language, draft.row, lines, english, is_flipped=True)
            draft.flipped_text_id = texts.add(twin)
            if texts.drafts[draft.flipped_text_id] is twin:
                twin.flipped_text_id = texts.ids[draft.key]

    def _english(self, lines: Sequence[Line], language: str, *, is_flipped: bool) -> tuple[tuple[int, str], ...]:
        """Sentences that an encoder of English is given, each with the number of its line."""
        if language in self._readable:
            return tuple((number, line.text) for number, line in enumerate(lines))
        rendered = [self._render(line.statements, is_flipped=is_flipped) for line in lines]
        return tuple((number, sentence) for number, sentence in enumerate(rendered) if sentence)

    def _render(self, numbers: Sequence[int], *, is_flipped: bool) -> str:
        rows = [self._findings[number] for number in numbers]
        if is_flipped:
            rows = [{**row, "side": OPPOSITE_SIDES.get(row["side"], row["side"])} for row in rows]
        return " ".join(dict.fromkeys(self._lexicon.render(row) for row in rows))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Find the sentences of a section, as spans in code points.

    A piece without two letters in a row (the "1." of a list, a lone number) belongs to what follows.
    """
    ends = [match.end() for match in _SENTENCE_END.finditer(text)] + [len(text)]
    spans, start = [], 0
    for end in ends:
        if _WORD.search(text, start, end):
            spans.append((start, end))
            start = end
    return spans


def normalise(text: str) -> str:
    """Normalise white space and drop the number or bullet of a list item; letter case stays."""
    return _LIST_MARK.sub("", " ".join(text.split()))


def _stands_in(statement: Mapping[str, Any], section: Mapping[str, str]) -> bool:
    """Whether a statement is of this section; a report may have several of one name."""
    words = section["text"][statement["start"] : statement["end"]]
    return statement["section"] == section["name"] and normalise(words) in normalise(statement["text"])


def _is_letterhead(text: str, section: str) -> bool:
    """Whether a sentence without a statement is about the letter: outside any section, or with masked names."""
    return section == BODY or MASK in text


def _named_sequences(statement: Mapping[str, Any]) -> set[str]:
    return {entry["sequence"] for entry in statement["signals"]} | ({statement["sequence"]} - {None})
