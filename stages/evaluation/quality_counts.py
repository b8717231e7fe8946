"""What a cohort holds and what was lost on the way, counted for a look at its quality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
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
    """One cell: how many, and of how many patients where that is known."""

    about: str
    group: str
    count: int
    patients: int | None

    def shown(self, smallest: int) -> dict[str, str | int]:
        """Row of ``counts.csv``; a count of fewer than ``smallest`` patients (or cases, if those are not known)."""
        people = self.count if self.patients is None else self.patients
        is_small = 0 < people < smallest
        patients: str | int = "" if self.patients is None else self.patients
        values = (f"<{smallest}", f"<{smallest}" if self.patients is not None else "") if is_small else None
        count, patients = values or (self.count, patients)
        return {"about": self.about, "group": self.group, "count": count, "patients": patients}


def count_all(cohort: QualityTables) -> list[Count]:
    """Count files, series, volumes, reports and statements by what a look at quality asks for."""
    patient_of = dict(rows_of(cohort.series, "study_id", "patient_id"))
    files = Counter(reason or status for status, reason in rows_of(cohort.ledger, "status", "reason"))
    series = list(rows_of(cohort.series, "sequence", "vendor", "patient_id"))
    volumes = rows_of(cohort.volumes, "sequence", "is_selected", "patient_id")
    reports = rows_of(cohort.reports, "status", "study_id")
    findings = rows_of(cohort.findings, "finding", "assertion", "study_id")
    return [
        *(Count(FILES, group, count, None) for group, count in _by_size(files)),
        *_count(SERIES, ((sequence, patient) for sequence, _, patient in series)),
        *_count(VENDORS, ((vendor, patient) for _, vendor, patient in series)),
        *_count(VOLUMES, ((sequence, patient) for sequence, is_selected, patient in volumes if is_selected)),
        *_count(REPORTS, ((status, patient_of.get(study, study)) for status, study in reports)),
        *_count(
            STATEMENTS, ((f"{finding}, {said}", patient_of.get(study, study)) for finding, said, study in findings)
        ),
    ]


def _count(about: str, members: Iterable[tuple[str, Hashable]]) -> list[Count]:
    """Count members of each group and the patients among them, the largest group first."""
    counts: Counter[str] = Counter()
    patients: dict[str, set[Hashable]] = {}
    for group, patient in members:
        counts[group] += 1
        patients.setdefault(group, set()).add(patient)
    return [Count(about, group, count, len(patients[group])) for group, count in _by_size(counts)]


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
