"""Lesions and signal that English says to be nowhere, or not at a site: "no abnormal signal in the brainstem"."""

from __future__ import annotations

from collections.abc import Iterator

from stages.reports.assertions import Assertions
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place
from stages.reports.places import Places
from stages.reports.sentences import Mention, Sentence
from stages.reports.utterances import Statement, span_of


class Undisturbed:
    """Reads denials of the words in ``lesion_nouns``; none in a language that lists none, as Chinese does."""

    def __init__(self, lexicon: Lexicon, language: str, assertions: Assertions, places: Places) -> None:
        self._default = lexicon.rules["descriptions"]["default"]
        self._normal = lexicon.rules["descriptions"]["normal"]
        self._nouns = frozenset(map(str, lexicon.languages[language].get("lesion_nouns", ())))
        self._assertions = assertions
        self._places = places

    def places(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """Places that nothing is seen in, or none named: "no abnormal signal in the brainstem"."""
        denials = [m for m in sentence.of("normality") if self._assertions.denies(sentence, m)]
        for denial in denials:
            sited = [place for place in self._places.of(sentence, denial, groups, reach="clause") if place.site]
            yield from self._denied(sentence, denial, sited or self._nowhere(sentence, denial, groups))
        for noun in sentence.of("lesions"):
            if self._assertions.of(sentence, noun) == "absent":
                yield from self._denied(sentence, noun, self._nowhere(sentence, noun, groups))

    def _denied(self, sentence: Sentence, phrase: Mention, places: list[Place]) -> Iterator[Statement]:
        if not self._nouns.isdisjoint(sentence.words[phrase.start : phrase.end]):
            for place in places:
                yield Statement(self._default, place, "absent", span_of(sentence, phrase), is_description=True)

    def _nowhere(self, sentence: Sentence, phrase: Mention, groups: list[Group]) -> list[Place]:
        """No place, if signal is denied and neither a place nor the whole brain is named."""
        is_of_all = any(self._normal in m.values for m in sentence.of("subject"))
        is_of_signal = "signal" in sentence.words[phrase.start : phrase.end]
        has_place = bool(self._places.of(sentence, phrase, groups, reach="clause"))
        return [Place()] if is_of_signal and not (is_of_all or has_place) else []
