"""How a finding has changed since an earlier examination: new, unchanged, progressed, regressed or resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.reports.sentences import Sentence
from stages.reports.utterances import Statement
from stages.reports.vocabulary import plain

_RESOLVED = "resolved"
# Code points between a cue and its finding ("progressive increase in the surrounding vasogenic oedema"),
# and between findings that are listed.
_LONGEST_APPROACH = 45
_LONGEST_LIST_GAP = 30


@dataclass(frozen=True)
class _Cue:
    """Words that state a course, and where they stand in the section."""

    course: str
    start: int
    end: int
    is_before: bool
    is_after: bool


class Courses:
    """Reads the courses of one language: words before a finding ("stable"), words after it ("has grown")."""

    def __init__(self, language: Mapping[str, Any]) -> None:
        self._courses: dict[str, str] = {}
        self._sides: dict[str, set[str]] = {"before": set(), "after": set()}
        for course, sides in language["courses"].items():
            for side, terms in sides.items():
                self._sides[side] |= {plain(str(term)) for term in terms}
                self._courses |= {plain(str(term)): course for term in terms}
        terms = "|".join(map(re.escape, sorted(self._courses, key=lambda term: (-len(term), term))))
        self._pattern = re.compile(rf"(?<![a-z])(?:{terms})(?![a-z])", re.IGNORECASE)
        joins = (str(join) for join in language["coordinations"])
        self._join = re.compile("|".join(rf"\b{join}\b" if join.isalpha() else re.escape(join) for join in joins))
        self._is_spaced = bool(language["plurals"])

    def give(self, sentence: Sentence, statements: list[Statement]) -> list[Statement]:
        """Give the statements of a sentence the courses that it states; the first one stays."""
        if not statements:
            return statements
        text = plain(sentence.text).lower()
        cues = [self._cue(match, sentence.start) for match in self._pattern.finditer(text)]
        courses: dict[int, str] = {}
        for cue in cues:
            for index in self._targets(sentence, text, cue, cues, [s.span for s in statements]):
                courses.setdefault(index, cue.course)
        return [_with_course(statement, courses.get(i)) for i, statement in enumerate(statements)]

    def _cue(self, match: re.Match[str], shift: int) -> _Cue:
        term = match.group()
        is_before, is_after = term in self._sides["before"], term in self._sides["after"]
        return _Cue(self._courses[term], shift + match.start(), shift + match.end(), is_before, is_after)

    def _targets(
        self, sentence: Sentence, text: str, cue: _Cue, cues: Sequence[_Cue], spans: Sequence[tuple[int, int]]
    ) -> list[int]:
        """Positions of the statements that a cue speaks of."""
        stops = [sentence.offsets[m.start] for m in sentence.of("terminators")]
        stops += [(other.start, other.end) for other in cues if other is not cue]
        following = sorted((i for i, span in enumerate(spans) if span[0] >= cue.end), key=lambda i: spans[i])
        preceding = sorted((i for i, span in enumerate(spans) if span[1] <= cue.start), key=lambda i: spans[i])
        ahead = self._reached(text, sentence.start, cue, following, spans, stops) if cue.is_before else []
        behind = self._reached(text, sentence.start, cue, preceding[::-1], spans, stops) if cue.is_after else []
        if ahead and behind:
            is_attribute = "," not in text[cue.end - sentence.start : spans[ahead[0]][0] - sentence.start]
            return ahead if is_attribute and spans[ahead[0]][0] - cue.end <= 1 else behind
        return ahead or behind

    def _reached(
        self,
        text: str,
        shift: int,
        cue: _Cue,
        order: Sequence[int],
        spans: Sequence[tuple[int, int]],
        stops: Sequence[tuple[int, int]],
    ) -> list[int]:
        """The nearest statement in one direction, and what is listed with it."""
        targets: list[int] = []
        last = (cue.start, cue.end)
        for index in order:
            left, right = sorted((last, spans[index]))
            gap = text[max(left[1], left[0]) - shift : right[0] - shift]
            is_cut = any(left[1] <= start and end <= right[0] for start, end in stops)
            is_far = right[0] >= cue.end and len(gap) > _LONGEST_APPROACH
            is_listed = len(gap) <= _LONGEST_LIST_GAP and self._join.search(gap) is not None
            if spans[index] != last and (is_cut or (is_far if not targets else not is_listed)):
                break
            targets.append(index)
            last = spans[index]
        return targets


def _with_course(statement: Statement, course: str | None) -> Statement:
    """What is not there has no course but to have resolved."""
    is_fitting = course is not None and statement.is_positive != (course == _RESOLVED)
    return replace(statement, course=course) if is_fitting else statement
