"""Sections of a report, in English and Chinese, with or without headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from stages.reports.headers import HeaderFinder, any_of
from stages.reports.lexicon import Lexicon

#: Text before the first header, or of a report without headers.
BODY = "body"
#: Section that names the examination.
EXAM = "exam"
#: Section of what a report says of another examination.
OTHER_STUDY = "other_study"
#: Sections whose statements are about this study.
REPORTED = frozenset({BODY, "findings", "impression", "addendum"})

# Languages whose headers stand in reports of the language too.
_FURTHER_HEADERS = {"zh": ("en",)}
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LETTER = re.compile(r"[^\W\d_]")
_HAN_SHARE = 0.2
# Blank lines and ruled ones, before and after the text of a section.
_LEADING = re.compile(r"(?:\s|^[ \t]*[=_*~-]{3,}[ \t]*$)*", re.MULTILINE)
_RULE = re.compile(r"[ \t]*[=_*~-]{3,}")


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
        words = lexicon.languages
        self._headers = {
            code: HeaderFinder(words[code], *(words[other] for other in _FURTHER_HEADERS.get(code, ())))
            for code in words
        }
        self._dropped = {code: _dropped_lines(words[code]) for code in words}

    def read(self, text: str, language: str) -> list[Section]:
        """Split a report; lines about persons and places are dropped.

        Args:
            text: the report.
            language: ISO 639-1 code that the headers are written in.

        Returns:
            The sections that hold text, in order. Consecutive text of one name stays apart.
        """
        found = [(header.start, header.end, header.name) for header in self._headers[language].find(text)]
        marks = [(0, 0, BODY), *found, (len(text), len(text), BODY)]
        sections = []
        for (_, start, name), (end, _, _) in zip(marks, marks[1:], strict=False):
            for left, right in self._kept(text, start, max(start, end), language):
                section = _strip(name, text, left, right)
                if section is not None:
                    sections.append(section)
        return sections

    def _kept(self, text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
        """What is left of a stretch of text once its lines about persons are dropped."""
        spans, position = [], start
        for match in self._dropped[language].finditer(text, start, end):
            spans.append((position, match.start()))
            position = match.end()
        return [*spans, (position, end)]


def _dropped_lines(words: Mapping[str, Any]) -> re.Pattern[str]:
    labels, signatures, roles = (tuple(map(str, words[key])) for key in ("dropped_lines", "signatures", "roles"))
    return _dropped_pattern(labels, signatures, roles)


@lru_cache(maxsize=8)
def _dropped_pattern(labels: tuple[str, ...], signatures: tuple[str, ...], roles: tuple[str, ...]) -> re.Pattern[str]:
    """Pattern of what is dropped, each time to the end of its line.

    A line that begins with a label and a colon or number; from a signature on, wherever a sentence may
    begin; a line that is a titled name; a line of a name and a role.
    """
    label = rf"^[ \t]*(?i:{any_of(labels)})(?i:[ \t]+(?:no|number|id|code)\b\.?)?(?:[ \t]*[:：#]|[ \t]+(?=\d))"
    start = r"(?:^|(?<=[.。;；!！)）])|(?<=\s\s))\s?[ \t]{0,3}"
    signature = rf"{start}(?i:{any_of(signatures)})(?:[ \t]*[:：]|(?<=[Bb][Yy])[ \t]+(?=[A-Z_]))"
    titled = r"^[ \t]*(?:Dear\b(?=[^\n]{0,60}$)|(?:Drs?|Prof|Professor)\b\.?(?=(?:[ \t,]+[A-Z][\w.'’-]*)+[ \t.]*$))"
    role = rf"^[ \t]*(?:[A-Z][\w.'’-]*[ \t,]+){{1,6}}(?i:{any_of(roles)})(?=[ \t.]*$)"
    return re.compile(rf"(?:{label}|{signature}|{titled}|{role})[^\n]*(?:\n|\Z)", re.MULTILINE)


def _strip(name: str, text: str, start: int, end: int) -> Section | None:
    """The section without blanks and rules around its text; none if nothing is left."""
    stretch = text[start:end].rstrip()
    while _RULE.fullmatch(stretch, last := stretch.rfind("\n") + 1):
        stretch = stretch[:last].rstrip()
    match = _LEADING.match(stretch)
    num_leading = match.end() if match else 0
    stripped = stretch[num_leading:]
    return Section(name, stripped, start + num_leading) if stripped else None
