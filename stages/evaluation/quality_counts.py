"""What a cohort holds and what was lost on the way, counted for a look at its quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from stages.evaluation.cohort import rows_of

COLUMNS = ("about", "group", "count", "patients")

# What is counted, in the words of the page.
FILES, SERIES, VENDORS, VOLUMES, REPORTS, STATEMENTS = (
    "files by what became of them",
    "series by sequence",
    "series by vendor",
    "volumes in use by sequence",
    "reports by status",
    "statements by finding and assertion",
)


@dataclass(frozen=True)
class QualityTables:
    """The tables that a cohort is counted from, each of the contract of its name."""

    ledger: pa.Table
    series: pa.Table
    volumes: pa.Table
    reports: pa.Table
    findings: pa.Table


@dataclass(frozen=True)
class Count:
    """One cell: how many, and of how many patients.

    Attributes:
        about: what is counted.
        group: the cell.
        count: how many there are.
        patients: patients that are known to be among them; there may be more if ``is_complete`` is false.
        is_complete: whether the patient of each is known. Files that were not converted and reports without images
            are of nobody known: forty of them may be of one patient.
    """

    about: str
    group: str
    count: int
    patients: int
    is_complete: bool

    def shown(self, smallest: int) -> dict[str, str | int]:
        """Row of ``counts.csv``; withheld if fewer than ``smallest`` patients are known to be behind it."""
        if self.patients >= smallest:
            values: tuple[str | int, str | int] = (self.count, self.patients if self.is_complete else "")
        elif self.is_complete:
            values = (f"<{smallest}", f"<{smallest}")
        else:
            values = ("withheld", "")
        return {"about": self.about, "group": self.group} | dict(zip(("count", "patients"), values, strict=True))


def count_all(cohort: QualityTables) -> list[Count]:
    """Count files, series, volumes, reports and statements by what a look at quality asks for."""
    of_study = dict(rows_of(cohort.series, "study_id", "patient_id"))
    of_series = dict(rows_of(cohort.series, "series_id", "patient_id"))
    files = rows_of(cohort.ledger, "status", "reason", "series_id")
    series = list(rows_of(cohort.series, "sequence", "vendor", "patient_id"))
    volumes = rows_of(cohort.volumes, "sequence", "is_selected", "patient_id")
    reports = rows_of(cohort.reports, "status", "study_id")
    findings = rows_of(cohort.findings, "finding", "assertion", "study_id")
    return [
        *_count(FILES, ((reason or status, of_series.get(name)) for status, reason, name in files)),
        *_count(SERIES, ((sequence, patient) for sequence, _, patient in series)),
        *_count(VENDORS, ((vendor, patient) for _, vendor, patient in series)),
        *_count(VOLUMES, ((sequence, patient) for sequence, is_selected, patient in volumes if is_selected)),
        *_count(REPORTS, ((status, of_study.get(study)) for status, study in reports)),
        *_count(STATEMENTS, ((f"{finding}, {said}", of_study.get(study)) for finding, said, study in findings)),
    ]


def _count(about: str, members: Iterable[tuple[str, str | None]]) -> list[Count]:
    """Count members of each group and the known patients among them, the largest group first."""
    counts: Counter[str] = Counter()
    patients: dict[str, set[str | None]] = {}
    for group, patient in members:
        counts[group] += 1
        patients.setdefault(group, set()).add(patient)
    return [
        Count(about, group, count, len(patients[group] - {None}), is_complete=None not in patients[group])
        for group, count in _by_size(counts)
    ]


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
