"""Write the radiology report of a simulated study."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stages.simulation import phrases, readers
from stages.simulation.grammar import Grammar
from stages.simulation.perception import NarrationParams, Perception, Statement, perceive
from stages.simulation.truth import Study

DEFAULT_PARAMS = NarrationParams()

_MAX_IMPRESSIONS = 4
_SENTENCE_START = re.compile(r"(^|\n|[.?] +)([a-z])")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeioAEIO]|8|11[ .]|18 |SWI\b|MR)")
_FULL_WIDTH = str.maketrans(",:;?()", "\uff0c\uff1a\uff1b\uff1f\uff08\uff09")


def write_report(study: Study, rng: np.random.Generator, params: NarrationParams = DEFAULT_PARAMS) -> tuple[str, str]:
    """Write the report of a study as its reader would: in a style, with errors, in English or Chinese.

    Args:
        study: what is true, and who reads it.
        rng: source of every choice of content and words.
        params: how imperfect the reports are.

    Returns:
        The report, with letterhead and section titles, and its language (``en`` or ``zh``).
    """
    perception = perceive(study, rng, params)
    language = "zh" if rng.random() < params.chinese_share else "en"
    return _Writer.start(study, perception, language, rng, params).report(), language


@dataclass(frozen=True)
class _Writer:
    """One report in the making."""

    study: Study
    perception: Perception
    language: str
    rng: np.random.Generator
    params: NarrationParams
    reader: readers.Reader
    stationery: readers.Stationery
    grammar: Grammar
    values: phrases.Values
    held_out_share: float
    is_macro: bool

    @classmethod
    def start(
        cls, study: Study, perception: Perception, language: str, rng: np.random.Generator, params: NarrationParams
    ) -> _Writer:
        """Lay out what the report will need."""
        stationery = readers.load_stationery(language)
        held_out_share = 0.0 if study.set == "development" else params.held_out_share
        return cls(
            study=study,
            perception=perception,
            language=language,
            rng=rng,
            params=params,
            reader=readers.load_readers()[study.reader],
            stationery=stationery,
            grammar=stationery.grammar(held_out_share),
            values=readers.study_values(study, language, rng),
            held_out_share=held_out_share,
            is_macro=not perception.statements and rng.random() < params.normal_macro_share,
        )

    def report(self) -> str:
        """Write the whole report."""
        habits = self.reader.habits(self.language)
        writers: dict[str, Callable[[], str]] = {
            "exam": lambda: self._rule("exam"),
            "history": self._history,
            "technique": lambda: self._rule("technique"),
            "comparison": lambda: self._rule("comparison"),
            "findings": self._findings,
            "impression": self._impression,
        }
        lines = [self._rule(self.reader.header)]
        for section, title in habits.sections.items():
            body = _polish(writers[section]()) if self.language == "en" else writers[section]()
            if habits.is_american and section != "history":
                body = readers.americanise(body)
            lines.append(title + body if body else "")
        lines.append(self._rule(self.reader.signature))
        text = "\n".join(line for line in lines if line)
        return text if self.language == "en" or habits.is_half_width else text.translate(_FULL_WIDTH)

    def _rule(self, name: str) -> str:
        return self.grammar.write(f"{{{name}}}", self.values, self.rng)

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _history(self) -> str:
        return self._rule("history_named" if self._chance(self.params.name_share) else "history")

    def _findings(self) -> str:
        if self.perception.is_uninformative:
            return self._rule("uninformative")
        if self.is_macro:
            return self._rule(f"normal_{self.study.reader}")
        if self.reader.layout == "itemised":
            return self._itemised()
        lesions = self._lesion_sentences()
        negatives = self._negatives()
        has_rest = bool(lesions) and self._chance(self.reader.negatives[1] / 8)
        lesions += [self._rule("rest")] if has_rest else []
        sentences = lesions + negatives if self.reader.lesions_first else negatives + lesions
        return self._join(self._asides(first=True) + sentences + self._asides(first=False))

    def _asides(self, *, first: bool) -> list[str]:
        """Write what no image shows: references to history before, things outside the brain after the findings."""
        name, share = (
            ("history_reference", self.params.history_share) if first else ("incidental", self.params.incidental_share)
        )
        return [self._rule(name)] if self._chance(share) else []

    def _lesion_sentences(self) -> list[str]:
        told: set[str] = set()
        sentences = []
        for statement in self.perception.statements:
            lesion = statement.lesion
            is_further = lesion.finding + lesion.subtype in told and self._chance(0.6)
            told.add(lesion.finding + lesion.subtype)
            sentences.append(self._lesion(statement, is_further=is_further))
        return sentences

    def _lesion(self, statement: Statement, *, is_further: bool = False) -> str:
        if statement.is_hedged:
            return self._say(statement, "hedged")
        layout = self.reader.layout
        return self._say(statement, "further" if is_further and layout == "sentence" else layout)

    def _say(self, statement: Statement, rule: str) -> str:
        book = phrases.load_phrasebook(self.language)
        kind = book.kind(statement.lesion)
        grammar = book.grammar(kind, self.held_out_share)
        values = phrases.lesion_values(statement.lesion, kind, book, self.study.sequences, self.rng)
        if rule == "further" and "sentence" in kind.rules:
            rule = "sentence"
        return grammar.write(f"{{{rule}}}", values, self.rng)

    def _negatives(self) -> list[str]:
        """Deny some of what is not there, and add boilerplate, as much as the reader is used to."""
        low, high = self.reader.negatives
        num = int(self.rng.integers(low, high + 1)) or int(not self.perception.statements)
        deniable = self._deniable(self.stationery.negatives)
        chosen = [str(name) for name in self.rng.permutation(deniable)[:num]]
        listed = [name for name in chosen if name in self._deniable(self.stationery.negative_terms)]
        is_listed = len(listed) > 1 and self._chance(0.5)
        sentences = [
            self._pick(self.stationery.negatives[name]) for name in chosen if not is_listed or name not in listed
        ]
        if is_listed:
            terms = [self._pick(self.stationery.negative_terms[name]) for name in listed]
            sentences.insert(0, self._list(terms))
        return sentences + ([self._rule("boilerplate")] if self._chance(num / 8) else [])

    def _list(self, terms: list[str]) -> str:
        joined = readers.join(terms, self.stationery.list_joiners)
        return self.grammar.write("{negative_list}", {**self.values, "terms": joined}, self.rng)

    def _deniable(self, texts: dict[str, tuple[str, ...]]) -> list[str]:
        """Findings that this report may deny, since it reports nothing of the kind."""
        contradicted = self._contradicted()
        return [
            name
            for name, options in texts.items()
            if name not in contradicted and any(self.grammar.can_write(one, self.values) for one in options)
        ]

    def _contradicted(self) -> set[str]:
        lesions = [statement.lesion for statement in self.perception.statements]
        findings = {lesion.finding for lesion in lesions}
        implied = {
            "restricted_diffusion": any(lesion.signals.get("DWI") == "high" for lesion in lesions),
            "enhancement": any(lesion.signals.get("T1C") in ("high", "mixed") for lesion in lesions),
            "ventriculomegaly": "atrophy" in findings,
            "atrophy": "ventriculomegaly" in findings,
            "mass": "cyst" in findings,
            "mass_effect": bool(findings & {"mass", "midline_shift"}),
            "white_matter_lesion": bool(lesions),
        }
        return findings | {name for name, is_implied in implied.items() if is_implied}

    def _pick(self, options: tuple[str, ...]) -> str:
        fitting = [one for one in options if self.grammar.can_write(one, self.values)]
        return self.grammar.write(fitting[self.rng.integers(len(fitting))], self.values, self.rng)

    def _itemised(self) -> str:
        """Write one line a region: its lesions, or that it is normal."""
        lines: dict[str, list[str]] = {name: [] for name in self.stationery.regions}
        for statement in self.perception.statements:
            lines[_region(statement)].append(self._lesion(statement))
        rows = []
        for name, region in self.stationery.regions.items():
            body = self._join(lines[name]) or self._pick(region.normal)
            rows.append(f"{region.title}: {_polish(body)}" if self.language == "en" else f"{region.title}:{body}")
        return "\n".join(rows + self._negatives() * bool(self.perception.statements))

    def _impression(self) -> str:
        if self.perception.is_uninformative:
            return ""
        if not self.perception.statements:
            return self._rule(f"normal_impression_{self.study.reader}" if self.is_macro else "no_impression")
        statements = self.perception.statements[:_MAX_IMPRESSIONS]
        lines = [self._say(one, "doubtful" if one.is_hedged else "impression") for one in statements]
        lines = [_polish(line) if self.language == "en" else line + "。" for line in dict.fromkeys(lines)]
        if self.reader.is_numbered:
            return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, start=1))
        return self._join(lines)

    def _join(self, sentences: list[str]) -> str:
        return ("" if self.language == "zh" else " ").join(sentences)


def _region(statement: Statement) -> str:
    lesion = statement.lesion
    if lesion.finding in ("mass_effect", "midline_shift"):
        return "midline"
    if lesion.finding == "ventriculomegaly":
        return "ventricles"
    return "extra_axial" if lesion.site == "extra_axial" else "parenchyma"


def _polish(text: str) -> str:
    """Capitalise sentences, choose between a and an, drop doubled spaces."""
    text = re.sub(r" +", " ", text).strip().replace(" ,", ",")
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE_START.sub(lambda match: match.group(1) + match.group(2).upper(), text)
