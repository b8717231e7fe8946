"""Sections of a report, in English and Chinese, with or without headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stages.reports.lexicon import Lexicon

#: Text before the first header, or of a report without headers.
BODY = "body"
#: Sections whose statements are about this study.
REPORTED = frozenset({BODY, "findings", "impression", "addendum"})

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_HAN_SHARE = 0.2


@dataclass(frozen=True)
class Section:
    """One section: its name, its text and where the text starts in the report (code points)."""

    name: str
    text: str
    start: int


def detect_language(text: str) -> str:
    """Tell Chinese (``zh``) from everything else (``en``) by the share of Han characters."""
    num_han = len(_HAN.findall(text))
    return "zh" if num_han and num_han >= _HAN_SHARE * len(_LETTER.findall(text)) else "en"


class SectionReader:
    """Splits the reports of a lexicon's languages into sections."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._headers = {code: _Headers(words) for code, words in lexicon.languages.items()}

    def read(self, text: str, language: str) -> list[Section]:
        """Split a report; lines about persons and places are dropped.

        Args:
            text: the report.
            language: ISO 639-1 code that the headers are written in.

        Returns:
            The sections that hold text, in order. Consecutive text of one name stays apart.
        """
        headers = self._headers[language]
        marks = [(0, 0, BODY), *headers.find(text), (len(text), len(text), BODY)]
        sections = []
        for (_, start, name), (end, _, _) in zip(marks, marks[1:], strict=False):
            for left, right in headers.kept(text, start, max(start, end)):
                section = _strip(name, text, left, right)
                if section is not None:
                    sections.append(section)
        return sections


class _Headers:
    """Header patterns of one language."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        self._names = {str(term).lower(): name for name, terms in words["sections"].items() for term in terms}
        self._header = _header_pattern(tuple(self._names))
        dropped = (tuple(map(str, words[key])) for key in ("dropped_lines", "signatures", "roles"))
        self._dropped = _dropped_pattern(*dropped)

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Headers: first code point, first code point of the text, section name."""
        return [
            (match.start("all"), match.end(), self._names[re.sub(r"\s+", " ", match.group("name").lower())])
            for match in self._header.finditer(text)
        ]

    def kept(self, text: str, start: int, end: int) -> list[tuple[int, int]]:
        """What is left of a stretch of text once its lines about persons are dropped."""
        spans, position = [], start
        for match in self._dropped.finditer(text, start, end):
            spans.append((position, match.start()))
            position = match.end()
        return [*spans, (position, end)]


@lru_cache(maxsize=8)
def _header_pattern(headers: tuple[str, ...]) -> re.Pattern[str]:
    """Pattern of section headers.

    A header stands at the start of a line or sentence and ends in a colon, or stands in brackets, or
    is alone on its line (then in capitals or in Chinese).
    """
    start = r"(?:^[ \t]*(?:[#*]{1,3}[ \t]*|\d{1,2}[.、)][ \t]*|[一二三四五六][、.])?|(?<=[.。;；!])[ \t]*)"
    return re.compile(
        rf"{start}(?P<all>[\[【(（]?[ \t]*(?P<name>(?i:{_any_of(headers)}))"
        rf"(?:[ \t]*[\]】)）]+[ \t]*[:：]?|[ \t]*[*]{{0,3}}[ \t]*[:：][ \t]*[*]{{0,3}}|(?=[ \t]*$)))",
        re.MULTILINE,
    )


@lru_cache(maxsize=8)
def _dropped_pattern(labels: tuple[str, ...], signatures: tuple[str, ...], roles: tuple[str, ...]) -> re.Pattern[str]:
    """Pattern of what is dropped, each time to the end of its line.

    A line that begins with a label and a colon or number; from a signature on, wherever a sentence may
    begin; a line that is a titled name; a line of a name and a role.
    """
    label = rf"^[ \t]*(?i:{_any_of(labels)})(?i:[ \t]+(?:no|number|id|code)\b\.?)?(?:[ \t]*[:：#]|[ \t]+(?=\d))"
    start = r"(?:^|(?<=[.。;；!！)）])|(?<=\s\s))\s?[ \t]*"
    signature = rf"{start}(?i:{_any_of(signatures)})(?:[ \t]*[:：]|(?<=[Bb][Yy])[ \t]+(?=[A-Z_]))"
    titled = r"^[ \t]*(?:Dear\b(?=[^\n]{0,60}$)|(?:Drs?|Prof|Professor)\b\.?(?=(?:[ \t,]+[A-Z][\w.'’-]*)+[ \t.]*$))"
    role = rf"^[ \t]*(?:[A-Z][\w.'’-]*[ \t,]+){{1,6}}(?i:{_any_of(roles)})(?=[ \t.]*$)"
    return re.compile(rf"(?:{label}|{signature}|{titled}|{role})[^\n]*(?:\n|\Z)", re.MULTILINE)


def _any_of(terms: tuple[str, ...]) -> str:
    """Pattern of any of the terms, the longest first, with any blanks between their words."""
    return "|".join(r"[ \t]+".join(map(re.escape, term.split())) for term in sorted(terms, key=len, reverse=True))


def _strip(name: str, text: str, start: int, end: int) -> Section | None:
    stretch = text[start:end]
    stripped = stretch.strip()
    if not stripped:
        return None
    start += len(stretch) - len(stretch.lstrip())
    return Section(name, stripped, start)
