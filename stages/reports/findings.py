"""Statements of a sentence: finding, place, assertion, signal and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from stages.reports.assertions import MENTIONED, Assertions
from stages.reports.lexicon import Lexicon
from stages.reports.places import Group, Place, Places, at_site
from stages.reports.sentences import Mention, Sentence
from stages.reports.signals import Signal, Signals, Size, sizes
from stages.reports.vocabulary import plain

_MAX_SUBJECT_GAP = 4


@dataclass(frozen=True)
class Statement:
    """One statement, still to be linked to its report.

    Attributes:
        place: site and side; empty where the sentence gives none.
        is_description: made of signal words alone, without a named finding.
        is_spots: several spots, or a spot, rather than an area.
        span: first code point in the section and the one after the last.
    """

    finding: str
    place: Place
    assertion: str
    span: tuple[int, int]
    signals: dict[str, str] = field(default_factory=dict)
    size_mm: float | None = None
    is_description: bool = False
    is_spots: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether it says that something is, or may be, there."""
        return self.assertion != "absent"


class StatementReader:
    """Reads the statements of sentences in one language."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        words = lexicon.languages[language]
        self._findings = lexicon.findings
        self._default = lexicon.rules["descriptions"]["default"]
        self._normal = lexicon.rules["descriptions"]["normal"]
        self._spots = lexicon.rules["descriptions"]["spots"]
        self._multiple = tuple(map(str, words["multiple"]))
        self._anaphors = tuple(map(str, words["anaphors"]))
        self._conclusions = frozenset(map(str, words["conclusions"]))
        self._joins = frozenset(map(str, words["coordinations"]))
        self._steps = (self._joins | frozenset(map(str, words["prepositions"]))) - {","}
        self._is_spaced = language == "en"
        self._assertions = Assertions(words)
        self._places = Places(lexicon, language)
        self._signals = Signals(words)

    def read(self, sentence: Sentence) -> list[Statement]:
        """The statements of a sentence, by position, duplicates included."""
        if not sentence.mentions:
            return []
        groups = self._places.groups(sentence)
        statements = [*self._named(sentence, groups), *self._changes(sentence, groups)]
        statements += self._normalities(sentence, groups)
        signals = self._signals.of(sentence)
        seen = [signal for signal in signals if self._assertions.of(sentence, signal.mention) != "absent"]
        pairs = {signal.sequence: signal.signal for signal in seen if signal.sequence}
        statements += self._composed(sentence, groups, seen, statements)
        if not any(s.assertion == "present" and self._rules(s.finding).get("is_diagnosis") for s in statements):
            is_acute = any(s.is_positive and self._rules(s.finding).get("signals") for s in statements)
            is_spots = not is_acute and self._has_word(sentence, self._multiple)
            statements += self._described(sentence, groups, signals, is_spots=is_spots)
        statements = [self._with_signals(statement, pairs) for statement in statements]
        return sorted(self._with_sizes(sentence, statements), key=lambda s: s.span)

    def loose_signals(self, sentence: Sentence) -> dict[str, str]:
        """Signals of a sentence that names no place: they belong to what was said before."""
        if any(place for group in self._places.groups(sentence) for place in group.places if place.site):
            return {}
        seen = [s for s in self._signals.of(sentence) if self._assertions.of(sentence, s.mention) == "present"]
        return {signal.sequence: signal.signal for signal in seen if signal.sequence}

    def is_anaphoric(self, sentence: Sentence) -> bool:
        """Whether a sentence refers to a place spoken of before ("the underlying lobe")."""
        return self._has_word(sentence, self._anaphors)

    def _rules(self, finding: str) -> Any:
        return self._findings[finding].rules

    def _has_word(self, sentence: Sentence, words: tuple[str, ...]) -> bool:
        if self._is_spaced:
            return not set(words).isdisjoint(sentence.words)
        return any(word in sentence.text for word in words)

    def _named(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        for mention in sentence.of("finding"):
            assertion = self._assertions.of(sentence, mention)
            if assertion == MENTIONED or self._is_elsewhere(sentence, mention):
                continue
            for place in self._place_named(sentence, mention, groups, assertion):
                yield Statement(mention.value, place, assertion, _span(sentence, mention))

    def _is_elsewhere(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a finding is said of anatomy without a code: "maxillary sinus cyst"."""
        for other in sentence.of("other"):
            if 0 <= mention.start - other.end <= 1 and sentence.words[other.end] != "and":
                return True
            gap = sentence.words[mention.end : other.start]
            if any(mention.end <= m.start < other.start for m in sentence.of("finding", "change")):
                continue
            if other.start >= mention.end and len(gap) <= _MAX_SUBJECT_GAP and {"of", "in", "within"} & set(gap):
                return not any(site.end <= other.start and site.start >= mention.end for site in sentence.of("site"))
        return False

    def _place_named(self, sentence: Sentence, mention: Mention, groups: list[Group], assertion: str) -> list[Place]:
        rules = self._rules(mention.value)
        if rules.get("is_unsited"):
            return [Place()]
        earlier = [m for m in sentence.of("finding") if m.end <= mention.start]
        has_host = any(self._rules(m.value).get("is_diagnosis") for m in earlier)
        is_restated = self._concludes(sentence, mention) or mention.site
        is_extension = is_restated and any(m.value == mention.value for m in earlier)
        is_apart = rules.get("is_widespread") and earlier and self._is_apart(sentence, earlier[-1], mention, groups)
        is_hosted = has_host and (rules.get("is_dependent") or is_apart)
        is_near = rules.get("is_diffuse") or rules.get("is_site_fixed") or is_hosted or is_extension
        reach = "phrase" if is_near else "clause" if assertion == "absent" else "sentence"
        places = self._places.of(sentence, mention, groups, reach=reach)
        if rules.get("is_site_fixed"):
            return [p for p in places if p.site in rules["subject_sites"]] or [Place()]
        if mention.site:
            return at_site(places, mention.site)
        return places or [Place()]

    def _is_apart(self, sentence: Sentence, host: Mention, mention: Mention, groups: list[Group]) -> bool:
        """Whether a finding neither shares the place of the one before it in a list nor has a new one."""
        gap = sentence.words[host.end : mention.start]
        is_listed = len(gap) <= 1 and all(word in self._joins for word in gap)
        ends = [group.end for group in groups if host.end <= group.start < mention.start]
        has_own = bool(ends) and self._steps.isdisjoint(sentence.words[ends[-1] : mention.start])
        return not is_listed and not has_own

    def _concludes(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a finding names what was described before: "..., consistent with a glioma"."""
        return not self._conclusions.isdisjoint(
            sentence.words[max(0, mention.start - _MAX_SUBJECT_GAP) : mention.start]
        )

    def _changes(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """Findings that a subject and a change make together: "ventricles are dilated"."""
        named = {(m.start, m.end) for m in sentence.of("finding")}
        for change in sentence.of("change"):
            if (change.start, change.end) in named:
                continue
            assertion = self._assertions.of(sentence, change)
            for code, subject in self._subjects(sentence, change):
                if code not in change.values or assertion == MENTIONED:
                    continue
                for place in self._place_subject(code, subject, groups):
                    yield Statement(code, place, assertion, _span(sentence, change))

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
        is_said_after = following and (self._is_spaced or not before)
        return [(code, m) for m in (following if is_said_after else before) for code in m.values]

    def _place_subject(self, code: str, subject: Mention, groups: list[Group]) -> list[Place]:
        rules = self._rules(code)
        if rules.get("is_unsited"):
            return [Place()]
        around = [g for g in groups if g.start <= subject.start < g.end]
        attribute = [g for g in groups if g.end == subject.start]
        sites = rules.get("subject_sites", ())
        places = [place for group in around or attribute for place in group.places]
        if around:
            places = [place for place in places if place.site in sites] or places
        return places or [Place()]

    def _normalities(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """What a normal subject denies, and normality of the whole."""
        for mention in sentence.of("normality"):
            span = _span(sentence, mention)
            for code, subject in self._subjects(sentence, mention):
                if mention.values and code not in mention.values:
                    continue
                if code == self._normal:
                    yield Statement(code, Place(), "present", span)
                elif self._rules(code).get("is_denied_by_normal"):
                    for place in self._place_subject(code, subject, groups):
                        yield Statement(code, place, "absent", span)
        for mention in sentence.of("normal_alone"):
            if not sentence.of("other", "site", "subject") or self._is_spaced:
                yield Statement(self._normal, Place(), "present", _span(sentence, mention))

    def _composed(
        self, sentence: Sentence, groups: list[Group], signals: list[Signal], statements: list[Statement]
    ) -> Iterator[Statement]:
        """Findings that signals in certain sequences make: bright on DWI, dark on ADC."""
        named = {statement.finding for statement in statements}
        has_diagnosis = any(s.is_positive and self._rules(s.finding).get("is_diagnosis") for s in statements)
        said = {(signal.sequence, signal.signal) for signal in signals}
        for code, finding in self._findings.items():
            rule = finding.rules.get("signals")
            if not rule or code in named or (finding.rules.get("is_diagnosis") and has_diagnosis):
                continue
            anchor = _anchor(rule, signals)
            if anchor is not None and not {tuple(pair) for pair in rule.get("unless", ())} & said:
                for place in self._places.of(sentence, anchor, groups, reach="sentence") or [Place()]:
                    yield Statement(code, place, "present", _span(sentence, anchor))

    def _described(
        self, sentence: Sentence, groups: list[Group], signals: list[Signal], *, is_spots: bool
    ) -> Iterator[Statement]:
        """Lesions and signal changes without a name."""
        is_doubted = any(
            m.value == self._spots and self._assertions.is_doubted(sentence, m) for m in sentence.of("finding")
        )
        anchors = [*sentence.of("lesions"), *(signal.mention for signal in signals if signal.signal != "iso")]
        for anchor in sorted(set(anchors), key=lambda mention: mention.start):
            assertion = self._assertions.of(sentence, anchor)
            if assertion == MENTIONED or self._is_elsewhere(sentence, anchor) or _is_of_finding(sentence, anchor):
                continue
            if assertion == "present" and is_doubted:
                assertion = "uncertain"
            reach = "clause" if assertion == "absent" else "sentence"
            for place in self._places.of(sentence, anchor, groups, reach=reach):
                yield Statement(
                    self._default, place, assertion, _span(sentence, anchor), is_description=True, is_spots=is_spots
                )

    def _with_signals(self, statement: Statement, pairs: dict[str, str]) -> Statement:
        rules = self._rules(statement.finding)
        own = {pair[0] for pair in rules.get("signals", {}).get("any", ())}
        if not statement.is_positive or not (statement.is_description or rules.get("is_diagnosis") or own):
            return statement
        is_picky = own and not rules.get("is_diagnosis")
        return replace(statement, signals={k: v for k, v in pairs.items() if not is_picky or k in own})

    def _with_sizes(self, sentence: Sentence, statements: list[Statement]) -> list[Statement]:
        """Give each size to the next statement, or to the one before."""
        for size in sizes(sentence):
            able = [s for s in statements if s.is_positive and s.finding != self._normal]
            after = min((s.span for s in able if s.span[0] >= size.end), default=None)
            before = max((s.span for s in able if s.span[1] <= size.start), default=None)
            is_after_near = after is not None and (before is None or _is_next(sentence, before, size, after))
            target = after if is_after_near else before
            statements = [replace(s, size_mm=size.size_mm) if s.span == target else s for s in statements]
        return statements


def _is_next(sentence: Sentence, before: tuple[int, int], size: Size, after: tuple[int, int]) -> bool:
    """Whether a size belongs to the statement after it ("6 mm shift") rather than the one before."""
    gap = plain(sentence.text[size.end - sentence.start : after[0] - sentence.start])
    return "," not in gap and after[0] - size.end <= size.start - before[1]


def _is_of_finding(sentence: Sentence, lesion: Mention) -> bool:
    """Whether a noun only measures out a finding: "focus of enhancement"."""
    if sentence.words[lesion.end : lesion.end + 1] != ("of",):
        return False
    return any(lesion.end < m.start <= lesion.end + _MAX_SUBJECT_GAP for m in sentence.of("finding"))


def _anchor(rule: Any, signals: list[Signal]) -> Mention | None:
    """The phrase that gives a sequence the signal of a rule, unless it lumps that sequence with others."""
    for signal in signals:
        beside = {other.sequence for other in signals if other.mention == signal.mention}
        is_lumped = not beside.isdisjoint(rule.get("unless_joined", ()))
        if [signal.sequence, signal.signal] in rule["any"] and not is_lumped:
            return signal.mention
    return None


def _span(sentence: Sentence, mention: Mention) -> tuple[int, int]:
    return sentence.offsets[mention.start][0], sentence.offsets[mention.end - 1][1]
