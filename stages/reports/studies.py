"""Reports of several examinations: which part is about the body part of the lexicon.

An examination is named by a section ("EXAM: MRI CERVICAL SPINE"), which holds for what follows up to
the next such section, by a title alone on its line before a header, which holds as long, or by a
heading within a section ("Cervical spine: …"), which holds to the end of that section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from stages.reports.headers import any_of
from stages.reports.lexicon import Lexicon
from stages.reports.sections import EXAM, OTHER_STUDY, Section

# A heading is a whole short line, or the start of a line up to a colon or dash.
_HEADING = re.compile(
    r"^[ \t]*(?:[#*•>-]{1,3}[ \t]*|\(?\d{1,2}[.、)][ \t]*|[一二三四五六][、.][ \t]*)?[\[【*]{0,3}"
    r"(?P<words>[^\n:：.。;；]{2,80}?)[\]】*]{0,3}[ \t]*(?P<end>[:：]|[ \t][-–—][ \t]|$)",
    re.MULTILINE,
)
_WORD = re.compile(r"[A-Za-z]+(?:'s)?|\d(?:\.\d)?T\b|[\u4e00-\u9fff]+")


class ExaminationReader:
    """Tells the parts of reports in one language that are about another examination."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        words = lexicon.examinations
        own, other, fillers = (tuple(map(str, words[key][language])) for key in ("own", "other", "fillers"))
        self._is_spaced = language == "en"
        self._own, self._other = _phrases(own, is_spaced=self._is_spaced), _phrases(other, is_spaced=self._is_spaced)
        # Other words first: "brain stem" is no filler, but the letters of a Chinese heading run together.
        self._known = _phrases((*own, *other, *fillers), is_spaced=self._is_spaced)

    def mark(self, sections: list[Section]) -> list[Section]:
        """Give the parts of a report that are about other examinations the name of ``OTHER_STUDY``.

        A report that names no other part of the body comes back as it is.
        """
        if not any(self._other.search(section.text) for section in sections):
            return sections
        is_own = True
        marked: list[Section] = []
        for section in sections:
            if section.name == EXAM:
                is_own = self._is_own(section.text, is_own=True)
                marked.append(section)
                continue
            is_piece_own = is_own
            for heading, piece in self._pieces(section):
                if heading is not None:
                    is_piece_own = self._is_own(heading, is_own=is_piece_own)
                if piece is None:  # a title: it holds for the sections that follow
                    is_own = is_piece_own
                else:
                    marked.append(piece if is_piece_own else replace(piece, name=OTHER_STUDY))
        return marked

    def _is_own(self, words: str, *, is_own: bool) -> bool:
        """Whether named examinations include the lexicon's own; what names no part of the body changes nothing."""
        if self._own.search(words):
            return True
        return is_own and not self._other.search(words)

    def _pieces(self, section: Section) -> Iterator[tuple[str | None, Section | None]]:
        """Stretches of a section and the headings before them; a heading without text after it has no stretch."""
        headings = [match for match in _HEADING.finditer(section.text) if self._is_heading(match)]
        starts = [match.start() for match in headings]
        if not headings:
            yield None, section
            return
        if lead := _piece(section, 0, starts[0]):
            yield None, lead
        for match, end in zip(headings, [*starts[1:], len(section.text)], strict=True):
            yield (
                match["words"],
                _piece(section, match.start(), end) if section.text[match.end() : end].strip() else None,
            )

    def _is_heading(self, match: re.Match[str]) -> bool:
        """Whether a line is made of parts of the body and of words that go with them."""
        words = match["words"]
        if not (self._own.search(words) or self._other.search(words)):
            return False
        rest = self._known.sub(" ", words)
        return not _WORD.search(rest)


def _phrases(terms: tuple[str, ...], *, is_spaced: bool) -> re.Pattern[str]:
    bound = r"(?<![A-Za-z]){}(?![A-Za-z])" if is_spaced else "(?:{})"
    spaced = any_of(terms).replace(r"[ \t\u3000\xa0]+", r"[ \t\u3000\xa0-]+")
    return re.compile(bound.format(f"(?:{spaced})") if is_spaced else f"(?:{spaced})", re.IGNORECASE)


def _piece(section: Section, start: int, end: int) -> Section | None:
    stretch = section.text[start:end]
    text = stretch.strip()
    if not text:
        return None
    return Section(section.name, text, section.start + start + len(stretch) - len(stretch.lstrip()))
