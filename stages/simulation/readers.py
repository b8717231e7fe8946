"""Who writes the simulated reports, and on what letterhead."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache

import numpy as np

from stages.params import Params
from stages.simulation.grammar import Grammar
from stages.simulation.phrases import Values, read_phrases, sequence_gates
from stages.simulation.truth import Study

_AMERICAN = {
    "haem": "hem",
    "oedema": "edema",
    "ischaem": "ischem",
    "tumour": "tumor",
    "centred": "centered",
    "grey": "gray",
}
_BRITISH_WORD = re.compile("|".join(_AMERICAN), re.IGNORECASE)


class LanguageHabits(Params):
    """What a reader does in one language; ``sections`` gives titles in their order."""

    sections: dict[str, str]
    dates: str
    is_american: bool = False
    is_half_width: bool = False


class Reader(Params):
    """The style of one reader."""

    layout: str
    negatives: tuple[int, int]
    lesions_first: bool
    is_numbered: bool = False
    header: str
    signature: str
    en: LanguageHabits
    zh: LanguageHabits

    def habits(self, language: str) -> LanguageHabits:
        """Return the habits in a language."""
        return self.zh if language == "zh" else self.en


class Region(Params):
    """One line of an itemised report."""

    title: str
    normal: tuple[str, ...]


class Stationery(Params):
    """Everything a language needs for a report beside its lesions."""

    rules: dict[str, tuple[str, ...]]
    held_out: dict[str, tuple[str, ...]]
    negatives: dict[str, tuple[str, ...]]
    negative_terms: dict[str, tuple[str, ...]]
    list_joiners: tuple[str, str]
    regions: dict[str, Region]
    technique_names: dict[str, str]
    technique_joiners: tuple[str, str]
    sexes: dict[str, str]
    people: dict[str, str]
    honorifics: dict[str, str]

    def grammar(self, held_out_share: float) -> Grammar:
        """Return the rules that write the sentences of a report that are about no lesion."""
        return Grammar(self.rules, self.held_out, held_out_share)


@cache
def load_readers() -> tuple[Reader, ...]:
    """Load the styles of the readers."""
    return tuple(Reader.model_validate(one) for one in read_phrases("readers"))


@cache
def load_stationery(language: str) -> Stationery:
    """Load the report phrases of a language (``en`` or ``zh``)."""
    return Stationery.model_validate(read_phrases(f"reports_{language}"))


def study_values(study: Study, language: str, rng: np.random.Generator) -> Values:
    """Return what letterhead, history and technique are filled with, taken from the study."""
    stationery = load_stationery(language)
    dates = load_readers()[study.reader].habits(language).dates
    sex = study.sex if study.sex in stationery.sexes else "O"
    return {
        **sequence_gates(study.sequences),
        "name": _name(study.patient_name, language, rng),
        "named": f"{stationery.honorifics[sex]}{' ' * (language == 'en')}{_family(study.patient_name, language)}",
        "number": study.patient_number,
        "accession": study.accession_number,
        "birth": study.birth_date.strftime(dates),
        "age": str(int(study.age_years)),
        "sex": stationery.sexes[sex],
        "person": stationery.people[sex],
        "exam_date": study.study_date.strftime(dates),
        "report_date": (study.study_date + timedelta(days=int(rng.integers(3)))).strftime(dates),
        "prior_date": (study.study_date - timedelta(days=int(rng.integers(30, 900)))).strftime(dates),
        "sequences": join(
            [stationery.technique_names[name] for name in study.sequences if name in stationery.technique_names],
            stationery.technique_joiners,
        ),
    }


def join(terms: list[str], joiners: tuple[str, str]) -> str:
    """List terms with one joiner between them and another before the last."""
    between, last = joiners
    return last.join([between.join(terms[:-1]), terms[-1]] if len(terms) > 1 else terms)


def americanise(text: str) -> str:
    """Turn British spelling into American."""

    def replaced(match: re.Match[str]) -> str:
        word = _AMERICAN[match.group().lower()]
        return word.capitalize() if match.group()[0].isupper() else word

    return _BRITISH_WORD.sub(replaced, text)


def _components(patient_name: str, language: str) -> list[str]:
    """Split a DICOM person name, in Han characters where it has them and the report is Chinese."""
    groups = [group for group in patient_name.split("=") if group]
    return groups[min(1, len(groups) - 1) if language == "zh" else 0].split("^")


def _family(patient_name: str, language: str) -> str:
    parts = _components(patient_name, language)
    return "".join(parts) if language == "zh" and not parts[0].isascii() else parts[0].title()


def _name(patient_name: str, language: str, rng: np.random.Generator) -> str:
    family, *given = _components(patient_name, language)
    if not family.isascii():
        return "".join((family, *given))
    forms = ("^".join((family, *given)), " ".join((*given, family)).title(), f"{family.upper()}, {' '.join(given)}")
    return forms[rng.integers(3)] if given else family
