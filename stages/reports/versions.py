"""Which of the versions of a report counts: corrected before final before preliminary, then the latest.

Versions are told apart only where the source says what a report is; without that all reports of a study
are read. An addendum that comes alone is appended to the report that it amends. A withdrawal takes back
whatever was said before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from stages.reports.sections import SectionReader, detect_language
from stages.reports.sources.base import VERSIONS, RawReport

_ADDENDUM = "addendum"
_CANCELLED = "cancelled"
_SUPERSEDED = "superseded"
# What counts as much as a final report: one whose source says only when it was issued.
_UNSAID = VERSIONS.index("final")


def choose_versions(reports: Iterable[RawReport], sections: SectionReader) -> list[RawReport]:
    """Give every report that another replaces its status.

    Args:
        reports: reports in the order of the input, one a study.
        sections: tells a report from an addendum without one.

    Returns:
        The same reports in the same order. Those that are not to be read have a ``problem``:
        ``cancelled``, ``superseded`` or, for an addendum that was appended to its report, ``appended``.
    """
    chosen = list(reports)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, report in enumerate(chosen):
        if report.version == _CANCELLED:
            chosen[index] = replace(report, problem=report.problem or _CANCELLED)
        is_read = report.problem is None and (report.text or "").strip()
        if report.accession_number and (is_read or report.version == _CANCELLED):
            groups[report.accession_number, report.report_id].append(index)
    for members in groups.values():
        if len(members) > 1 and any(chosen[index].version for index in members):
            _choose(chosen, _without_withdrawn(chosen, _in_order(chosen, members)), sections)
    return chosen


def _in_order(reports: Sequence[RawReport], members: Sequence[int]) -> list[int]:
    """Versions by the time when they were issued; by their place in the input where one does not say it."""
    if all(reports[index].issued for index in members):
        return sorted(members, key=lambda index: (reports[index].issued, index))
    return sorted(members)


def _without_withdrawn(reports: list[RawReport], ordered: Sequence[int]) -> list[int]:
    """Set aside what a withdrawal follows; the versions after the last one are left."""
    num_gone = max(
        (place + 1 for place, index in enumerate(ordered) if reports[index].version == _CANCELLED), default=0
    )
    for index in ordered[:num_gone]:
        reports[index] = replace(reports[index], problem=reports[index].problem or _SUPERSEDED)
    return list(ordered[num_gone:])


def _choose(reports: list[RawReport], ordered: Sequence[int], sections: SectionReader) -> None:
    """Set all versions aside but the one that counts, which takes in the addenda that follow it."""
    addenda = {index for index in ordered if _is_addendum(reports[index], sections)}
    places = {index: place for place, index in enumerate(ordered) if index not in addenda}
    if not places:
        return
    kept = max(places, key=lambda index: (_rank(reports[index]), places[index]))
    following = [index for index in ordered[places[kept] :] if index in addenda]
    for index in ordered:
        if index != kept:
            reports[index] = replace(reports[index], problem=_SUPERSEDED)
    for index in following:
        reports[index] = replace(reports[index], problem="appended")
    texts = [reports[kept].text or "", *(_headed(reports[index].text or "", sections) for index in following)]
    names = dict.fromkeys(name for index in (kept, *following) for name in reports[index].names)
    reports[kept] = replace(reports[kept], text="\n".join(texts), names=tuple(names))


def _rank(report: RawReport) -> int:
    return VERSIONS.index(report.version) if report.version else _UNSAID


def _is_addendum(report: RawReport, sections: SectionReader) -> bool:
    """Whether a report is an addendum alone: by its status, or since it reports in an addendum only."""
    names = _reported(report.text or "", sections)
    return report.version == _ADDENDUM and not names & {"findings", "impression"} or names == {_ADDENDUM}


def _reported(text: str, sections: SectionReader) -> set[str]:
    found = {section.name for section in sections.read(text, detect_language(text))}
    return found & {"body", "findings", "impression", _ADDENDUM}


def _headed(text: str, sections: SectionReader) -> str:
    """The text of an addendum under its header."""
    return text if _ADDENDUM in _reported(text, sections) else f"ADDENDUM:\n{text}"
