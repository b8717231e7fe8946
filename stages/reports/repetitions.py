"""Statements that say again what another says."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import replace

from stages.reports.placement import Place
from stages.reports.utterances import Located, Statement


def merged(located: Iterable[Located]) -> list[Located]:
    """Keep one statement for each finding, site, side and assertion, with the signals of all."""
    by_key: dict[tuple, Located] = {}
    for one in located:
        said = one.statement
        key = (said.finding, said.place.site, said.place.side, said.assertion)
        if key not in by_key:
            by_key[key] = one
            continue
        kept = by_key[key].statement
        size_mm = kept.size_mm if kept.size_mm is not None else said.size_mm
        joined = replace(
            kept,
            signals={**said.signals, **kept.signals},
            size_mm=size_mm,
            course=kept.course or said.course,
            earlier_mm=kept.earlier_mm if kept.earlier_mm is not None else said.earlier_mm,
        )
        by_key[key] = replace(by_key[key], statement=joined)
    return list(by_key.values())


def without_vaguer(located: list[Located], apart: Set[str]) -> list[Located]:
    """Drop what another statement says more precisely or more firmly.

    Args:
        located: the statements of a report.
        apart: findings whose denials are kept beside more precise ones.
    """
    return [
        one
        for one in located
        if (one.statement.finding in apart and not one.statement.is_positive)
        or not any(_is_vaguer(one.statement, other.statement) for other in located)
    ]


def without_repeats(changes: Iterable[Statement], named: list[Statement]) -> list[Statement]:
    """Changes that say more than a finding with a place before them: "cerebellar atrophy with wide sulci"."""
    sited = [(one.finding, one.assertion, one.span) for one in named if one.place.site]
    return [
        one
        for one in changes
        if one.place != Place() or not any(s[:2] == (one.finding, one.assertion) and s[2] < one.span for s in sited)
    ]


def _is_vaguer(one: Statement, other: Statement) -> bool:
    if one is other or one.finding != other.finding or one.is_positive != other.is_positive:
        return False
    fits_site = one.place.site in (None, other.place.site)
    fits_side = one.place.side in (None, other.place.side)
    is_less = (one.place.site, one.place.side) != (other.place.site, other.place.side)
    is_weaker = one.assertion == "uncertain" and other.assertion == "present"
    is_firmer = one.assertion == "present" and other.assertion == "uncertain"
    return fits_site and fits_side and (is_weaker or (is_less and not is_firmer))
