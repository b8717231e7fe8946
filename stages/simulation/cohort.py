"""The cohort: which patients, visits, scanners, sequences and readers there are.

Each study is drawn from random streams of its own, named by (seed, set, purpose, number): a larger
test set changes no development study, and a finer image changes no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from stages.params import Params
from stages.simulation.contrast import SEQUENCES, Protocol, draw_protocol
from stages.simulation.people import Person, draw_person
from stages.simulation.perception import NarrationParams

Key = TypeVar("Key", bound=Hashable)
SetName = Literal["development", "test", "shifted"]
Purpose = Literal["visits", "patient", "anatomy", "lesions", "study", "image", "text", "headers"]

_SETS: tuple[SetName, ...] = ("development", "test", "shifted")
_PURPOSES: tuple[Purpose, ...] = ("visits", "patient", "anatomy", "lesions", "study", "image", "text", "headers")
VENDORS = ("SIEMENS", "GE", "PHILIPS", "UIH")

# Groups of diseases that a department treats alike: which scanner, which sequences, which reader.
_GROUPS: Mapping[str, str] = {
    "acute_infarct": "stroke",
    "chronic_infarct": "stroke",
    "haemorrhage": "bleed",
    "glioma": "tumour",
    "meningioma": "tumour",
    "metastases": "tumour",
}
# Log-odds by which habits of the department depend on the disease group, at habit_strength 1.
_VENDOR_HABITS = {"stroke": {"GE": 0.5}, "tumour": {"SIEMENS": 0.5}, "bleed": {"PHILIPS": 0.5}}
_SEQUENCE_HABITS = {
    "stroke": {"DWI": 0.6},
    "bleed": {"SWI": 0.8, "T2": -0.3},
    "tumour": {"T1C": 0.7},
    "normal": {"T1C": -0.3, "DWI": -0.2},
}
_READER_HABITS = {"stroke": {1: 0.6}, "tumour": {2: 0.6}, "bleed": {3: 0.6}}


class CohortParams(Params):
    """How many studies of what kind are simulated, and how hard they are to tell apart."""

    seed: int = Field(description="seed of the development set")
    test_seed: int = Field(description="seed of the test and the shifted set")
    num_development: int = Field(ge=0)
    num_test: int = Field(ge=0)
    num_shifted: int = Field(ge=0)
    normal_share: float = Field(ge=0, le=1)
    second_visit_share: float = Field(ge=0, le=0.5)
    comorbid_share: float = Field(ge=0, le=1)
    diseases: dict[str, float] = Field(description="disease → relative frequency")
    comorbidities: dict[str, float] = Field(description="disease → relative frequency beside another")
    vendors: dict[str, dict[str, float]] = Field(description="set → vendor → share")
    sequences: dict[str, float] = Field(description="sequence → share of the studies; ADC among those with DWI")
    readers: dict[str, list[float]] = Field(description="set → share of each reader")
    habit_strength: float = Field(description="how much vendor, sequences and reader depend on disease")
    lesion_share: tuple[float, float] = Field(description="range of the tissue that a lesion replaces")
    variant_share: float = Field(ge=0, le=1, description="patients with each unreported normal variant")
    artefact_share: float = Field(ge=0, le=1, description="studies with each artefact that mimics disease")
    in_plane_mm: float = Field(gt=0)
    snr: tuple[float, float] = Field(description="range of the signal-to-noise ratio of white matter")
    narration: NarrationParams

    def count(self, name: SetName) -> int:
        """Number of studies of a set."""
        return {"development": self.num_development, "test": self.num_test, "shifted": self.num_shifted}[name]


@dataclass(frozen=True)
class StudyKey:
    """Names one study of the cohort: its set and its number there."""

    set: SetName
    index: int


@dataclass(frozen=True)
class Visit:
    """One study before any image: who, what for, and how it is acquired."""

    key: StudyKey
    patient_index: int
    number: int
    accession_number: str
    person: Person
    diseases: tuple[str, ...]
    vendor: str
    reader: int
    protocols: tuple[Protocol, ...]

    @property
    def age_years(self) -> float:
        """Age at the visit."""
        return (self.person.visit_date(self.number) - self.person.birth_date).days / 365.25


def study_keys(params: CohortParams) -> list[StudyKey]:
    """List every study of the cohort, set after set."""
    return [StudyKey(name, index) for name in _SETS for index in range(params.count(name))]


def stream(params: CohortParams, name: SetName, purpose: Purpose, index: int) -> np.random.Generator:
    """Open the random stream of one study or patient for one purpose."""
    seed = params.seed if name == "development" else params.test_seed
    return np.random.default_rng([seed, _SETS.index(name), _PURPOSES.index(purpose), index])


def draw_visit(params: CohortParams, key: StudyKey) -> Visit:
    """Draw everything about a study but its images and report."""
    number = int(_is_second_visit(params, key.set, key.index))
    patient_index = key.index - number
    diseases, person = _draw_patient(params, key.set, patient_index)
    rng = stream(params, key.set, "study", key.index)
    strength = -params.habit_strength if key.set == "shifted" else params.habit_strength
    group = _GROUPS.get(diseases[0], "other") if diseases else "normal"
    vendor = _choose(params.vendors[key.set], _VENDOR_HABITS.get(group, {}), strength, rng)
    readers = dict(enumerate(params.readers[key.set]))
    reader = _choose(readers, _READER_HABITS.get(group, {}), strength, rng)
    sequences = _draw_sequences(params.sequences, _SEQUENCE_HABITS.get(group, {}), strength, rng)
    field_t = 3.0 if rng.random() < 0.5 else 1.5
    protocols = tuple(draw_protocol(sequence, field_t, rng) for sequence in sequences)
    accession = digits(params, key.set, "accession", key.index, 9)
    return Visit(key, patient_index, number, accession, person, diseases, vendor, reader, protocols)


def digits(params: CohortParams, name: SetName, what: str, index: int, count: int) -> str:
    """Derive a number that looks arbitrary but is the same on every machine."""
    seed = params.seed if name == "development" else params.test_seed
    text = f"{seed}/{name}/{what}/{index}"
    return str(10**count + int(hashlib.sha256(text.encode()).hexdigest(), 16) % (9 * 10**count))


def _is_second_visit(params: CohortParams, name: SetName, index: int) -> bool:
    if index == 0 or stream(params, name, "visits", index).random() >= params.second_visit_share:
        return False
    return not _is_second_visit(params, name, index - 1)


def _draw_patient(params: CohortParams, name: SetName, index: int) -> tuple[tuple[str, ...], Person]:
    rng = stream(params, name, "patient", index)
    diseases: list[str] = []
    if rng.random() >= params.normal_share:
        diseases.append(_choose(params.diseases, {}, 0.0, rng))
        if rng.random() < params.comorbid_share:
            diseases.append(_choose(params.comorbidities, {}, 0.0, rng))
    is_elderly = bool({"atrophy", "white_matter_lesions", "ventriculomegaly"} & set(diseases))
    age_years = float(np.clip(rng.normal(60 if is_elderly else 55, 16), 18, 92))
    person = draw_person(rng, age_years, digits(params, name, "patient", index, 7))
    return tuple(dict.fromkeys(diseases)), person


def _choose(shares: Mapping[Key, float], habits: Mapping[Key, float], strength: float, rng: np.random.Generator) -> Key:
    """Draw a key by its share, some of them favoured by exp(strength · habit)."""
    names = list(shares)
    weights = np.array([shares[name] * np.exp(strength * habits.get(name, 0.0)) for name in names])
    return names[rng.choice(len(names), p=weights / weights.sum())]


def _draw_sequences(
    shares: Mapping[str, float], habits: Mapping[str, float], strength: float, rng: np.random.Generator
) -> list[str]:
    odds = {s: shares[s] / (1 - shares[s]) * np.exp(strength * habits.get(s, 0.0)) for s in SEQUENCES}
    chosen = [
        s for s, draw in zip(SEQUENCES, rng.random(len(SEQUENCES)), strict=True) if draw < odds[s] / (1 + odds[s])
    ]
    if "T2" not in chosen and "FLAIR" not in chosen:
        chosen.append("T2")
    return [s for s in SEQUENCES if s in chosen and (s != "ADC" or "DWI" in chosen)]
