"""Headers of report sections as they are met in the wild.

A header stands at the start of a line or sentence and ends in a colon, in brackets, in a dash or at the
end of its line. In capitals, or after two blanks, one with a colon may stand anywhere; some need no
colon (``bare_headers``). Two may share a line ("FINDINGS/IMPRESSION:"), and one letter may be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rapidfuzz import process
from rapidfuzz.distance import OSA

#: Of two headers on one line, the first of these that is among them names the section.
_STRONGER = ("findings", "impression", "addendum")
_BLANK = r"[ \t\u3000\xa0]"
_BULLET = rf"[#*=_~<>•-]{{1,6}}+{_BLANK}*+"
_NUMBER = rf"\(?\d{{1,2}}[.、)]{_BLANK}*|[一二三四五六][、.]{_BLANK}*|[IVX]{{1,4}}[.)]{_BLANK}+"
_LINE_START = rf"^{_BLANK}*+(?:{_BULLET}|{_NUMBER})?+"
_START = rf"(?:{_LINE_START}|(?<=[.。;；!]){_BLANK}*+)"
_ASIDE = rf"(?:{_BLANK}*[(（][^()（）\n]{{1,40}}[)）])?"
_COLON = rf"{_ASIDE}{_BLANK}*[*_=~>]{{0,6}}{_BLANK}*[:：]{_BLANK}*[*_=]{{0,6}}"
_BRACKET = rf"{_BLANK}*[\]】)）」]+{_BLANK}*[:：]?"
_ALONE = rf"{_ASIDE}{_BLANK}*[#*=_~<>-]{{0,6}}(?={_BLANK}*$)"
_DASH = rf"(?:{_BLANK}+[-–—]{{1,2}}{_BLANK}+|{_BLANK}*[–—]{{1,2}}{_BLANK}*)(?=\S)"
_RULE = rf"(?:{_BLANK}*\n{_BLANK}*[=_*~-]{{3,}}{_BLANK}*(?=\n|\Z))?"
_LABEL = re.compile(rf"^{_BLANK}*(?P<name>[A-Za-z][A-Za-z ]{{5,28}}[A-Za-z]){_BLANK}*:", re.MULTILINE)
# In shorter words one wrong letter makes another word.
_MIN_MISSPELT = 7


@dataclass(frozen=True)
class Header:
    """One header: its first code point, that of the text after it, and the section that it opens."""

    start: int
    end: int
    name: str


class HeaderFinder:
    """Finds the headers of reports in one language."""

    def __init__(self, words: Mapping[str, Any], *others: Mapping[str, Any]) -> None:
        """Prepare the patterns.

        Args:
            words: section words of the language.
            others: those of further languages whose headers occur in its reports.
        """
        self._languages = (words, *others)
        self._names = {
            str(term).lower(): name
            for one in reversed(self._languages)
            for name, terms in one["sections"].items()
            for term in terms
        }
        self._misspelt = [term for term in self._names if term.isascii() and len(term) >= _MIN_MISSPELT]

    def find(self, text: str) -> list[Header]:
        """The headers of a report in order; where two overlap, the one that begins first, or is longer."""
        found = [
            Header(match.start(), match.end(), self._section(match))
            for pattern in self._patterns
            for match in pattern.finditer(text)
        ]
        found += self._misspellings(text)
        kept: list[Header] = []
        for header in sorted(found, key=lambda one: (one.start, -one.end)):
            if not kept or header.start >= kept[-1].end:
                kept.append(header)
        return kept

    def _section(self, match: re.Match[str]) -> str:
        said = match.groupdict()
        named = [self._names[re.sub(r"\s+", " ", said[key].lower())] for key in ("name", "second") if said.get(key)]
        return next((name for name in _STRONGER if name in named), named[0])

    def _misspellings(self, text: str) -> Iterator[Header]:
        for match in _LABEL.finditer(text):
            label = re.sub(r"\s+", " ", match["name"].lower())
            if label in self._names or len(label) < _MIN_MISSPELT:
                continue
            found = process.extractOne(label, self._misspelt, scorer=OSA.distance, score_cutoff=1)
            if found is not None and found[0][0] == label[0]:
                yield Header(match.start("name"), match.end(), self._names[found[0]])

    def _words(self, key: str) -> list[str]:
        return [str(word) for one in self._languages for word in one[key]]

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        every = any_of(self._names)
        second = rf"(?:{_BLANK}*(?i:{any_of(self._words('header_joins'))}){_BLANK}*(?P<second>(?i:{every})))?"
        prefixes = rf"(?:(?i:{any_of(self._words('header_prefixes'))}){_BLANK}*){{0,3}}"
        name = rf"(?:[\[【(（「]?{_BLANK}*+{prefixes}(?P<name>(?i:{every}))(?![A-Za-z0-9]){second}"
        capitals = any_of([term.upper() for term in self._names if term.isascii()])
        loud = rf"(?P<name>{capitals})(?:[ \t]*(?:/|&|AND)[ \t]*(?P<second>{capitals}))?"
        sources = [
            rf"{_START}{name}(?:{_BRACKET}|{_COLON}|{_ALONE})){_RULE}",
            rf"{_LINE_START}{name}{_DASH})",
            rf"(?<=[ \t])(?=[A-Z]{{4}})(?:{loud}{_ASIDE}[ \t]*:)",
            rf"(?<=[ \t\u3000])(?:(?P<name>{any_of(self._unspaced())})[ \t]*[:：])",
            rf"(?<=[ \t\u3000]{{2}})(?:(?P<name>(?i:{every}))[ \t]*[:：])",
            *self._bare_patterns(),
            self._addendum_pattern(),
        ]
        return tuple(re.compile(source, re.MULTILINE) for source in sources)

    def _unspaced(self) -> list[str]:
        """Headers that no word between blanks can be: Chinese ones that are not short."""
        return [term for term in self._names if not term.isascii() and len(term) > 2] or ["\0"]

    def _bare_patterns(self) -> Iterator[str]:
        """Headers that their text follows without a colon, at the start of a line."""
        words = self._words("bare_headers")
        latin = [word for word in words if word.isascii() and word.islower()]
        stops, openers = any_of(self._words("bare_stops")), any_of(self._words("bare_openers"))
        loud = any_of([word.upper() for word in latin])
        yield rf"{_LINE_START}(?:(?P<name>{loud})){_BLANK}+(?=\w)(?!(?i:{stops})\b)"
        opened = rf"(?=(?i:{openers})\b|\d{{1,2}}[.)])"
        yield rf"{_LINE_START}(?:(?P<name>(?i:{any_of(latin)}))){_BLANK}+{opened}"
        if others := [word for word in words if word not in latin]:
            prefixes = any_of(self._words("header_prefixes"))
            yield (
                rf"(?:{_LINE_START}|(?<=[ \t\u3000]))(?:(?:{prefixes}){{0,3}}"
                rf"(?P<name>(?i:{any_of(others)}))){_BLANK}+(?=\S)"
            )

    def _addendum_pattern(self) -> str:
        """An addendum with its number, date or author before the colon or the end of the line."""
        terms = any_of([term for term, name in self._names.items() if name == "addendum"])
        tails = any_of(self._words("addendum_tails"))
        rest = r"(?:[^:：\n。]|(?<=\d):(?=\d)){0,80}?"
        end = rf"(?:{_BLANK}*(?:[:：](?!\d)|[*=_~>-]{{1,6}}(?={_BLANK}*$))|(?<!\.)(?={_BLANK}*$))"
        return (
            rf"{_LINE_START}(?:[\[【(（]?(?P<name>(?i:{terms}))"
            rf"{_BLANK}*(?:\d|(?i:{tails})){rest}{end}){_RULE}"
        )


def any_of(terms: Mapping[str, Any] | Sequence[str]) -> str:
    """Pattern of any of the terms, the longest first, with any blanks between their words."""
    ordered = sorted(terms, key=len, reverse=True)
    return "|".join(rf"{_BLANK}+".join(map(re.escape, term.split())) for term in ordered)
