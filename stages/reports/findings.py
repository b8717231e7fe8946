"""Statements of a sentence: finding, place, assertion, signal and size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from stages.artifacts.extraction_tables import REFERENCES
from stages.reports.assertions import Assertions
from stages.reports.courses import Courses
from stages.reports.denied_signals import DeniedSignals
from stages.reports.lexicon import Lexicon
from stages.reports.measures import sizes, with_sizes
from stages.reports.placement import Group, Place
from stages.reports.places import Places
from stages.reports.proforms import Proforms
from stages.reports.repetitions import without_repeats
from stages.reports.sentences import Mention, Sentence
from stages.reports.signals import Signal, Signals, anchor_of, is_told
from stages.reports.subjects import Subjects
from stages.reports.undisturbed import Undisturbed
from stages.reports.usual_sites import UsualSites
from stages.reports.utterances import Statement, explains_signal, settled, span_of

_MAX_SUBJECT_GAP = 4
_PLACE_NOUNS = frozenset({"region", "regions", "area", "areas"})


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
        self._vague = frozenset(map(str, words.get("vague_findings", ())))
        self._shapes = frozenset(map(str, words["shapes"]))
        self._properties = frozenset(map(str, words.get("properties", ())))
        self._language = language
        self._is_spaced = language == "en"
        # In Chinese a denied lesion keeps no dependent finding at its place either.
        self._hostless = REFERENCES if self._is_spaced else (*REFERENCES, "absent")
        self._assertions = Assertions(words)
        self._places = Places(lexicon, language)
        self._signals = Signals(words)
        self._proforms = Proforms(words, self._assertions, self._places)
        self._courses = Courses(words)
        self._undisturbed = Undisturbed(lexicon, language, self._assertions, self._places)
        self._subjects = Subjects(lexicon, language, self._assertions)
        self._usual_sites = UsualSites(lexicon, language, self._places)
        self._denied_signals = DeniedSignals(lexicon, words, self._assertions, self._places)

    def read(self, sentence: Sentence) -> list[Statement]:
        """The statements of a sentence, by position, duplicates included."""
        if not sentence.mentions:
            return []
        groups = self._places.groups(sentence)
        statements = [*self._named(sentence, groups)]
        statements += self._proforms.in_sentence(sentence, groups, self._is_diagnosis)
        statements += without_repeats(self._subjects.changes(sentence, groups), statements)
        statements += self._subjects.normalities(sentence, groups)
        signals = self._signals.of(sentence)
        seen = [signal for signal in signals if self._assertions.of(sentence, signal.mention) != "absent"]
        pairs = {signal.sequence: signal.signal for signal in seen if signal.sequence}
        spots = [m for m in sentence.of("finding") if m.value == self._spots]
        spots = [m for m in spots if self._assertions.of(sentence, m) in ("present", "uncertain")]
        pairs = {**self._signals.named(sentence, spots), **pairs}
        denied = [signal for signal in signals if signal not in seen]
        composed = list(self._composed(sentence, groups, seen, denied, statements))
        namers = statements + [one for one in composed if self._is_confirmed(sentence, one, pairs)]
        statements += composed
        if not any(s.assertion == "present" and explains_signal(self._rules(s.finding), s) for s in statements):
            is_acute = any(s.is_positive and self._rules(s.finding).get("signals") for s in statements)
            is_spots = not is_acute and self._has_word(sentence, self._multiple)
            described = self._described(sentence, groups, signals, is_spots=is_spots)
            described = (one for one in described if one.is_positive or one.place.side is None or one.place.site)
            statements += [one for one in described if not self._is_named_so(one, namers, pairs)]
        statements = [*statements, *self._denied_signals.of(sentence, groups)]
        statements = [self._with_signals(statement, pairs) for statement in statements]
        statements = settled(sentence, statements, self._vague)
        statements = with_sizes(sentence, statements, lambda s: s.is_positive and s.finding != self._normal)
        return sorted(self._courses.give(sentence, statements), key=lambda s: s.span)

    def references(self, sentence: Sentence) -> list[Statement]:
        """Findings that a sentence refers to without stating them; the kind stands in ``assertion``."""
        kinds = [(mention, self._assertions.of(sentence, mention)) for mention in sentence.of("finding")]
        kinds = [(mention, kind) for mention, kind in kinds if kind in REFERENCES]
        groups = self._places.groups(sentence) if kinds else []
        return [
            Statement(mention.value, place, kind, span_of(sentence, mention))
            for mention, kind in kinds
            for place in self._places.of(sentence, mention, groups, reach="phrase") or [Place()]
        ]

    def continued(self, sentence: Sentence) -> tuple[list[Place], str]:
        """Where one more of what was named before lies, and whether it is certain: "others are in the pons"."""
        return self._proforms.continued(sentence)

    def loose_signals(self, sentence: Sentence) -> dict[str, str]:
        """Signals of a sentence that names no place: they belong to what was said before."""
        if any(place for group in self._places.groups(sentence) for place in group.places if place.site):
            return {}
        seen = [s for s in self._signals.of(sentence) if self._assertions.of(sentence, s.mention) == "present"]
        return {signal.sequence: signal.signal for signal in seen if signal.sequence}

    def loose_size_mm(self, sentence: Sentence) -> float | None:
        """The largest size of a sentence that names no finding or place: it belongs to what was said before."""
        if sentence.of("site", "finding", "change"):
            return None
        return max((size.size_mm for size in sizes(sentence) if not size.is_earlier), default=None)

    def is_anaphoric(self, sentence: Sentence) -> bool:
        """Whether a sentence refers to a place spoken of before ("the underlying lobe")."""
        return self._has_word(sentence, self._anaphors)

    def _is_diagnosis(self, finding: str) -> bool:
        return bool(self._rules(finding).get("is_diagnosis"))

    def _rules(self, finding: str) -> Any:
        return self._findings[finding].rules

    def _has_word(self, sentence: Sentence, words: tuple[str, ...]) -> bool:
        if self._is_spaced:
            return not set(words).isdisjoint(sentence.words)
        return any(word in sentence.text for word in words)

    def _named(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        for mention in sentence.of("finding"):
            assertion = self._assertions.of(sentence, mention)
            if assertion in REFERENCES or self._is_elsewhere(sentence, mention):
                continue
            if assertion == "absent" and self._is_known(sentence, mention):
                continue
            for place in self._place_named(sentence, mention, groups, assertion):
                is_shape = self._shapes.issuperset(sentence.words[mention.start : mention.end])
                yield Statement(mention.value, place, assertion, span_of(sentence, mention), is_shape=is_shape)

    def _is_known(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether only a property of lesions is denied: "no enhancing plaque"."""
        is_restated = self._rules(mention.value).get("is_restated") and self._rules(mention.value).get("is_widespread")
        properties = [m for m in sentence.of("finding") if self._rules(m.value).get("is_dependent")]
        return bool(is_restated) and any(m.end == mention.start for m in properties)

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
        hosts = [m for m in earlier if self._rules(m.value).get("is_diagnosis")]
        has_host = any(self._assertions.of(sentence, m) not in self._hostless for m in hosts)
        is_restated = self._concludes(sentence, mention) or mention.site or assertion == "uncertain"
        is_extension = is_restated and any(m.value == mention.value for m in earlier)
        can_part = rules.get("is_widespread") and earlier and assertion != "uncertain"
        is_apart = can_part and self._is_apart(sentence, earlier[-1], mention, groups)
        is_hosted = has_host and (rules.get("is_dependent") or is_apart)
        is_property = sentence.words[mention.start] in self._properties  # 左侧海马可疑体积缩小
        is_near = (
            (rules.get("is_diffuse") and not is_property) or rules.get("is_site_fixed") or is_hosted or is_extension
        )
        is_denied = assertion == "absent" and not (is_near and self._is_spaced)  # 脑干未见受压, 双侧海马未见萎缩
        reach = "clause" if is_denied else "phrase" if is_near else "sentence"
        places = self._places.of(sentence, mention, groups, reach=reach)
        if rules.get("is_site_fixed"):
            return [p for p in places if p.site in rules["subject_sites"]] or [Place()]
        if mention.site:
            return self._usual_sites.of(sentence, mention, groups, places)
        return places or [Place()]

    def _is_apart(self, sentence: Sentence, host: Mention, mention: Mention, groups: list[Group]) -> bool:
        """Whether a finding neither shares the place of the one before it in a list nor has a new one."""
        gap = sentence.words[host.end : mention.start]
        is_listed = len(gap) <= 1 and all(word in self._joins for word in gap)
        is_listed = is_listed and (self._is_spaced or "," not in gap)
        ends = [group.end for group in groups if host.end <= group.start < mention.start]
        has_own = bool(ends) and self._steps.isdisjoint(sentence.words[ends[-1] : mention.start])
        return not is_listed and not has_own

    def _concludes(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a finding names what was described before: "..., consistent with a glioma"."""
        return not self._conclusions.isdisjoint(
            sentence.words[max(0, mention.start - _MAX_SUBJECT_GAP) : mention.start]
        )

    def _composed(
        self,
        sentence: Sentence,
        groups: list[Group],
        signals: list[Signal],
        denied: list[Signal],
        statements: list[Statement],
    ) -> Iterator[Statement]:
        """Findings that signals in certain sequences make: bright on DWI, dark on ADC."""
        named = {statement.finding for statement in statements}
        has_diagnosis = any(s.is_positive and self._rules(s.finding).get("is_diagnosis") for s in statements)
        said = {(signal.sequence, signal.signal) for signal in signals}
        for code, finding in self._findings.items():
            rule = finding.rules.get("signals")
            if not rule or code in named or (finding.rules.get("is_diagnosis") and has_diagnosis):
                continue
            if any(word in sentence.text for word in rule.get("unless_said", {}).get(self._language, ())):
                continue
            refused = anchor_of(rule, denied)
            anchor = refused or anchor_of(rule, signals)
            if not refused and not is_told(rule, said, {s.finding for s in statements if s.assertion == "present"}):
                continue
            if anchor is not None and not {tuple(pair) for pair in rule.get("unless", ())} & said:
                assertion = self._assertions.of(sentence, anchor)
                for place in self._places.of(sentence, anchor, groups, reach="sentence") or [Place()]:
                    yield Statement(code, place, assertion, span_of(sentence, anchor))

    def _is_confirmed(self, sentence: Sentence, one: Statement, pairs: dict[str, str]) -> bool:
        """Whether its signals leave no doubt: bright on DWI alone, a lesion is described as well."""
        key = self._rules(one.finding)["signals"].get("confirmed_by")
        return key is None or key in pairs or any(m.value == key for m in sentence.of("sequence"))

    def _is_called_harmless(self, sentence: Sentence, anchor: Mention) -> bool:
        """Whether a noun is said to be what makes no statement: "the only abnormality is a venous angioma"."""
        if sentence.words[anchor.end : anchor.end + 1] not in {("is",), ("are",)}:
            return False
        return any(0 < m.start - anchor.end <= _MAX_SUBJECT_GAP for m in sentence.of("ignored"))

    def _is_named_so(self, one: Statement, statements: list[Statement], pairs: dict[str, str]) -> bool:
        """Whether a description only carries a finding that says it all: "a lesion with restricted diffusion"."""
        if not one.is_positive or one.is_spots:
            return False
        beside = [s for s in statements if s.is_positive and s.place == one.place]
        named = {sequence for s in beside for sequence in self._rules(s.finding).get("carried_by", ())}
        return bool(beside) and bool(named) and set(pairs) <= named

    def _described(
        self, sentence: Sentence, groups: list[Group], signals: list[Signal], *, is_spots: bool
    ) -> Iterator[Statement]:
        """Lesions and signal changes without a name."""
        yield from self._undisturbed.places(sentence, groups)
        anchors = [*sentence.of("lesions"), *(signal.mention for signal in signals if signal.signal != "iso")]
        for anchor in sorted(set(anchors), key=lambda mention: mention.start):
            assertion = self._assertions.of(sentence, anchor)
            if assertion in REFERENCES or self._is_elsewhere(sentence, anchor) or _is_of_finding(sentence, anchor):
                continue
            if _is_part_of_place(sentence, anchor, groups) or self._is_called_harmless(sentence, anchor):
                continue
            if self._bears_denied(sentence, anchor):
                continue
            reach = "clause" if assertion == "absent" else "sentence"
            for place in self._places.of(sentence, anchor, groups, reach=reach):
                yield Statement(
                    self._default, place, assertion, span_of(sentence, anchor), is_description=True, is_spots=is_spots
                )

    def _bears_denied(self, sentence: Sentence, anchor: Mention) -> bool:
        """Whether a noun only bears what is denied: "no enhancing lesion"."""
        beside = [m for m in sentence.of("finding") if m.end == anchor.start]
        return any(self._assertions.of(sentence, m) == "absent" for m in beside)

    def _with_signals(self, statement: Statement, pairs: dict[str, str]) -> Statement:
        rules = self._rules(statement.finding)
        own = {pair[0] for pair in rules.get("signals", {}).get("any", ())}
        if not statement.is_positive or not (statement.is_description or rules.get("is_diagnosis") or own):
            return statement
        is_picky = own and not rules.get("is_diagnosis")
        return replace(statement, signals={k: v for k, v in pairs.items() if not is_picky or k in own})


def _is_of_finding(sentence: Sentence, lesion: Mention) -> bool:
    """Whether a noun only measures out a finding: "focus of enhancement"."""
    if sentence.words[lesion.end : lesion.end + 1] != ("of",):
        return False
    return any(lesion.end < m.start <= lesion.end + _MAX_SUBJECT_GAP for m in sentence.of("finding"))


def _is_part_of_place(sentence: Sentence, lesion: Mention, groups: list[Group]) -> bool:
    """Whether a noun only completes a place: "oedema in the parietal regions"."""
    noun = sentence.words[lesion.start : lesion.end]
    if len(noun) != 1 or noun[0] not in _PLACE_NOUNS or sentence.words[lesion.end : lesion.end + 1] == ("of",):
        return False
    return any(group.end == lesion.start and group.places[0].site for group in groups)
