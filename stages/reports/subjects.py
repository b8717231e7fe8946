"""Findings that a subject and a predicate make together: "the ventricles are dilated", "the midline is central"."""

from __future__ import annotations

from collections.abc import Iterator

from stages.artifacts.extraction_tables import REFERENCES
from stages.reports.assertions import Assertions
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place
from stages.reports.sentences import Mention, Sentence
from stages.reports.utterances import Statement, span_of

_MAX_SUBJECT_GAP = 4
_LONGEST_LIST_GAP = 3
_JOINING = frozenset({"and", "or", "nor", "not", "but", "is", "are", "neither"})


class Subjects:
    """Reads the subjects of one language with what is said of them."""

    def __init__(self, lexicon: Lexicon, language: str, assertions: Assertions) -> None:
        self._findings = lexicon.findings
        self._normal = lexicon.rules["descriptions"]["normal"]
        self._is_spaced = language == "en"
        self._assertions = assertions

    def changes(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """Findings that a change makes: "ventricles are dilated"; none if it is called normal ("wide but normal")."""
        named = {(m.start, m.end) for m in sentence.of("finding")}
        for change in sentence.of("change"):
            if (change.start, change.end) in named:
                continue
            assertion = self._assertions.of(sentence, change)
            if assertion == "present" and self._is_called_normal(sentence, change):
                assertion = "absent"
            for code, subject in self._subjects(sentence, change):
                if code not in change.values or assertion in REFERENCES:
                    continue
                for place in self._place(code, subject, groups):
                    yield Statement(code, place, assertion, span_of(sentence, change))

    def normalities(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """What a normal subject denies, and normality of the whole."""
        for mention in sentence.of("normality"):
            span = span_of(sentence, mention)
            for code, subject in self._subjects(sentence, mention):
                if mention.values and code not in mention.values:
                    continue
                if code == self._normal:
                    yield Statement(code, Place(), self._doubt(sentence, mention), span)
                elif self._is_denied(code, sentence, mention):
                    for place in self._place(code, subject, groups):
                        yield Statement(code, place, "absent", span)
        for mention in sentence.of("normal_alone"):
            if not sentence.of("other", "site", "subject") or self._is_spaced:
                yield Statement(self._normal, Place(), self._doubt(sentence, mention), span_of(sentence, mention))

    def _is_denied(self, code: str, sentence: Sentence, normality: Mention) -> bool:
        """Whether a normal subject denies a finding; normal signal tells no width: 第三脑室周围未见异常信号."""
        is_of_signal = "异常信号" in "".join(sentence.words[normality.start : normality.end])
        return bool(self._findings[code].rules.get("is_denied_by_normal")) and not is_of_signal

    def _doubt(self, sentence: Sentence, mention: Mention) -> str:
        return "uncertain" if self._assertions.of(sentence, mention) == "uncertain" else "present"

    def _is_called_normal(self, sentence: Sentence, change: Mention) -> bool:
        """Whether a change is taken back at once: "prominent but within normal limits"."""
        for normality in sentence.of("normality"):
            gap = sentence.words[change.end : normality.start]
            if change.end <= normality.start and len(gap) <= _MAX_SUBJECT_GAP and {"but", "yet"}.intersection(gap):
                return not any(change.end <= m.start < normality.start for m in sentence.of("subject"))
        return False

    def _subjects(self, sentence: Sentence, predicate: Mention) -> list[tuple[str, Mention]]:
        """What a predicate is said of: codes that can speak of it, and the phrase."""
        stops = [m for m in sentence.of("change", "normality") if m.start != predicate.start]
        subjects = [m for m in sentence.of("subject") if m.end <= predicate.start or m.start >= predicate.end]
        after = [m for m in subjects if m.start >= predicate.end]
        blocks = [*stops, *sentence.of("finding")]
        following = [
            m
            for m in after
            if m.start - predicate.end <= _MAX_SUBJECT_GAP + 2 * (m is not after[0])
            and not any(predicate.end <= stop.start < m.start for stop in blocks)
            and not {",", "and", "is", "are", "with", "but"}.intersection(
                sentence.words[predicate.end : after[0].start]
            )
        ]
        before = [
            m
            for m in subjects
            if m.end <= predicate.start and not any(m.end <= stop.start < predicate.start for stop in blocks)
        ]
        for one, other in zip(before[-2::-1], before[:0:-1], strict=True):
            if (
                len(sentence.words[one.end : other.start]) > _LONGEST_LIST_GAP
                and "," in sentence.words[one.end : other.start]
            ):
                before = [m for m in before if m.start >= other.start]  # another clause's
                break
        if not before and not following:
            before = self._shared(sentence, predicate, stops)
        is_said_after = following and (self._is_spaced or not before)
        return [(code, m) for m in (following if is_said_after else before) for code in m.values]

    def _shared(self, sentence: Sentence, predicate: Mention, stops: list[Mention]) -> list[Mention]:
        """Subjects of the predicate before, where two are joined: "is midline and not compressed"."""
        for stop in stops:
            gap = sentence.words[stop.end : predicate.start]
            if stop.end <= predicate.start and gap and set(gap) <= _JOINING:
                return [m for m in sentence.of("subject") if m.end <= stop.start]
        return []

    def _place(self, code: str, subject: Mention, groups: list[Group]) -> list[Place]:
        rules = self._findings[code].rules
        if rules.get("is_unsited"):
            return [Place()]
        around = [g for g in groups if g.start <= subject.start < g.end]
        attribute = [g for g in groups if g.end == subject.start]
        sites = rules.get("subject_sites", ())
        places = [place for group in around or attribute for place in group.places]
        if around:
            places = [place for place in places if place.site in sites] or places
        return places or [Place()]
