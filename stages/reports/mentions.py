"""Rows of ``mentions.parquet``: what a report says of other times than its own examination."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stages.reports.utterances import Located

#: Sections that speak of other times, and the kind of what they mention.
REFERRING = {"history": "history", "comparison": "comparison"}


def mention_rows(row: int, study_id: str, statements: Sequence[Located], references: Sequence[Located]) -> list[dict]:
    """Rows of one report.

    Args:
        row: number of the report, as in ``reports.parquet``.
        study_id: its study.
        statements: in the order of ``findings.parquet``; those with a course or an earlier size have a row here.
        references: findings that make no statement; the kind stands in their ``assertion``.
    """
    common = {"row": row, "study_id": study_id}
    rows = [{**common, **entry} for number, one in enumerate(statements) for entry in _courses(number, one)]
    return rows + [{**common, "kind": one.statement.assertion, **placed(one)} for one in references]


def _courses(number: int, one: Located) -> Iterator[dict[str, Any]]:
    said = one.statement
    if said.course is not None or said.earlier_mm is not None:
        kind = said.course or REFERRING["comparison"]
        yield {"kind": kind, "statement": number, **placed(one), "size_mm": said.earlier_mm}


def placed(one: Located) -> dict[str, Any]:
    """What a statement says of which place, and where it stands."""
    said = one.statement
    return {
        "section": one.section,
        "sentence": one.sentence,
        "start": said.span[0],
        "end": said.span[1],
        "finding": said.finding,
        "site": said.place.site,
        "side": said.place.side,
    }
