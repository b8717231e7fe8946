"""Findings that a subject and a predicate make together: "the ventricles are dilated", "the midline is central"."""

from __future__ import annotations

from collections.abc import Iterator

from stages.artifacts.extraction_tables import REFERENCES
from stages.reports.assertions import Assertions
from stages.reports.denied_signals import is_cut_off, is_of_signal
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place
from stages.reports.sentences import Mention, Sentence
from stages.reports.utterances import Statement, span_of
from stages.reports.vocabulary import OF_SITE

_MAX_SUBJECT_GAP = 4
_LONGEST_LIST_GAP = 3
_JOINING = frozenset({"and", "or", "nor", "not", "but", "is", "are", "neither"})


class Subjects:
    """Reads the subjects of one language with what is said of them."""

    def __init__(self, lexicon: Lexicon, language: str, assertions: Assertions) -> None:
        self._findings = lexicon.findings
        self._normal = lexicon.rules["descriptions"]["normal"]
        self._spaces = {code for code, site in lexicon.sites.items() if site.rules.get("is_space")}
        self._copulas = frozenset(map(str, lexicon.languages[language]["copulas"]))
        self._abnormal_signals = tuple(map(str, lexicon.languages[language].get("abnormal_signals", ())))
        self._loose = frozenset(map(str, lexicon.languages[language].get("loose_subjects", ())))
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
            for said, subject in self._subjects(sentence, change):
                if said not in change.values or assertion in REFERENCES:
                    continue
                code = said.removesuffix(OF_SITE)
                if said != code and not self._is_predicate(sentence, subject, change):
                    continue
                for place in self._place(code, subject, groups):
                    yield Statement(code, place, assertion, span_of(sentence, change))

    def normalities(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """What a normal subject denies, and normality of the whole."""
        for mention in sentence.of("normality"):
            if is_of_signal(sentence, mention, self._abnormal_signals) or is_cut_off(sentence, mention):
                continue
            span = span_of(sentence, mention)
            for code, subject in self._subjects(sentence, mention):
                if mention.values and code not in mention.values:
                    continue
                if code == self._normal and not self._is_attribute_of_other(sentence, subject):
                    yield Statement(code, Place(), self._doubt(sentence, mention), span)
                elif self._is_denied(code) and not self._is_loose(sentence, subject):
                    for place in self._place(code, subject, groups):
                        yield Statement(code, place, "absent", span, is_anatomy=True)
        alone = sentence.of("normal_alone") if self._is_spaced or not sentence.of("other", "site", "subject") else []
        alone = [mention for mention in alone if not is_cut_off(sentence, mention)]
        for mention in [*alone, *(m for m in sentence.of("normality") if self._is_all(sentence, m))]:
            yield Statement(self._normal, Place(), self._doubt(sentence, mention), span_of(sentence, mention))

    def _is_attribute_of_other(self, sentence: Sentence, subject: Mention) -> bool:
        """Whether a subject only tells which other anatomy is normal: "the intracranial flow voids"."""
        return any(other.start == subject.end for other in sentence.of("other"))

    def _is_all(self, sentence: Sentence, normality: Mention) -> bool:
        """Whether a sentence is "Normal for age." or the like and no more."""
        is_whole = normality.start == 0 and all(word in ".;" for word in sentence.words[normality.end :])
        return self._is_spaced and is_whole and sentence.words[0] == "normal"

    def _is_predicate(self, sentence: Sentence, subject: Mention, change: Mention) -> bool:
        """Whether nothing but a verb and an adverb stands between: "the hippocampus is rather small"."""
        gap = sentence.words[subject.end : change.start]
        return subject.end < change.start and len(gap) <= _LONGEST_LIST_GAP and gap[0] in self._copulas

    def _is_denied(self, code: str) -> bool:
        """Whether a normal subject denies a finding."""
        finding = self._findings.get(code)
        return finding is not None and bool(finding.rules.get("is_denied_by_normal"))

    def _is_loose(self, sentence: Sentence, subject: Mention) -> bool:
        """Whether a normal subject only fills up a list, and denies no finding: "脑室、脑池形态正常"."""
        is_listed = any(0 <= subject.start - other.end <= 1 for other in sentence.of("subject"))
        return is_listed and "".join(sentence.words[subject.start : subject.end]) in self._loose

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
        subjects = [m for m in subjects if any(not v.endswith(OF_SITE) or v in predicate.values for v in m.values)]
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
            if m.end <= predicate.start
            and not any(m.end <= stop.start < predicate.start and self._is_of(stop, m) for stop in blocks)
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
        is_adjective = sentence.words[predicate.end : predicate.end + 1] != ("of",)
        is_said_before = before and is_adjective and sentence.words[predicate.start - 1] in self._copulas
        is_said_after = following and (self._is_spaced or not before) and not is_said_before
        return [(code, m) for m in (following if is_said_after else before) for code in m.values]

    def _is_of(self, stop: Mention, subject: Mention) -> bool:
        """Whether a predicate can be said of a subject; "decreased in calibre" is no change of the ventricles."""
        return stop.kind != "change" or not self._is_spaced or not set(subject.values).isdisjoint(stop.values)

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
        if rules.get("is_diffuse") and self._is_spaced:  # wide fissures are a loss of tissue, not of the space
            places = [place for place in places if place.site not in self._spaces]
        return places or [Place()]
