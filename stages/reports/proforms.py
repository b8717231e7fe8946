"""Words that stand for one more of a finding named before: "and possibly a third in the pons"."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from stages.artifacts.extraction_tables import REFERENCES
from stages.reports.assertions import Assertions
from stages.reports.placement import Group, Place
from stages.reports.places import Places
from stages.reports.sentences import Mention, Sentence
from stages.reports.utterances import Statement, span_of

_MAX_FILLERS = 4


class Proforms:
    """Reads the words of one language that stand for a finding; a language may have none."""

    def __init__(self, language: Mapping[str, Any], assertions: Assertions, places: Places) -> None:
        self._words = frozenset(map(str, language.get("proforms", ())))
        self._fillers = frozenset(map(str, language.get("proform_fillers", ())))
        self._further = frozenset(map(str, language.get("further", ())))
        self._assertions = assertions
        self._places = places

    def in_sentence(
        self, sentence: Sentence, groups: list[Group], is_diagnosis: Callable[[str], bool]
    ) -> Iterator[Statement]:
        """Statements that say it with another assertion than the finding: "no infarct but an old one in the pons"."""
        for index, word in enumerate(sentence.words):
            group = self._place_of(sentence, index, groups) if word in self._words else None
            hosts = [m for m in sentence.of("finding") if m.end <= index and is_diagnosis(m.value)]
            if group is None or not hosts:
                continue
            host = max(hosts, key=lambda m: m.end)
            said, assertion = self._assertions.of(sentence, host), self._assertion(sentence, index)
            if assertion is None or said in (*REFERENCES, assertion) or (said, assertion) == ("present", "present"):
                continue
            for place in group.places:
                mention = Mention("finding", host.values, index, index + 1)
                yield Statement(host.value, place, assertion, span_of(sentence, mention))

    def continued(self, sentence: Sentence) -> tuple[list[Place], str]:
        """Where one more of what the sentence before named lies, and its assertion: present or uncertain."""
        if not self._words or sentence.of("finding", "signal", "pair", "sequence"):
            return [], "present"
        noun = next(iter(sentence.of("lesions")), None)
        if noun is None:
            return self._leading(sentence), "present"
        groups = self._places.groups(sentence) if self._is_further(sentence, noun) else []
        places = self._places.of(sentence, noun, groups, reach="phrase") if groups else []
        assertion = self._assertions.of(sentence, noun)
        is_said = assertion in ("present", "uncertain") and self._is_bare(sentence, groups, assertion)
        return [place for place in places if place.site and is_said], assertion

    def _leading(self, sentence: Sentence) -> list[Place]:
        """Places of a sentence that such a word opens."""
        start = 1 if sentence.words[0] == "the" else 0
        if sentence.words[start : start + 1] == () or sentence.words[start] not in self._words:
            return []
        group = self._place_of(sentence, start, self._places.groups(sentence))
        return list(group.places) if group and self._is_bare(sentence, [group], "present") else []

    def _is_bare(self, sentence: Sentence, groups: list[Group], assertion: str) -> bool:
        """Whether a sentence says nothing of the lesion but where it is, or that it is doubtful."""
        end = max((group.end for group in groups), default=0)
        doubts = [m for m in sentence.of("uncertainty_after") if m.start >= end and assertion == "uncertain"]
        covered = {index for m in doubts for index in range(m.start, m.end)}
        rest = {word for index, word in enumerate(sentence.words) if index >= end and index not in covered}
        return rest <= self._fillers | {".", ";"}

    def _is_further(self, sentence: Sentence, noun: Mention) -> bool:
        """Whether a noun that opens a sentence means one more of the same: "a further focus"."""
        lead = sentence.words[: noun.start]
        return len(lead) <= _MAX_FILLERS and not self._further.isdisjoint(lead)

    def _place_of(self, sentence: Sentence, index: int, groups: list[Group]) -> Group | None:
        group = next((one for one in groups if one.start > index), None)
        gap = sentence.words[index + 1 : group.start] if group else ()
        is_led = 0 < len(gap) <= _MAX_FILLERS and self._fillers.issuperset(gap)
        return group if is_led and group and group.places[0].site else None

    def _assertion(self, sentence: Sentence, index: int) -> str | None:
        """Uncertain after a doubt, present after an exception, none where nothing right before it tells."""
        for kind, assertion in (("uncertainty_before", "uncertain"), ("terminators", "present")):
            for cue in sentence.of(kind):
                if cue.end <= index and self._fillers.issuperset(sentence.words[cue.end : index]):
                    return assertion
        return None
