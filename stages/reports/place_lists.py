"""Places as a sentence lists them: runs of sites and sides, and what they say together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from stages.reports.lexicon import Lexicon
from stages.reports.placement import (
    LOBAR_PRIORITY,
    MAX_ADJECTIVES,
    Group,
    Item,
    Place,
    between,
    combine,
    is_side_of,
    resolved,
    without_brackets,
)
from stages.reports.sentences import Mention, Sentence

_PLURAL = re.compile(r"(?<!\bpon)(?<![uis])s$|[^o]i$|(ia|ae|ina)$")
_ADJECTIVAL = ("ar", "al", "ic", "ine")
_MEASURED = re.compile(r"\d+(?:[.,]\d+)?(?:mm|cm)?|mm|cm|x")


class PlaceLists:
    """Reads the lists of places of one language."""

    def __init__(self, lexicon: Lexicon, language: str) -> None:
        words = lexicon.languages[language]
        self._chain = frozenset(map(str, words["chain_words"]))
        self._list = frozenset(map(str, words["list_words"]))
        self._prepositions = frozenset(map(str, words["prepositions"]))
        joins = frozenset(map(str, words["coordinations"]))
        self._breaks = self._prepositions | joins | frozenset(map(str, words["attribute_breaks"]))
        self._governors = frozenset(map(str, words.get("governors", ())))
        self._pronouns = frozenset(map(str, words.get("side_pronouns", ())))
        self._junctions = frozenset(map(str, words.get("junctions", ())))
        self._hemispheres = frozenset(map(str, words.get("hemispheres", ())))
        self._symmetric = frozenset(map(str, words.get("symmetric", ())))
        self._site_nouns = frozenset(map(str, words.get("site_nouns", ())))
        self._priority = {code: site.rules.get("priority", LOBAR_PRIORITY) for code, site in lexicon.sites.items()}
        self._sided = {code: site.rules.get("has_side", True) for code, site in lexicon.sites.items()}
        carried = {code: site.rules.get("carried_sides", {}) for code, site in lexicon.sites.items()}
        self._carried = {code: frozenset(sides.get(language, ())) for code, sides in carried.items()}
        self._spaces = {code for code, site in lexicon.sites.items() if site.rules.get("is_space")}
        self._diagnoses = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_diagnosis")}
        self._unsited = {code for code, finding in lexicon.findings.items() if finding.rules.get("is_unsited")}
        self._items = frozenset(map(str, words.get("list_items", ())))
        self._directions = frozenset(map(str, words.get("directions", ())))
        self._white_matter = {code for code, site in lexicon.sites.items() if site.rules.get("is_white_matter")}
        self._fallback = lexicon.rules["white_matter"]["fallback"]

    def groups(self, sentence: Sentence) -> list[Group]:
        """The lists of places of a sentence, by position."""
        groups: list[Group] = []
        for run in self._runs(sentence):
            if groups and groups[-1].places[0].site and all(m.kind == "white_matter" for _, m in run):
                continue  # "subcortical spots of white matter lesions": an adjective, no second place
            group = self._group(sentence, run)
            if groups and is_side_of(groups[-1], group, sentence):
                side = group.places[0].side
                groups[-1] = replace(groups[-1], places=tuple(replace(p, side=side) for p in groups[-1].places))
            elif groups and (
                self._is_named_twice(sentence, groups[-1], group) or self._is_parted(sentence, groups[-1], group)
            ):
                places = tuple(combine(groups[-1], group, self.merge))
                groups[-1:] = [replace(groups[-1], places=places), replace(group, places=places)]
            else:
                groups.append(group)
        return groups

    def _is_parted(self, sentence: Sentence, one: Group, other: Group) -> bool:
        """Whether adjectives part a side from its site: "right sided heterogeneously enhancing temporal mass"."""
        gap = sentence.words[one.end : other.start]
        if one.places[0].site or len(one.places) > 1 or any(place.side for place in other.places):
            return False
        if any(one.end <= m.start < other.start for m in sentence.of("finding") if m.value in self._diagnoses):
            return False
        is_near = 0 < len(gap) <= MAX_ADJECTIVES and not self._breaks.intersection(gap)
        return is_near and not any(one.end <= m.start < other.start for m in sentence.of("other", "lesions", "signal"))

    def _is_named_twice(self, sentence: Sentence, one: Group, other: Group) -> bool:
        """Whether two groups place one lesion: "a juxtacortical lesion in the left parietal lobe"."""
        if not any(p.side is None or p.site is None for p in one.places) or one.is_beside or other.is_beside:
            return False
        for lesion in sentence.of("lesions"):
            gap = sentence.words[lesion.end : other.start]
            if lesion.start == one.end and len(gap) in (1, 2) and self._prepositions.intersection(gap):
                return True
        return False

    def _runs(self, sentence: Sentence) -> Iterator[list[tuple[str, Mention]]]:
        """Runs of place words with their link to the word before: chain (one place) or list."""
        run: list[tuple[str, Mention]] = []
        for named in sentence.mentions:
            mention = resolved(sentence, named) if named.kind == "same_side" else named
            if mention is None or mention.kind not in ("site", "side", "white_matter"):
                continue
            if mention.kind == "side" and (
                self._is_pronoun(sentence, mention) or self._is_direction(sentence, mention)
            ):
                continue
            link = self._link(sentence, run[-1][1], mention) if run else None
            if link and "," in sentence.words[run[-1][1].end : mention.start] and self._is_governed(sentence, run):
                link = None  # 破入左侧侧脑室，第三脑室受压
            if run and link is None:
                yield run
                run = []
            run.append((link or "chain", mention))
        if run:
            yield run

    def _is_governed(self, sentence: Sentence, run: list[tuple[str, Mention]]) -> bool:
        """Whether a run is the object of a verb before it."""
        return sentence.words[run[0][1].start - 1] in self._governors

    def _is_pronoun(self, sentence: Sentence, side: Mention) -> bool:
        """Whether a side is none but stands for what was said before: "two foci, both bright on T2"."""
        if not self._pronouns.issuperset(sentence.words[side.start : side.end]):
            return False
        following = [m.start for m in sentence.of("site", "side", "white_matter") if m.start >= side.end]
        gap = sentence.words[side.end : min(following, default=len(sentence.words))]
        return not following or len(gap) > MAX_ADJECTIVES or not self._breaks.isdisjoint(gap)

    def _is_direction(self, sentence: Sentence, side: Mention) -> bool:
        """Whether a side tells where the midline has gone: "a shift of 3 mm to the right"."""
        lead = sentence.words[max(0, side.start - 2) : side.start]
        if not self._directions.intersection(lead):
            return False
        return any(m.value in self._unsited and m.end <= side.start for m in sentence.of("finding", "change"))

    def _link(self, sentence: Sentence, one: Mention, other: Mention) -> str | None:
        if self._is_next_attribute(sentence, one, other):
            return None
        gap = without_brackets(between(sentence, one.end, other.start))
        gap = tuple(word for word in gap if not _MEASURED.fullmatch(word))
        if all(word in self._chain for word in gap):
            is_extended = any(one.end <= m.start < other.start for m in sentence.of("extension"))
            return "list" if is_extended else "chain"
        if ":" in sentence.words[: one.start]:  # "two metastases: a lesion in the pons and a lesion in the insula"
            gap = tuple(word for word in gap if word not in self._items)
        return "list" if all(word in self._chain or word in self._list for word in gap) else None

    def _is_next_attribute(self, sentence: Sentence, one: Mention, other: Mention) -> bool:
        """Whether a place only belongs to the finding after it: "dilated ventricles and periventricular oedema"."""
        ends = sentence.words[one.end - 1], sentence.words[other.end - 1]
        if ends[0] not in self._site_nouns or not ends[1].endswith(_ADJECTIVAL):
            return False
        if sentence.words[one.end : other.start] != ("and",):
            return False
        return any(0 <= m.start - other.end <= 1 for m in sentence.of("finding"))

    def _group(self, sentence: Sentence, run: list[tuple[str, Mention]]) -> Group:
        items, is_hemisphere = [Item()], False
        run = [(link, self._levelled(sentence, run, mention)) for link, mention in run]
        for link, mention in run:
            if (link == "list" and (items[-1].sites or is_hemisphere)) or not items[-1].add(mention):
                items.append(Item())
                items[-1].add(mention)
            is_hemisphere = self._is_hemisphere(sentence, mention)
        self._share_heads(items)
        self._share_sides(items)
        start, end = run[0][1].start, run[-1][1].end
        is_beside = any(0 <= start - cue.end <= 2 for cue in sentence.of("beside"))
        if self._is_symmetric(sentence, run):
            for item in items:
                item.side = item.side or self._fit("bilateral", item)
        places = dict.fromkeys(place for item in items for place in self._places(item))
        return Group(start, end, tuple(places), is_beside)

    def _is_symmetric(self, sentence: Sentence, run: list[tuple[str, Mention]]) -> bool:
        """Whether plural places are said to be alike on both sides: "symmetrical signal in the thalami"."""
        words, start = sentence.words, run[0][1].start
        ends = [m.end for _, m in run if m.kind == "site"]
        is_plural = any(_PLURAL.search(word) for end in ends for word in words[end - 1 : end + 1])
        position = next((i for i in reversed(range(start)) if words[i] in self._symmetric), None)
        if position is None or not is_plural or not {",", ";"}.isdisjoint(words[position:start]):
            return False
        return not any(position < m.start < start for m in sentence.of("subject", "site"))

    def _is_hemisphere(self, sentence: Sentence, mention: Mention) -> bool:
        """Whether a side is a place of its own: "in both cerebral hemispheres and the right cerebellum"."""
        around = sentence.words[mention.end - 1 : mention.end + 1]
        return mention.kind == "side" and not self._hemispheres.isdisjoint(around)

    def _levelled(self, sentence: Sentence, run: list[tuple[str, Mention]], mention: Mention) -> Mention:
        """A boundary inside a lobe only says how deep: "at the grey-white junction of both frontal lobes"."""
        if mention.kind != "site" or sentence.words[mention.end - 1] not in self._junctions:
            return mention
        position = next(i for i, (_, one) in enumerate(run) if one is mention)
        following = next((i for i, (_, one) in enumerate(run) if i > position and one.kind == "site"), None)
        before = run[position - 1] if position else None
        is_within = following is not None and all(link == "chain" for link, _ in run[position + 1 : following + 1])
        lobes = [run[following][1]] if following is not None and is_within else []
        lobes += [before[1]] if before and before[1].kind == "site" and run[position][0] == "chain" else []
        is_lobar = any(self._priority[site] == LOBAR_PRIORITY for lobe in lobes for site in lobe.values)
        return replace(mention, kind="white_matter") if is_lobar else mention

    def _share_heads(self, items: list[Item]) -> None:
        """Complete an elided head: "frontal and parietal subcortical white matter"."""
        for item, following in zip(items[-2::-1], items[:0:-1], strict=True):
            priorities = [self._priority[site] for site in following.sites]
            is_lobar = item.sites and all(self._priority[site] == LOBAR_PRIORITY for site in item.sites)
            if is_lobar and LOBAR_PRIORITY in priorities and max(priorities) > LOBAR_PRIORITY:
                item.sites += [site for site in following.sites if self._priority[site] > LOBAR_PRIORITY]

    def _share_sides(self, items: list[Item]) -> None:
        last = items[-1]
        is_bare = not last.sites and len(items) > 1
        if last.side and (is_bare or not last.is_side_first):
            for item in items[:-1]:
                item.side = item.side or self._fit(last.side, item)
        for item, following in zip(items[-2::-1], items[:0:-1], strict=True):
            if following.side == "bilateral" and not following.is_side_first and following.sites:
                item.side = item.side or self._fit("bilateral", item)
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

    def on_side(self, place: Place, side: str | None) -> Place:
        """A place without a side on one, if it can lie there and is in tissue."""
        is_open = place.side is None and place.site in self._sided and place.site not in self._spaces
        return replace(place, side=side) if is_open and self._sided[str(place.site)] else place

    def merge(self, one: Place, other: Place) -> Place:
        """One place of two that name it together."""
        sites = self._heads([site for site in (one.site, other.site) if site])
        is_white_matter = one.is_white_matter or other.is_white_matter
        return Place(sites[0] if sites else None, one.side or other.side, is_white_matter)
