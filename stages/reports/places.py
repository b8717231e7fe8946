"""Where a finding is: sites and sides of a sentence, grouped as the sentence lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from stages.reports.lexicon import Lexicon
from stages.reports.placement import (
    MAX_ADJECTIVES,
    Group,
    Item,
    Place,
    between,
    combine,
    contradict,
    is_affected,
    is_largest,
    is_pronoun,
    is_side_of,
    reaches,
    resolved,
    without_brackets,
)
from stages.reports.sentences import Mention, Sentence

_LOBAR_PRIORITY = 1
_MAX_ASIDE = 3


class Places:
    """Reads the places of one language."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        words = lexicon.languages[language]
        self._chain = frozenset(map(str, words["chain_words"]))
        self._list = frozenset(map(str, words["list_words"]))
        self._prepositions = frozenset(map(str, words["prepositions"]))
        self._joins = frozenset(map(str, words["coordinations"]))
        self._breaks = self._prepositions | self._joins | frozenset(map(str, words["attribute_breaks"]))
        self._asides = frozenset(map(str, words["asides"]))
        self._verbs = frozenset(map(str, [*words["copulas"], *words.get("verbs", ())]))
        self._governors = frozenset(map(str, words.get("governors", ())))
        self._largest = tuple(map(str, words.get("largest", ())))
        self._is_head_last = language == "en"
        self._priority = {code: site.rules.get("priority", _LOBAR_PRIORITY) for code, site in lexicon.sites.items()}
        self._sided = {code: site.rules.get("has_side", True) for code, site in lexicon.sites.items()}
        self._carried = {code: site.rules.get("carried_sides", ()) for code, site in lexicon.sites.items()}
        self._measured = re.compile(r"\d+(?:[.,]\d+)?(?:mm|cm)?|mm|cm|x")
        self._diagnoses = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_diagnosis")}
        self._pushed = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_of_neighbour")}
        self._affecting = {*self._pushed, *(c for c, f in lexicon.findings.items() if f.rules.get("is_site_fixed"))}
        self._dependent = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_dependent")}
        self._white_matter = {code for code, site in lexicon.sites.items() if site.rules.get("is_white_matter")}
        self._fallback = lexicon.rules["white_matter"]["fallback"]

    def groups(self, sentence: Sentence) -> list[Group]:
        """The lists of places of a sentence, by position."""
        groups: list[Group] = []
        for run in self._runs(sentence):
            if is_pronoun(sentence, [mention for _, mention in run]):
                continue
            if groups and groups[-1].places[0].site and all(m.kind == "white_matter" for _, m in run):
                continue  # "subcortical spots of white matter lesions": an adjective, no second place
            group = self._group(sentence, run)
            if groups and is_side_of(groups[-1], group, sentence):
                side = group.places[0].side
                groups[-1] = replace(groups[-1], places=tuple(replace(p, side=side) for p in groups[-1].places))
            elif groups and (
                self._is_named_twice(sentence, groups[-1], group) or self._is_parted(sentence, groups[-1], group)
            ):
                places = tuple(combine(groups[-1], group, self._merge))
                groups[-1:] = [replace(groups[-1], places=places), replace(group, places=places)]
            else:
                groups.append(group)
        return groups

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
        return places + [place for place in further if all(place.site not in (None, one.site) for one in places)]

    def _is_extended(self, sentence: Sentence, mention: Mention, group: Group) -> bool:
        """Whether a finding is said to go on into a place: "thalamic haematoma with extension into the ventricle"."""
        cues = [m for m in sentence.of("extension") if mention.end <= m.start]
        if not any(0 <= group.start - cue.end <= 1 for cue in cues) or sentence.has_cue(mention.end, group.start):
            return False
        later = [m for m in sentence.of("finding") if mention.end <= m.start < group.start]
        return all(self._diagnoses.isdisjoint(m.values) for m in later)

    def _own(self, sentence: Sentence, mention: Mention, groups: list[Group], reach: str) -> list[Place]:
        if sentence.words[mention.end - 1] in self._governors:
            objects = [group for group in groups if group.start == mention.end]
            if objects:
                return list(objects[0].places)
        inside = [g for g in groups if not g.is_beside and not self._is_pushed(sentence, g, mention)] or groups
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
            needs_more = any(place.side is None or place.site is None for place in own.places)
            return list(combine(own, following, self._merge)) if following and needs_more else list(own.places)
        topic = before[-1] if before and reaches(sentence, before[-1], mention, reach) else None
        if (
            topic and following and all(p.site is None for p in topic.places)
        ):  # "left MCA infarct, involving the insula"
            return list(combine(following, topic, self._merge))
        if topic and following and all(p.site is None for p in following.places):  # "Cerebellum: lacune on the right"
            return list(topic.places if contradict(topic, following) else combine(topic, following, self._merge))
        is_lesion = self._dependent.isdisjoint(mention.values)
        if is_lesion and before[1:] and is_largest(sentence, before[-1], self._largest):
            return [*before[-2].places, *before[-1].places]
        chosen = (following or topic) if self._is_head_last else (topic or following)
        return list(chosen.places) if chosen else []

    def _is_parted(self, sentence: Sentence, one: Group, other: Group) -> bool:
        """Whether adjectives part a side from its site: "right sided heterogeneously enhancing temporal mass"."""
        gap = sentence.words[one.end : other.start]
        if one.places[0].site or len(one.places) > 1 or any(place.side for place in other.places):
            return False
        if any(one.end <= m.start < other.start for m in sentence.of("finding") if m.value in self._diagnoses):
            return False
        is_near = 0 < len(gap) <= MAX_ADJECTIVES and not self._breaks.intersection(gap)
        return is_near and not any(one.end <= m.start < other.start for m in sentence.of("other", "lesions", "signal"))

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
            if other.end <= group.start and len(gap) <= _MAX_ASIDE and self._chain.union(("upon",)).issuperset(gap):
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
        places = tuple(combine(sited, first, self._merge))
        return replace(sited, places=places) if all(p.side is None for p in sited.places) else sited

    def _is_named_twice(self, sentence: Sentence, one: Group, other: Group) -> bool:
        """Whether two groups place one lesion: "a juxtacortical lesion in the left parietal lobe"."""
        if not any(p.side is None or p.site is None for p in one.places) or one.is_beside or other.is_beside:
            return False
        for lesion in sentence.of("lesions"):
            gap = sentence.words[lesion.end : other.start]
            if lesion.start == one.end and len(gap) in (1, 2) and self._prepositions.intersection(gap):
                return True
        return False

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
        return start <= stop.start < end and sentence.words[stop.start] not in self._asides

    def _is_shared(self, sentence: Sentence, mention: Mention, group: Group) -> bool:
        """Whether another finding, not just an adjective's noun, stands before the place."""
        others = [m for m in sentence.of("finding", "change") if mention.end <= m.start < group.start]
        return any(other.start > mention.end for other in others)

    def _runs(self, sentence: Sentence) -> Iterator[list[tuple[str, Mention]]]:
        """Runs of place words with their link to the word before: chain (one place) or list."""
        run: list[tuple[str, Mention]] = []
        for named in sentence.mentions:
            mention = resolved(sentence, named) if named.kind == "same_side" else named
            if mention is None or mention.kind not in ("site", "side", "white_matter"):
                continue
            link = self._link(sentence, run[-1][1], mention) if run else None
            if (
                link
                and "," in sentence.words[run[-1][1].end : mention.start]
                and sentence.words[run[0][1].start - 1] in self._governors
            ):
                link = None  # 破入左侧侧脑室，第三脑室受压
            if run and link is None:
                yield run
                run = []
            run.append((link or "chain", mention))
        if run:
            yield run

    def _link(self, sentence: Sentence, one: Mention, other: Mention) -> str | None:
        gap = without_brackets(between(sentence, one.end, other.start))
        gap = tuple(word for word in gap if not self._measured.fullmatch(word))
        if all(word in self._chain for word in gap):
            is_extended = any(one.end <= m.start < other.start for m in sentence.of("extension"))
            return "list" if is_extended else "chain"
        return "list" if all(word in self._chain or word in self._list for word in gap) else None

    def _group(self, sentence: Sentence, run: list[tuple[str, Mention]]) -> Group:
        items = [Item()]
        is_hemisphere = False  # 双侧大脑半球及左侧小脑
        for link, mention in run:
            is_next = link == "list" and (items[-1].sites or is_hemisphere)
            if is_next or not items[-1].add(mention):
                items.append(Item())
                items[-1].add(mention)
            is_hemisphere = sentence.words[mention.end - 1] == "球"
        self._share_heads(items)
        self._share_sides(items)
        start, end = run[0][1].start, run[-1][1].end
        is_beside = any(0 <= start - cue.end <= 2 for cue in sentence.of("beside"))
        places = dict.fromkeys(place for item in items for place in self._places(item))
        return Group(start, end, tuple(places), is_beside)

    def _share_heads(self, items: list[Item]) -> None:
        """Complete an elided head: "frontal and parietal subcortical white matter"."""
        for item, following in zip(items[-2::-1], items[:0:-1], strict=True):
            priorities = [self._priority[site] for site in following.sites]
            is_lobar = item.sites and all(self._priority[site] == _LOBAR_PRIORITY for site in item.sites)
            if is_lobar and _LOBAR_PRIORITY in priorities and max(priorities) > _LOBAR_PRIORITY:
                item.sites += [site for site in following.sites if self._priority[site] > _LOBAR_PRIORITY]

    def _share_sides(self, items: list[Item]) -> None:
        last = items[-1]
        is_bare = not last.sites and len(items) > 1
        if last.side and (is_bare or not last.is_side_first):
            for item in items[:-1]:
                item.side = item.side or self._fit(last.side, item)
        if is_bare and any(item.side == last.side for item in items[:-1]):
            items.pop()  # "in the occipital horns, left more than right"
        for item, following in zip(items, items[1:], strict=False):
            if following.side is None and item.side and item.is_side_first:
                following.side, following.is_side_first = self._fit(item.side, following), True

    def _fit(self, side: str, item: Item) -> str | None:
        return side if not item.sites or any(self._sided[s] or side in self._carried[s] for s in item.sites) else None

    def _places(self, item: Item) -> Iterator[Place]:
        is_white_matter = item.is_white_matter or any(site in self._white_matter for site in item.sites)
        sites: list[str | None] = [*self._heads(item.sites)]
        if not sites:
            sites = [self._fallback if item.is_white_matter else None]
        for site in sites:
            yield Place(site, item.side, is_white_matter)

    def _heads(self, sites: list[str]) -> list[str]:
        top = max((self._priority[site] for site in sites), default=0)
        return list(dict.fromkeys(site for site in sites if self._priority[site] == top))

    def _merge(self, one: Place, other: Place) -> Place:
        sites = self._heads([site for site in (one.site, other.site) if site])
        is_white_matter = one.is_white_matter or other.is_white_matter
        return Place(sites[0] if sites else None, one.side or other.side, is_white_matter)
