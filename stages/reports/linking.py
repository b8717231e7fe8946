"""Statements of a report as a whole: places carried over, repetitions and explained signal merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from stages.reports.lexicon import Lexicon
from stages.reports.placement import Place
from stages.reports.repetitions import merged, without_vaguer
from stages.reports.utterances import Located, Statement, explains_signal

# A place carries over to what depends on it for so many sentences.
_MAX_CARRY = 2
# Of three: in the white matter, in spots, in a report that names a disease of the white matter.
_MIN_HINTS = 2


@dataclass
class ReportLinker:
    """Collects the statements of one report, sentence by sentence."""

    lexicon: Lexicon
    located: list[Located] = field(default_factory=list)
    #: findings whose denial at large and at a site are two statements
    apart: frozenset[str] = frozenset()
    #: positions in ``located`` of the sentence that named a place last
    _last: list[int] = field(default_factory=list)
    #: section, sentence and places of what was only referred to since
    _referred: tuple[str, int, list[Place]] = ("", 0, [])

    def add(
        self,
        statements: list[Statement],
        section: str,
        sentence: int,
        text: str,
        *,
        is_anaphoric: bool,
        loose_signals: dict[str, str],
        loose_size_mm: float | None = None,
        referred: Sequence[Place] = (),
        continued: tuple[Sequence[Place], str] = ((), "present"),
    ) -> None:
        """Take in the statements of the next sentence.

        Args:
            statements: as the sentence alone gives them.
            section: name of the section.
            sentence: number of the sentence in the report.
            text: the sentence.
            is_anaphoric: whether the sentence refers to a place spoken of before.
            loose_signals: signals for what was said before, used if the sentence says nothing itself.
            loose_size_mm: a size for what was said before, likewise.
            referred: places of what the sentence only refers to; what depends on a place may lie there.
            continued: places that hold one more of what the sentence before named, and whether that is certain.
        """
        if continued[0] and all(s.is_description or not s.is_positive for s in statements):
            statements = self._continued(*continued, section, sentence) or statements
        if not any(statement.is_positive for statement in statements):
            self._add_signals(loose_signals, section, sentence)
            self._add_size(loose_size_mm, section, sentence)
        recent = self._recent(section, sentence)
        placed = []
        for statement in statements:
            placed += self._place(statement, statements, recent, is_anaphoric)
        first = len(self.located)
        self.located += [Located(statement, section, sentence, text) for statement in placed]
        named = [first + i for i, s in enumerate(placed) if s.is_positive and (s.place.site or s.place.side)]
        self._last = named or self._last
        if referred and not named:
            self._last, self._referred = [], (section, sentence, list(referred))

    def finish(self) -> list[Located]:
        """The statements of the report, one for each finding, site, side and assertion."""
        located = self._explain(self._name_spots(self.located))
        located = [self._with_default_site(one) for one in located]
        located = without_vaguer(merged(located), self.apart)
        normal = self.lexicon.rules["descriptions"]["normal"]
        positive = {one.statement.finding for one in located if one.statement.is_positive}
        located = [one for one in located if not (one.statement.is_anatomy and one.statement.finding in positive)]
        return [one for one in located if one.statement.finding != normal or positive == {normal}]

    def _continued(self, places: Sequence[Place], assertion: str, section: str, sentence: int) -> list[Statement]:
        """What the sentence before named, at further places: "Others are in the pons"."""
        before = [one for one in self.located if (one.section, one.sentence) == (section, sentence - 1)]
        said = [one.statement for one in before if one.statement.assertion == "present"]
        named = {s.finding: s for s in said if s.is_description or self._rules(s).get("is_diagnosis")}
        solid = [s for s in named.values() if not self._rules(s).get("is_dependent")]
        return [
            replace(s, place=place, assertion=assertion, signals={}, size_mm=None, course=None, earlier_mm=None)
            for s in solid or {s.finding: s for s in said if self._rules(s).get("is_dependent")}.values()
            for place in places
        ]

    def _rules(self, statement: Statement) -> Any:
        return self.lexicon.findings[statement.finding].rules

    def _recent(self, section: str, sentence: int) -> list[Place]:
        near = [self.located[i] for i in self._last]
        near = [one for one in near if one.section == section and sentence - one.sentence <= _MAX_CARRY]
        if not near and self._referred[0] == section and sentence - self._referred[1] <= _MAX_CARRY:
            return self._referred[2]
        return self._without_fluid(list(dict.fromkeys(one.statement.place for one in near)))

    def _without_fluid(self, places: list[Place]) -> list[Place]:
        """Places in tissue if there are any, for what belongs to tissue rather than a ventricle."""
        tissue = [p for p in places if p.site and not self.lexicon.sites[p.site].rules.get("is_fluid")]
        return tissue or places

    def _place(
        self, statement: Statement, sentence: list[Statement], recent: list[Place], is_anaphoric: bool
    ) -> list[Statement]:
        rules = self._rules(statement)
        place = statement.place
        is_fixed = rules.get("is_site_fixed") and not (is_anaphoric and statement.is_positive and place.site)
        if rules.get("is_unsited") or is_fixed or statement.finding == self._normal():
            return [statement]
        twins_at = {s.place.site for s in sentence if s.finding == statement.finding and s.span == statement.span}
        if place.site is None and place.side and twins_at - {None}:  # 双侧大脑半球及左侧小脑多发结节
            return [statement]
        if place.site is None and statement.is_positive:
            inherited = self._inherited(statement, sentence, recent) or (recent if is_anaphoric else [])
            inherited = [one for one in inherited if place.side in (None, one.side)]
            if rules.get("is_of_neighbour") and len(inherited) > 1:
                return [statement]
            return [replace(statement, place=one) for one in inherited] or [statement]
        named = [s.place for s in sentence if s.is_positive and not s.is_description]
        twins = {one.side for one in named if one.side and one.site == place.site}
        if place.site and place.side is None and statement.assertion == "present" and len(twins) == 1:
            return [replace(statement, place=replace(place, side=twins.pop()))]
        beside = [s.place for s in sentence if s.is_positive and s.place.side and s.span < statement.span]
        sides = {one.side for one in beside or recent}
        is_open = place.site is not None and place.side is None and statement.is_positive
        if not is_open or len(sides) != 1 or not (is_anaphoric or rules.get("is_dependent")):
            return [statement]
        has_side = self.lexicon.sites[str(place.site)].rules.get("has_side", True)
        return [replace(statement, place=replace(place, side=sides.pop()))] if has_side else [statement]

    def _inherited(self, statement: Statement, sentence: list[Statement], recent: list[Place]) -> list[Place]:
        """Places for a positive statement without one: its sentence's, its own from before, or the open ones."""
        rules = self._rules(statement)
        if rules.get("is_diffuse"):
            return []
        placed = [s for s in sentence if s.is_positive and not self._rules(s).get("is_site_fixed")]
        if not rules.get("is_of_neighbour"):  # "swelling effaces the fourth ventricle"
            placed = [s for s in placed if not self._rules(s).get("is_of_neighbour")]
        beside = [s for s in placed if s.place.site] or [s for s in placed if s.place.side and s is not statement]
        if rules.get("is_widespread"):
            beside = [s for s in beside if s.is_description or s.finding == statement.finding]
        before = [s for s in beside if s.span < statement.span]
        if rules.get("is_diagnosis") and not rules.get("is_dependent") and not before:
            beside = [s for s in beside if s.is_description]
        before = [s for s in before if s.finding == statement.finding] or before
        if beside and not statement.is_description:
            solid = self._without_fluid([s.place for s in before or beside])
            hosts = [s for s in before or beside if s.place in solid]
            host = max(s.span for s in hosts) if before else min(s.span for s in hosts)
            return list(dict.fromkeys(s.place for s in hosts if s.span == host))
        earlier = [one.statement for one in self.located if one.statement.is_positive and one.statement.place.site]
        own = [s.place for s in earlier if s.finding == statement.finding]
        if own:
            return list(dict.fromkeys(own))
        if rules.get("is_dependent"):
            return recent
        open_ones = [s.place for s in earlier if s.is_description]
        if not open_ones and not rules.get("is_widespread"):
            open_ones = [s.place for s in earlier if self._rules(s).get("is_dependent")]
        return list(dict.fromkeys(open_ones)) if rules.get("is_diagnosis") else []

    def _add_signals(self, signals: dict[str, str], section: str, sentence: int) -> None:
        for index in self._last:
            one = self.located[index]
            if signals and one.section == section and sentence - one.sentence <= _MAX_CARRY:
                merged = replace(one.statement, signals={**signals, **one.statement.signals})
                self.located[index] = replace(one, statement=merged)

    def _add_size(self, size_mm: float | None, section: str, sentence: int) -> None:
        """Give a size to the one finding of the sentence before ("There is a mass. It measures 3 cm.")."""
        near = [
            i for i in self._last if self.located[i].section == section and sentence - self.located[i].sentence == 1
        ]
        if size_mm is None or len({self.located[i].statement.span for i in near}) != 1:
            return
        for index in near:
            one = self.located[index]
            if one.statement.size_mm is None:
                self.located[index] = replace(one, statement=replace(one.statement, size_mm=size_mm))

    def _normal(self) -> str:
        return self.lexicon.rules["descriptions"]["normal"]

    def _name_spots(self, located: list[Located]) -> list[Located]:
        """Give described spots in the white matter their code."""
        rules = self.lexicon.rules["descriptions"]
        named = [one.statement for one in located if self._is_named_diagnosis(one.statement)]
        is_disease = any(said.finding == rules["spots"] and said.assertion == "present" for said in named)
        others = {said.place for said in named if said.finding != rules["spots"]}
        renamed = []
        for one in map(self._beside_fluid, located):
            said = one.statement
            signals = [said.signals[s] for s in rules["spot_sequences"] if s in said.signals]
            is_bright = "high" in signals or not (said.signals or said.place in others)
            num_hints = said.place.is_white_matter + said.is_spots + is_disease
            if said.is_description and said.is_positive and is_bright and num_hints >= _MIN_HINTS:
                one = replace(one, statement=replace(said, finding=rules["spots"]))
            renamed.append(one)
        return renamed

    def _beside_fluid(self, one: Located) -> Located:
        """Move a lesion of tissue from a space of fluid to the tissue around it."""
        said = one.statement
        tissue = self.lexicon.sites[said.place.site].rules.get("tissue_site") if said.place.site else None
        is_tissue = said.is_description or said.finding == self.lexicon.rules["descriptions"]["spots"]
        if tissue is None or not is_tissue:
            return one
        return replace(one, statement=replace(said, place=Place(tissue, said.place.side, is_white_matter=True)))

    def _explain(self, located: list[Located]) -> list[Located]:
        """Drop descriptions of what a diagnosis at the same place names; it keeps their signals."""
        diagnoses: dict[tuple[str | None, str | None], int] = {}
        for index, one in enumerate(located):
            place = (one.statement.place.site, one.statement.place.side)
            if self._is_named_diagnosis(one.statement):
                diagnoses.setdefault(place, index)
                if one.statement.assertion == "present":
                    diagnoses[place] = index
        kept: dict[int, Located] = dict(enumerate(located))
        for index, one in enumerate(located):
            described = one.statement
            target = diagnoses.get((described.place.site, described.place.side))
            if described.is_description and described.is_positive and target is not None:
                said = kept[target].statement
                if index < target and self._is_there_anyway(described, said):
                    continue
                if said.finding == described.finding and said.assertion == "present":
                    continue
                signals = {**described.signals, **said.signals}
                merged = replace(said, signals=signals, course=said.course or described.course)
                kept[target] = replace(kept[target], statement=merged)
                del kept[index]
        return [kept[index] for index in sorted(kept)]

    def _is_named_diagnosis(self, said: Statement) -> bool:
        """Whether a lesion is called by its name, in doubt or not."""
        return said.is_positive and not said.is_description and explains_signal(self._rules(said), said)

    def _is_there_anyway(self, described: Statement, diagnosis: Statement) -> bool:
        """Whether only the name of a lesion is in doubt: "a bright focus, possibly an infarct".

        A doubtful disease of the white matter still explains a change of its signal that is no spot.
        """
        spots = self.lexicon.rules["descriptions"]["spots"]
        is_doubted = described.assertion == "present" and diagnosis.assertion == "uncertain"
        is_unlike = diagnosis.finding != spots or not described.place.is_white_matter
        return is_doubted and (is_unlike or described.finding == spots)

    def _with_default_site(self, one: Located) -> Located:
        place = one.statement.place
        default = self.lexicon.findings[one.statement.finding].default_site
        if place.site is not None or default is None:
            return one
        return replace(one, statement=replace(one.statement, place=replace(place, site=default)))
