"""Abnormal signal that Chinese says to be nowhere, or not at a site: "余脑实质未见异常信号"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from stages.reports.assertions import Assertions
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place
from stages.reports.places import Places
from stages.reports.sentences import Mention, Sentence
from stages.reports.utterances import Statement, span_of


class DeniedSignals:
    """Reads denials of the words in ``abnormal_signals``; none in a language that lists none, as English does."""

    def __init__(self, lexicon: Lexicon, words: Mapping[str, Any], assertions: Assertions, places: Places) -> None:
        self._default = lexicon.rules["descriptions"]["default"]
        self._spaces = {code for code, site in lexicon.sites.items() if site.rules.get("is_space")}
        self._phrases = tuple(map(str, words.get("abnormal_signals", ())))
        self._rest = frozenset(map(str, words.get("rest", ())))
        self._assertions = assertions
        self._places = places

    def of(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """The statements of a sentence, at the site that it names or at none."""
        for denial in self._denials(sentence):
            for place in self._sited(sentence, denial, groups) or [Place()]:
                yield Statement(self._default, place, "absent", span_of(sentence, denial))

    def _denials(self, sentence: Sentence) -> Iterator[Mention]:
        for normality in sentence.of("normality") if self._phrases else ():
            for signal in sentence.of("signal"):
                if signal.start == normality.end and not self._has_sequence(sentence, normality):
                    yield signal
        if not any(phrase in sentence.text for phrase in self._phrases):
            return
        whole = [m for m in sentence.of("normality") if is_of_signal(sentence, m, self._phrases)]
        yield from whole
        for noun in sentence.of("lesions"):
            is_new = not any(m.start <= noun.start < m.end for m in whole)
            if (
                is_new
                and is_of_signal(sentence, noun, self._phrases)
                and self._assertions.of(sentence, noun) == "absent"
            ):
                yield noun

    def _has_sequence(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether its clause tells of one sequence, whose signal has a meaning: "DWI未见异常高信号"."""
        return any(
            m.end <= mention.start and "," not in sentence.words[m.end : mention.start] for m in sentence.of("sequence")
        )

    def _sited(self, sentence: Sentence, denial: Mention, groups: list[Group]) -> list[Place]:
        before = [group for group in groups if group.end <= denial.start]
        if not before or not self._rest.isdisjoint(sentence.words[before[-1].end : denial.start]):
            return []
        places = [p for p in self._places.of(sentence, denial, before, reach="clause") if p.site]
        return places or self._topic(sentence, denial, before[-1])

    def _topic(self, sentence: Sentence, denial: Mention, group: Group) -> list[Place]:
        """The site that the clause before speaks of, where this one names nothing: "海马对称，未见异常信号"."""
        between = range(group.end, denial.start)
        commas = [index for index in between if sentence.words[index] == ","]
        cues = [m.start for m in [denial, *sentence.of("negation_before")] if m.start - 1 in commas[-1:]]
        said = [m for m in sentence.of("finding", "change", "lesions", "signal", "pair") if m.start in between]
        if not cues or any(self._assertions.of(sentence, m) != "absent" for m in said):
            return []
        return [place for place in group.places if place.site and place.site not in self._spaces]


def is_of_signal(sentence: Sentence, mention: Mention, phrases: tuple[str, ...]) -> bool:
    """Whether a phrase speaks of abnormal signal alone, which tells no width and no more: 脑实质未见异常信号."""
    phrase = "".join(sentence.words[mention.start : mention.end])
    return any(words in phrase for words in phrases)


def is_cut_off(sentence: Sentence, normality: Mention) -> bool:
    """Whether a phrase of normality is but the head of a denied signal: "未见异常高信号"."""
    return any(signal.start == normality.end for signal in sentence.of("signal", "pair"))
