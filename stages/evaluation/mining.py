"""Labels of studies as their reports give them, for cohorts or studies without truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from stages.artifacts import tables, truth_tables

NORMAL = "normal"

Labels = dict[str, dict[str, int | None]]


def mine_labels(findings: pa.Table, reports: pa.Table) -> Labels:
    """Read labels off the statements of the used reports.

    A finding is 1 where a statement has it present and 0 where it is only ever denied; it is None (masked)
    where it is hedged or not mentioned. "Normal" alone denies nothing: only the findings that a report
    names are known. ``normal`` itself is 0 as soon as another finding is present.

    Args:
        findings: table of contract FINDINGS.
        reports: table of contract REPORTS.

    Returns:
        For each study with a used report, in the order of the reports, a label for every finding code
        that the cohort's reports use.
    """
    rows = _columns(reports, "row", "study_id", "status")
    used = {row: study_id for row, study_id, status in rows if status == "used"}
    said: dict[str, dict[str, set[str]]] = {study_id: {} for study_id in used.values()}
    for row, finding, assertion in _columns(findings, "row", "finding", "assertion"):
        if row in used:
            said[used[row]].setdefault(finding, set()).add(assertion)
    codes = sorted({finding for statements in said.values() for finding in statements})
    return {study_id: _labels_of(statements, codes) for study_id, statements in said.items()}


def label_table(truth: Iterable[Mapping[str, Any]], mined: Labels) -> pa.Table:
    """Table of contract LABELS: truth where it is known, what the report says for all other studies."""
    rows = [{**row, "source": "truth"} for row in truth]
    known = {row["study_id"] for row in rows}
    rows += [
        {"study_id": study_id, "finding": finding, "label": label, "source": "mined"}
        for study_id, labels in mined.items()
        if study_id not in known
        for finding, label in labels.items()
    ]
    return tables.from_rows(truth_tables.LABELS, rows)


def _labels_of(statements: Mapping[str, set[str]], codes: list[str]) -> dict[str, int | None]:
    labels = {code: _label(statements.get(code, set())) for code in codes}
    if NORMAL in labels and any(label == 1 for code, label in labels.items() if code != NORMAL):
        labels[NORMAL] = 0
    return labels


def _label(assertions: set[str]) -> int | None:
    if "present" in assertions:
        return 1
    return 0 if assertions == {"absent"} else None


def _columns(table: pa.Table, *names: str) -> Iterable[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
