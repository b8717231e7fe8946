"""Which of the versions of a report counts: corrected before final before preliminary, then the latest.

Versions are told apart only where the source says what a report is; without that all reports of a study
are read. An addendum that comes alone is appended to the report that it amends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from stages.reports.sections import SectionReader, detect_language
from stages.reports.sources.base import VERSIONS, RawReport

_ADDENDUM = "addendum"
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
        if report.version == "cancelled":
            chosen[index] = replace(report, problem=report.problem or "cancelled")
        elif report.problem is None and report.accession_number and (report.text or "").strip():
            groups[report.accession_number, report.report_id].append(index)
    for members in groups.values():
        if len(members) > 1 and any(chosen[index].version for index in members):
            _choose(chosen, members, sections)
    return chosen


def _choose(reports: list[RawReport], members: Sequence[int], sections: SectionReader) -> None:
    """Set all versions aside but the one that counts, which takes in the addenda that follow it."""
    ordered = sorted(members, key=lambda index: (reports[index].issued, index))
    addenda = [index for index in ordered if _is_addendum(reports[index], sections)]
    whole = [index for index in ordered if index not in addenda]
    if not whole:
        return
    kept = max(whole, key=lambda index: (_rank(reports[index]), reports[index].issued, index))
    for index in whole:
        if index != kept:
            reports[index] = replace(reports[index], problem="superseded")
    texts = [reports[kept].text or ""]
    for index in addenda:
        texts.append(_headed(reports[index].text or "", sections))
        reports[index] = replace(reports[index], problem="appended")
    names = dict.fromkeys(name for index in (kept, *addenda) for name in reports[index].names)
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
