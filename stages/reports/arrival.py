"""From reports as they arrive to one a study: markup off, joint reports parted, versions chosen."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from stages.artifacts.identity import SiteKey
from stages.reports.lexicon import Lexicon
from stages.reports.sections import SectionReader
from stages.reports.sources.base import RawReport, Source
from stages.reports.sources.markup import plain_text
from stages.reports.versions import choose_versions

# Longer than any report of an examination: whole books, tables of many reports, images as digits.
_MAX_CHARACTERS = 1 << 20
_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*+\n){3,}+")
_RULES = re.compile(r"([^\w\s]|_)\1{200,}+")


def arrange(
    reports: Iterable[RawReport], key: SiteKey, studies: frozenset[str] | None, lexicon: Lexicon, source: Source
) -> list[RawReport]:
    """Bring reports into the order and number in which they are read, one for every study that each reports.

    Args:
        reports: in the order of the input.
        key: the site's key.
        studies: ids of the studies with images; ``None`` if not known.
        lexicon: its section words.
        source: how the input was read.

    Returns:
        Reports numbered from 0, with the number of their record; they are held whole, since a version
        may come at the end that replaces the first.
    """
    parted = (one for report in reports for one in _by_study(_without_markup(report), key, studies, source))
    numbered = [replace(one, row=row, record=one.row) for row, one in enumerate(parted)]
    return choose_versions(numbered, SectionReader(lexicon))


def _without_markup(report: RawReport) -> RawReport:
    """The report as plain text, long stretches of blank lines and of one mark cut; none if it is too long."""
    text = plain_text(report.text)
    if text is not None:
        text = _RULES.sub(r"\1\1\1", _BLANK_LINES.sub("\n\n\n", text))
    if text is not None and len(text) > _MAX_CHARACTERS:
        text = None
    problem = "unreadable" if text is None and report.text is not None else report.problem
    return replace(report, text=text, problem=problem)


def _by_study(report: RawReport, key: SiteKey, studies: frozenset[str] | None, source: Source) -> Iterator[RawReport]:
    """The report once for each of its studies; those without images are left out where others have some.

    A list of accession numbers in one value counts as a list only if studies with these numbers exist:
    a number may itself hold a comma or a slash.
    """
    numbers = (report.accession_number, *report.other_accessions)
    if studies is not None:
        numbers = tuple(one for number in numbers for one in _listed(number, key, studies, source)) or numbers
        known = tuple(number for number in numbers if key.study_id(number) in studies)
        numbers = known or numbers[:1]
    for number in dict.fromkeys(numbers):
        yield replace(report, accession_number=number, other_accessions=())


def _listed(number: str, key: SiteKey, studies: frozenset[str], source: Source) -> tuple[str, ...]:
    if key.study_id(number) in studies or not source.accession_separators:
        return (number,)
    parts = tuple(filter(None, re.split(f"[{re.escape(source.accession_separators)}]+", number)))
    return parts if any(key.study_id(part) in studies for part in parts) else (number,)
