"""What is true of a simulated study; images and report are both made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True)
class Lesion:
    """One lesion (or diffuse finding), in the codes of the head-MRI lexicon."""

    finding: str
    subtype: str
    site: str | None
    side: str | None
    size_mm: float
    volume_ml: float
    #: sequence → high, low, iso or mixed, for every sequence of the study
    signals: dict[str, str]
    #: how clearly it stands out, 0 to 1; readers hedge as it falls
    conspicuity: float


@dataclass(frozen=True)
class Study:
    """One simulated study of one patient; names and numbers are invented."""

    accession_number: str
    patient_name: str
    patient_number: str
    birth_date: date
    sex: str
    age_years: float
    study_date: date
    #: development, test or shifted
    set: str
    vendor: str
    sequences: tuple[str, ...]
    reader: int
    lesions: tuple[Lesion, ...] = field(default_factory=tuple)

    @property
    def is_normal(self) -> bool:
        """Whether nothing is to be reported."""
        return not self.lesions
