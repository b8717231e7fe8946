"""Places of findings whose name tells a usual site: "脑膜瘤", "垂体微腺瘤", "arachnoid cyst"."""

from __future__ import annotations

from stages.reports.lexicon import Lexicon
from stages.reports.placement import Group, Place, at_site
from stages.reports.places import Places
from stages.reports.sentences import Mention, Sentence


class UsualSites:
    """Weighs the usual site of a finding against what its sentence says; English keeps it and adds what is listed."""

    def __init__(self, lexicon: Lexicon, language: str, places: Places) -> None:
        self._findings = lexicon.findings
        self._fluid = {code for code, site in lexicon.sites.items() if site.rules.get("is_fluid")}
        self._places = places
        self._joins = frozenset(map(str, lexicon.languages[language]["coordinations"])) - {","}
        self._is_spaced = language == "en"

    def of(self, sentence: Sentence, mention: Mention, groups: list[Group], places: list[Place]) -> list[Place]:
        """The places of a finding.

        Args:
            sentence: where it stands.
            mention: the finding, with its usual site.
            groups: the sentence's lists of places.
            places: those that the sentence gives the finding.
        """
        usual = str(mention.site)
        if self._is_spaced:  # "intraventricular or subdural haemorrhage"
            is_joined = sentence.words[mention.start - 1] in self._joins
            listed = [group for group in groups if is_joined and group.end == mention.start - 1]
            return at_site(places, usual) + [place for group in listed for place in group.places if place.site]
        alike = [m for m in sentence.of("finding") if m.end <= mention.start and m.value == mention.value]
        described = self._places.of(sentence, alike[-1], groups, reach="sentence") if alike else []
        if alike and not alike[-1].site:  # "侧脑室肿物，脑膜瘤可能"
            is_open = self._findings[mention.value].rules.get("is_placed_by_description")
            elsewhere = [p for p in described if p.site and (is_open or p.site in self._fluid)]
            if elsewhere:
                return elsewhere
        if any(place.side for place in places):
            return at_site(places, usual)
        # "垂体右侧份见结节，考虑垂体微腺瘤"
        before = [g.places for g in groups if g.end <= mention.start and any(p.site == usual for p in g.places)]
        sided = [list(option) for option in [*before, described] if any(p.side for p in option)]
        return at_site(sided[0] if sided else places, usual)
