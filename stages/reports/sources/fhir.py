"""Reports out of FHIR JSON: DiagnosticReport resources alone, in bundles or in bulk exports (NDJSON).

What a report refers to (orders, studies, patients, practitioners, observations) is looked up among the
other resources of the export, in whichever file they lie.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.reports.sources.base import Columns, RawReport, Source, broken, files_below, read_bytes
from stages.reports.sources.encodings import decode
from stages.reports.sources.fhir_report import Linked, ReportResource

_BROKEN: dict[str, Any] = {"resourceType": ""}
_SUFFIXES = (".json", ".ndjson", ".jsonl", ".gz", ".fhir", "")


def read_fhir(path: Path, columns: Columns, source: Source) -> Iterator[RawReport]:
    """Read every DiagnosticReport of a file or folder; what is no FHIR resource is a row of its own.

    The files are read twice: for what reports refer to, and for the reports.
    """
    files = [file for file in files_below(path) if file == path or file.suffix.lower() in _SUFFIXES]
    linked: dict[str, Linked] = {}
    for file in files:
        for url, resource in _resources(file):
            if resource["resourceType"] not in {"", "DiagnosticReport"}:
                entry = Linked.of(resource, source.fhir_accession_system)
                linked |= dict.fromkeys(
                    [f"{resource['resourceType']}/{resource.get('id')}", *filter(None, [url])], entry
                )
    reader = ReportResource(linked, source.fhir_accession_system)
    number = 0
    for file in files:
        for _, resource in _resources(file):
            if resource["resourceType"] in {"", "DiagnosticReport"}:
                yield reader.report(number, resource) if resource["resourceType"] else broken(number)
                number += 1


def _resources(file: Path) -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Address in its bundle and content of every resource of a file."""
    text = decode(read_bytes(file) or b"")
    if text is None or not text.strip():
        yield None, _BROKEN
        return
    whole = _parsed(text)
    if whole is not _BROKEN:
        yield from _flat(None, whole)
        return
    for line in text.splitlines():
        if line.strip():
            yield from _flat(None, _parsed(line))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _BROKEN


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
