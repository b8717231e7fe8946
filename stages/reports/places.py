"""Where a finding is: which of the places of its sentence it takes."""

from __future__ import annotations

from dataclasses import replace

from stages.reports.lexicon import Lexicon
from stages.reports.place_lists import PlaceLists
from stages.reports.placement import (
    LOBAR_PRIORITY,
    MAX_ADJECTIVES,
    Group,
    Place,
    combine,
    contradict,
    is_affected,
    is_largest,
)
from stages.reports.sentences import Mention, Sentence

_MAX_ASIDE = 3
# Words between "the latter" and what is said of it.
_LONGEST_CLAUSE = 6


class Places:
    """Reads the places of one language."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        words = lexicon.languages[language]
        self._lists = PlaceLists(lexicon, language)
        self._chain = frozenset(map(str, words["chain_words"]))
        self._prepositions = frozenset(map(str, words["prepositions"]))
        self._joins = frozenset(map(str, words["coordinations"]))
        self._breaks = self._prepositions | self._joins | frozenset(map(str, words["attribute_breaks"]))
        self._asides = frozenset(map(str, words["asides"]))
        self._verbs = frozenset(map(str, [*words["copulas"], *words.get("verbs", ())]))
        self._copulas = frozenset(map(str, words["copulas"]))
        self._closers = frozenset((",", *words.get("place_closers", ())))
        self._governors = frozenset(map(str, words.get("governors", ())))
        self._largest = tuple(map(str, words.get("largest", ())))
        self._is_head_last = language == "en"
        self._priority = {code: site.rules.get("priority", LOBAR_PRIORITY) for code, site in lexicon.sites.items()}
        self._diagnoses = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_diagnosis")}
        self._pushed = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_of_neighbour")}
        self._affecting = {*self._pushed, *(c for c, f in lexicon.findings.items() if f.rules.get("is_site_fixed"))}
        self._dependent = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_dependent")}
        self._orders = {str(word): int(index) for word, index in words.get("orders", {}).items()}

    def groups(self, sentence: Sentence) -> list[Group]:
        """The lists of places of a sentence, by position."""
        return self._lists.groups(sentence)

    def of(self, sentence: Sentence, mention: Mention, groups: list[Group], *, reach: str) -> list[Place]:
        """The places that a sentence gives a finding, those that it extends to included; none if it gives none.

        Args:
            sentence: where the finding stands.
            mention: the finding.
            groups: the sentence's lists of places.
            reach: how far to look: the ``phrase`` around the finding, its ``clause``, or the whole ``sentence``.
        """
        places = self._own(sentence, mention, groups, reach)
        if self._diagnoses.isdisjoint(mention.values) or not any(place.site for place in places):
            return places
        further = [place for g in groups if self._is_extended(sentence, mention, g) for place in g.places]
        sides = {place.side for place in places}
        if self._is_head_last and len(sides) == 1:  # "left frontal infarct involving the insula"
            further = [self._lists.on_side(place, next(iter(sides))) for place in further]
        return places + [place for place in further if all(place.site not in (None, one.site) for one in places)]

    def _is_extended(self, sentence: Sentence, mention: Mention, group: Group) -> bool:
        """Whether a finding is said to go on into a place: "thalamic haematoma with extension into the ventricle"."""
        cues = [m for m in sentence.of("extension") if mention.end <= m.start]
        is_inside = any(group.start < cue.start and cue.end < group.end for cue in cues)
        is_next = any(0 <= group.start - cue.end <= 1 for cue in cues)
        if not (is_inside or is_next) or sentence.has_cue(mention.end, group.start):
            return False
        later = [m for m in sentence.of("finding") if mention.end <= m.start < group.start]
        return all(self._diagnoses.isdisjoint(m.values) for m in later)

    def _own(self, sentence: Sentence, mention: Mention, groups: list[Group], reach: str) -> list[Place]:
        if sentence.words[mention.end - 1] in self._governors:
            objects = [group for group in groups if group.start == mention.end]
            if objects:
                return list(objects[0].places)
        free = [group for group in groups if not self._is_pushed(sentence, group, mention)]
        inside = [group for group in free if not group.is_beside] or free
        referred = self._referred(sentence, mention, inside)
        if referred is not None:
            return [referred]
        before = [group for group in inside if group.end <= mention.start]
        after = [group for group in inside if group.start >= mention.end]
        own = next((g for g in reversed(before) if self._is_attribute(sentence, g, mention)), None)
        has_topic = any(place.site for group in before for place in group.places)
        complements = [g for g in after if self._is_complement(sentence, mention, g, has_topic)]
        following = self._complement(sentence, complements)
        is_near = own is not None or reach == "phrase"
        is_shared = following is not None and is_near and self._is_shared(sentence, mention, following)
        if is_shared or (own is not None and following and contradict(own, following)):
            following = None
        if own is not None:
            return self._completed(sentence, mention, own, following, before)
        topic = before[-1] if before and self._reaches(sentence, before[-1], mention, reach) else None
        if (
            topic and following and all(p.site is None for p in topic.places)
        ):  # "left MCA infarct, involving the insula"
            return list(combine(following, topic, self._lists.merge))
        if topic and following and all(p.site is None for p in following.places):  # "Cerebellum: lacune on the right"
            return list(topic.places if contradict(topic, following) else combine(topic, following, self._lists.merge))
        is_lone = self._dependent.isdisjoint(mention.values)
        if is_lone and before[1:] and is_largest(sentence, before[-1], self._largest):
            return [*before[-2].places, *before[-1].places]
        chosen = (following or topic) if self._is_head_last else (topic or following)
        return list(chosen.places) if chosen else []

    def _completed(
        self, sentence: Sentence, mention: Mention, own: Group, following: Group | None, before: list[Group]
    ) -> list[Place]:
        """The places of an attribute, with what the phrase after the finding adds."""
        gap = sentence.words[mention.end : following.start] if following else ()
        is_graded = self._is_head_last and self._is_whole(own) and not self._chain.issuperset(gap)
        if following and is_graded and not self._is_whole(following):
            return [*own.places, *following.places]  # "generalised atrophy, most marked in the temporal lobes"
        if following and any(place.side is None or place.site is None for place in own.places):
            return list(combine(own, following, self._lists.merge))
        return self._with_known_side(own, before)

    def _with_known_side(self, own: Group, before: list[Group]) -> list[Place]:
        """Places with the side that the sentence gave the same site: "right hippocampus ... hippocampal atrophy"."""
        known = [place for group in before if group.end <= own.start for place in group.places if place.side]
        sides = {place.side for place in known if place.site == own.places[0].site}
        if not self._is_head_last or len(own.places) > 1 or len(sides) != 1 or own.places[0].side:
            return list(own.places)
        return [replace(own.places[0], side=sides.pop())]

    def _is_whole(self, group: Group) -> bool:
        return any(place.site and self._priority[place.site] < LOBAR_PRIORITY for place in group.places)

    def _referred(self, sentence: Sentence, mention: Mention, groups: list[Group]) -> Place | None:
        """The last of a list of places, where only that is spoken of: "..., the latter showing enhancement"."""
        words = sentence.words[max(0, mention.start - _LONGEST_CLAUSE) : mention.start]
        position = next((i for i, word in enumerate(reversed(words), 1) if word in self._orders), None)
        if position is None:
            return None
        start = mention.start - position
        places = [place for group in groups if group.end <= start for place in group.places if place.site]
        if not places or any(start < group.start < mention.start for group in groups):
            return None
        return places[self._orders[sentence.words[start]]]

    def _is_pushed(self, sentence: Sentence, group: Group, mention: Mention) -> bool:
        """Whether a place is what a lesion presses on ("indenting the pons"), and not said of the mention itself."""
        if not self._pushed.isdisjoint(mention.values):
            return False
        if not self._is_head_last:
            return is_affected(sentence, group, mention, self._affecting)
        for other in sentence.of("change", "finding"):
            if self._pushed.isdisjoint(other.values):
                continue
            gap = sentence.words[other.end : group.start]
            is_object = other.end <= group.start and len(gap) <= _MAX_ASIDE
            if is_object and self._chain.union(("upon", "and")).issuperset(gap):
                return True
        return False

    def _complement(self, sentence: Sentence, complements: list[Group]) -> Group | None:
        """The place after a finding; of a side and a site that follow one another, both."""
        first = next(iter(complements), None)
        if first is None or first.places[0].site:
            return first
        sited = next((group for group in complements if group.places[0].site), None)
        if sited is None or any(first.end <= m.start < sited.start for m in sentence.of("finding")):
            return first
        places = tuple(combine(sited, first, self._lists.merge))
        return replace(sited, places=places) if all(p.side is None for p in sited.places) else sited

    def _is_attribute(self, sentence: Sentence, group: Group, mention: Mention) -> bool:
        gap = sentence.words[group.end : mention.start]
        if gap and gap[0] in self._verbs:  # "the left temporal lobe is atrophic"
            return len(gap) <= MAX_ADJECTIVES and not (self._breaks - self._verbs).intersection(gap)
        cues = sentence.of("negation_before", "uncertainty_before", "terminators")
        return (
            len([w for w in gap if w not in self._chain]) <= MAX_ADJECTIVES
            and not self._breaks.intersection(gap)
            and not any(group.end <= cue.start < mention.start for cue in cues)
        )

    def _is_complement(self, sentence: Sentence, mention: Mention, group: Group, has_topic: bool) -> bool:
        gap = sentence.words[mention.end : group.start]
        lead = tuple(word for word in gap if word not in self._chain and word != "and")
        is_apposed = self._is_head_last and self._is_aside(sentence, mention, group, lead) and not has_topic
        if not (is_apposed or self._prepositions.intersection((*gap, sentence.words[group.start]))):
            return False
        if any(self._is_stop(sentence, stop, mention.end, group.start) for stop in sentence.of("terminators")):
            return False
        others = [m for m in sentence.of("finding") if mention.end <= m.start and m.end <= group.start]
        return not (has_topic and others and self._joins.intersection(gap))

    def _is_aside(self, sentence: Sentence, mention: Mention, group: Group, lead: tuple[str, ...]) -> bool:
        """Whether a place is set beside a finding: "infarct, left thalamus", "haemosiderin staining, left putamen"."""
        if not lead or lead == (",",):
            return True
        is_set = lead[-1] == "," and len(lead) <= _MAX_ASIDE and not (self._breaks - {","}).intersection(lead)
        return is_set and not any(mention.end <= m.start < group.start for m in sentence.of("finding", "change"))

    def _is_stop(self, sentence: Sentence, stop: Mention, start: int, end: int) -> bool:
        """Whether a word that ends a scope stands between two tokens, and not just as an aside ("is now seen in")."""
        is_between = start <= stop.start < end and sentence.words[stop.start] not in self._asides
        # "a cyst with a scolex is present in the pons"
        is_open = sentence.words[stop.start] == "with" and not self._copulas.isdisjoint(sentence.words[stop.end : end])
        return is_between and not is_open

    def _reaches(self, sentence: Sentence, group: Group, mention: Mention, reach: str) -> bool:
        gap = sentence.words[group.end : mention.start]
        return reach == "sentence" or (reach == "clause" and self._closers.isdisjoint(gap))

    def _is_shared(self, sentence: Sentence, mention: Mention, group: Group) -> bool:
        """Whether another finding, not just an adjective's noun, stands before the place."""
        others = [m for m in sentence.of("finding", "change") if mention.end <= m.start < group.start]
        return any(other.start > mention.end for other in others)
