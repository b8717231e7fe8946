"""The tables of a cohort that say who its patients are and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.artifacts import imaging_tables, report_tables, tables, truth_tables


@dataclass(frozen=True)
class Cohort:
    """Tables of images, reports and truth, each of the contract of its name."""

    ledger: pa.Table
    series: pa.Table
    volumes: pa.Table
    reports: pa.Table
    texts: pa.Table
    pairs: pa.Table
    #: linked studies, empty where the cohort knows no truth
    studies: pa.Table
    labels: pa.Table

    @classmethod
    def load(cls, converted: Path, volumes: Path, reports: Path, texts: Path, truth: Path) -> Cohort:
        """Read the tables from the folders of the stages that wrote them."""
        return cls(
            ledger=tables.read(converted / "ledger.parquet", imaging_tables.LEDGER),
            series=tables.read(converted / "series.parquet", imaging_tables.SERIES),
            volumes=tables.read(volumes / "volumes.parquet", imaging_tables.VOLUMES),
            reports=tables.read(reports / "reports.parquet", report_tables.REPORTS),
            texts=tables.read(texts / "texts.parquet", report_tables.TEXTS),
            pairs=tables.read(texts / "pairs.parquet", report_tables.PAIRS),
            studies=tables.read(truth / "studies.parquet", truth_tables.LINKED_STUDIES),
            labels=tables.read(truth / "labels.parquet", truth_tables.LABELS),
        )

    def patient_of(self) -> dict[str, str]:
        """Patient of every study that has images."""
        return dict(rows_of(self.series, "study_id", "patient_id"))

    def reported_studies(self) -> list[str]:
        """Studies with a used report, in the order in which the reports first bring them."""
        ordered = self.reports.sort_by("row")
        return list(dict.fromkeys(s for s, status in rows_of(ordered, "study_id", "status") if status == "used"))

    def declared_sets(self) -> dict[str, str]:
        """Set that the cohort gives a study: development, test or shifted."""
        return dict(rows_of(self.studies, "study_id", "set"))

    def vendors_of_patients(self) -> dict[str, set[str]]:
        """Vendors of the scanners that each patient was seen on."""
        return _gather(rows_of(self.series, "patient_id", "vendor"))

    def present_findings(self) -> dict[str, set[str]]:
        """Findings that each study is labelled with."""
        rows = rows_of(self.labels, "study_id", "finding", "label")
        return _gather((study_id, finding) for study_id, finding, label in rows if label == 1)

    def text_of(self) -> dict[int, str]:
        """Wording of every text."""
        return dict(rows_of(self.texts, "text_id", "text"))


def rows_of(table: pa.Table, *names: str) -> Iterator[Any]:
    """Iterate over the values of some columns, row by row."""
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _gather(items: Iterator[tuple[str, str]]) -> dict[str, set[str]]:
    sets: dict[str, set[str]] = {}
    for key, value in items:
        sets.setdefault(key, set()).add(value)
    return sets
