"""Signal that is denied: places where nothing is seen."""

from __future__ import annotations

from collections.abc import Iterator

from stages.reports.assertions import Assertions
from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place
from stages.reports.places import Places
from stages.reports.sentences import Sentence
from stages.reports.utterances import Statement, span_of


class Undisturbed:
    """Reads denials of abnormal signal in one language."""

    def __init__(self, lexicon: Lexicon, language: str, assertions: Assertions, places: Places) -> None:
        self._default = lexicon.rules["descriptions"]["default"]
        self._normal = lexicon.rules["descriptions"]["normal"]
        self._nouns = frozenset(map(str, lexicon.languages[language].get("lesion_nouns", ())))
        self._assertions = assertions
        self._places = places

    def places(self, sentence: Sentence, groups: list[Group]) -> Iterator[Statement]:
        """Places that nothing is seen in, or none named: "no abnormal signal in the brainstem"."""
        denials = [m for m in sentence.of("normality") if self._assertions.denies(sentence, m)]
        nouns = [m for m in sentence.of("lesions") if self._assertions.of(sentence, m) == "absent"]
        is_of_all = any(self._normal in m.values for m in sentence.of("subject"))
        for denial in denials + nouns:
            words = sentence.words[denial.start : denial.end]
            places = self._places.of(sentence, denial, groups, reach="clause")
            sited = [place for place in places if place.site] if denial in denials else []
            if not places and not is_of_all and "signal" in words:
                sited = [Place()]
            for place in sited if not self._nouns.isdisjoint(words) else ():
                yield Statement(self._default, place, "absent", span_of(sentence, denial), is_description=True)
