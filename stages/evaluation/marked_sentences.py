"""Sentences of reports with the statements that were read from them marked in the text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_COLOURS = {"present": "#f4b6a6", "uncertain": "#f7dc8a", "absent": "#b9d7ee"}
_SIGNS = {"present": "", "uncertain": "? ", "absent": "no "}


@dataclass(frozen=True)
class Mark:
    """A stretch of a sentence (code points) and what was read there."""

    start: int
    end: int
    label: str
    assertion: str


@dataclass(frozen=True)
class Marked:
    """A sentence, its language, its marks in order, and which kinds of statement it shows."""

    text: str
    language: str
    marks: tuple[Mark, ...]
    kinds: frozenset[tuple[str, str, str]]


def mark_sentences(findings: Iterable[Mapping[str, Any]], reports: Iterable[Mapping[str, Any]]) -> list[Marked]:
    """Find the statements of every sentence in its text.

    Args:
        findings: rows of ``findings.parquet``.
        reports: rows of ``reports.parquet``.

    Returns:
        Sentences in the order of the reports; one whose place is not found in its section is left out.
    """
    sections = {row["row"]: row["sections"] for row in reports}
    sentences: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for finding in findings:
        sentences.setdefault((finding["row"], finding["sentence"]), []).append(finding)
    found = (_mark(members, sections.get(row, [])) for (row, _), members in sorted(sentences.items()))
    return [marked for marked in found if marked is not None]


def choose(sentences: Sequence[Marked], num_sentences: int, seed: int) -> list[Marked]:
    """Draw sentences that show as many kinds of statement as there are, in every language.

    Args:
        sentences: to choose from; equal ones count once.
        num_sentences: how many.
        seed: of the order in which they are looked at.

    Returns:
        The sentences in the order of the reports.
    """
    unique = list({(marked.language, marked.text): marked for marked in sentences}.values())
    order = np.random.default_rng(seed).permutation(len(unique)).tolist()
    known: set[tuple[str, str, str]] = set()
    telling: list[int] = []
    others: list[int] = []
    for place in order:
        is_new = bool(unique[place].kinds - known)
        (telling if is_new else others).append(place)
        known |= unique[place].kinds
    return [unique[place] for place in sorted((telling + others)[:num_sentences])]


def to_html(sentences: Sequence[Marked]) -> str:
    """Write a page with displaCy, colours by assertion."""
    from spacy import displacy

    colours = {mark.label: _COLOURS[mark.assertion] for marked in sentences for mark in marked.marks}
    documents = [
        {
            "text": marked.text,
            "title": None,
            "ents": [{"start": mark.start, "end": mark.end, "label": mark.label} for mark in marked.marks],
        }
        for marked in sentences
    ]
    return displacy.render(documents, style="ent", manual=True, page=True, options={"colors": colours}) + "\n"


def to_rows(sentences: Sequence[Marked]) -> list[list[str]]:
    """Write cells of a Markdown table: the sentence with its marks in bold, and what they say."""
    return [[_in_bold(marked), "; ".join(mark.label for mark in marked.marks)] for marked in sentences]


def _mark(members: Sequence[Mapping[str, Any]], sections: Sequence[Mapping[str, str]]) -> Marked | None:
    first = members[0]
    start = _find(first, sections)
    if start is None:
        return None
    spans: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for finding in members:
        spans.setdefault((finding["start"] - start, finding["end"] - start), []).append(finding)
    marks = [
        Mark(*span, " + ".join(dict.fromkeys(map(describe, told))), told[0]["assertion"])
        for span, told in sorted(spans.items())
    ]
    kinds = frozenset((row["language"], row["finding"], row["assertion"]) for row in members)
    return Marked(first["text"], first["language"], tuple(_apart(marks)), kinds)


def _find(finding: Mapping[str, Any], sections: Sequence[Mapping[str, str]]) -> int | None:
    """Find where the sentence of a statement begins in its section; the statement lies in it."""
    for section in sections:
        if section["name"] == finding["section"]:
            start = section["text"].rfind(finding["text"], 0, finding["start"] + len(finding["text"]))
            if 0 <= start <= finding["start"] and finding["end"] <= start + len(finding["text"]):
                return start
    return None


def _apart(marks: Sequence[Mark]) -> list[Mark]:
    """Join marks that overlap: displaCy shows one at a place."""
    joined: list[Mark] = []
    for mark in marks:
        if joined and mark.start < joined[-1].end:
            last = joined.pop()
            mark = Mark(last.start, max(last.end, mark.end), f"{last.label} + {mark.label}", last.assertion)
        joined.append(mark)
    return joined


def describe(finding: Mapping[str, Any]) -> str:
    """Say a statement in a few words: doubt or denial, size, side, site, finding, signals."""
    size = f"{finding['size_mm']:g} mm" if finding.get("size_mm") else None
    signals = [f"{one['sequence'] or ''} {one['signal']}".strip() for one in finding.get("signals") or []]
    words = [size, finding.get("side"), finding.get("site"), finding["finding"]]
    text = " ".join(word.replace("_", " ") for word in words if word)
    return _SIGNS[finding["assertion"]] + text + (f" ({', '.join(signals)})" if signals else "")


def _in_bold(marked: Marked) -> str:
    pieces, position = [], 0
    for mark in marked.marks:
        said = _escape(marked.text[mark.start : mark.end])
        pieces += [_escape(marked.text[position : mark.start]), f"**{said}**"]
        position = mark.end
    return " ".join("".join([*pieces, _escape(marked.text[position:])]).split())


def _escape(text: str) -> str:
    return re.sub(r"([*_`<\[])", r"\\\1", text)
