"""Reports out of FHIR JSON: DiagnosticReport resources alone, in bundles or in bulk exports (NDJSON).

What a report refers to (orders, studies, patients, practitioners, observations) is looked up among the
other resources of the export, in whichever file they lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.reports.sources.base import Columns, RawReport, Source, broken
from stages.reports.sources.fhir_report import Linked, ReportResource
from stages.reports.sources.files import Export
from stages.reports.sources.json_values import json_values

_BROKEN: dict[str, Any] = {"resourceType": ""}


def read_fhir(export: Export, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read every DiagnosticReport of a file or folder; what is no FHIR resource is a row of its own.

    Files with reports are read twice, since what a report refers to may come after it.

    Raises:
        ValueError: if a bundle or list is too large to be held.
    """
    linked: dict[str, Linked] = {}
    files = [file for file in export.tables if _gather(file, source, linked)]
    reader = ReportResource(linked, source.fhir_accession_system, source.encoding)
    number = 0
    for file in files:
        for _, resource in _resources(file, source.encoding):
            if _is_report(resource):
                yield reader.report(number, resource) if resource["resourceType"] else broken(number)
                number += 1


def _gather(file: Path, source: Source, linked: dict[str, Linked]) -> bool:
    """Collect what reports may refer to in a file, and tell whether it gives rows."""
    has_reports = False
    for url, resource in _resources(file, source.encoding):
        if _is_report(resource):
            has_reports = True
        else:
            entry = Linked.of(resource, source.fhir_accession_system)
            linked |= dict.fromkeys([f"{resource['resourceType']}/{resource.get('id')}", *filter(None, [url])], entry)
    return has_reports


def _is_report(resource: dict[str, Any]) -> bool:
    return resource["resourceType"] in {"", "DiagnosticReport"}


def _resources(file: Path, encoding: str | None) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Address in its bundle and content of every resource of a file; a broken one if it holds nothing."""
    is_empty = True
    for value in json_values(file, encoding):
        is_empty = False
        yield from _flat(None, value)
    if is_empty:
        yield None, _BROKEN


def _flat(url: str | None, resource: Any) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """A resource, or those of a bundle or list."""
    if isinstance(resource, list):
        for one in resource:
            yield from _flat(None, one)
    elif not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        yield None, _BROKEN
    elif resource["resourceType"] == "Bundle":
        entries = resource.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and entry.get("resource") is not None:
                address = entry.get("fullUrl")
                yield from _flat(address if isinstance(address, str) else None, entry["resource"])
    else:
        yield url, resource
