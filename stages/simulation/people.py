"""Invented people: nobody here exists."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

# fmt: off
_SURNAMES = (
    "Abernathy", "Bexley", "Calloway", "Dunmore", "Eastwick", "Fairbourne", "Galbraith", "Hollingsworth",
    "Iverson", "Jessop", "Kingsley", "Lockhart", "Marchetti", "Northcote", "Okonkwo", "Pemberton",
    "Quillfeather", "Rasmussen", "Sokolova", "Thackeray", "Underhill", "Vasquez", "Winterbourne", "Yamamoto",
    "Zielinski", "Ouyang", "Zhuang", "Xiong", "Qiao", "Shen", "Murakami", "Lindqvist", "Adeyemi", "Haddad",
    "Kowalczyk", "Novotny",
)
_GIVEN_NAMES = {
    "F": (
        "Adelheid", "Beatrix", "Clementine", "Dorothea", "Eleonora", "Felicity", "Genevieve", "Henrietta",
        "Isolde", "Josephine", "Xiuying", "Mei",
    ),
    "M": (
        "Ambrose", "Bartholomew", "Cornelius", "Desmond", "Ebenezer", "Ferdinand", "Gideon", "Horatio",
        "Ignatius", "Jeremiah", "Jianguo", "Zhiqiang",
    ),
}
# fmt: on
_FIRST_DAY = date(2018, 1, 1)
_NUM_DAYS = 1800


@dataclass(frozen=True)
class Person:
    """A simulated patient at the first visit; ``name`` as DICOM writes it."""

    name: str
    number: str
    sex: str
    birth_date: date
    first_visit: date
    days_between_visits: int

    def visit_date(self, visit: int) -> date:
        """Date of a visit, counted from 0."""
        return self.first_visit + timedelta(days=visit * self.days_between_visits)


def draw_person(rng: np.random.Generator, age_years: float, number: str) -> Person:
    """Invent a patient of a given age.

    Args:
        rng: the patient's random stream.
        age_years: age at the first visit.
        number: the hospital's number for the patient.
    """
    sex = "F" if rng.random() < 0.5 else "M"
    surname = _SURNAMES[rng.integers(len(_SURNAMES))]
    given = _GIVEN_NAMES[sex][rng.integers(len(_GIVEN_NAMES[sex]))]
    first_visit = _FIRST_DAY + timedelta(days=int(rng.integers(_NUM_DAYS)))
    birth_date = first_visit - timedelta(days=int(age_years * 365.25) + int(rng.integers(300)))
    return Person(f"{surname}^{given}", number, sex, birth_date, first_visit, int(rng.integers(60, 500)))
