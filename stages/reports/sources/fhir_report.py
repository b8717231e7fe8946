"""One FHIR DiagnosticReport: its text, studies, version, and the persons that it names."""

from __future__ import annotations

import base64
import binascii
import re
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pydantic import ValidationError

from stages.reports.sources.base import RawReport, broken, version_of
from stages.reports.sources.encodings import is_clean
from stages.reports.sources.markup import FOREIGN, attached_text, plain_text

# What is read of a report; the rest is not validated, so that its faults cost nothing.
_READ = (
    *("id", "meta", "language", "text", "identifier", "basedOn", "status", "subject", "issued", "effectiveDateTime"),
    *("performer", "resultsInterpreter", "result", "imagingStudy", "conclusion", "presentedForm"),
)
_PREFERRED = ("text/plain", "text/html", "text/rtf", "application/rtf", "application/pdf")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Sets that are named where a larger one is meant.
_LARGER_SETS = {"gb2312": "gb18030", "gbk": "gb18030", "utf-8": "utf-8-sig"}
_DICOM_UID = "urn:dicom:uid"


@dataclass(frozen=True)
class Linked:
    """What a report takes from a resource that it refers to.

    Attributes:
        accession_numbers: of an order or a study; the study's UID where it has none.
        names: names and numbers of a person.
        heading: what an observation is called.
        text: what an observation says.
    """

    accession_numbers: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    heading: str = ""
    text: str = ""

    @classmethod
    def of(cls, resource: Mapping[str, Any], system: str | None) -> Linked:
        """Take from a resource what a report may need of it."""
        kind = _word(resource.get("resourceType"))
        if kind in {"ServiceRequest", "ImagingStudy"}:
            numbers = accession_numbers(resource.get("identifier"), system)
            return cls(accession_numbers=numbers or (_uids(resource) if kind == "ImagingStudy" else ()))
        if kind == "Observation":
            code = resource.get("code")
            code = code if isinstance(code, dict) else {}
            heading = code.get("text") or next((one.get("display") for one in _dicts(code.get("coding"))), None)
            return cls(heading=_word(heading), text=_word(resource.get("valueString")))
        return cls(names=tuple(_person(resource)))


class ReportResource:
    """Reads the DiagnosticReport resources of an export."""

    def __init__(self, linked: dict[str, Linked], system: str | None, encoding: str | None = None) -> None:
        """Prepare for an export.

        Args:
            linked: what the other resources give, by ``Type/id`` and by address.
            system: of the identifiers that are accession numbers; ``None``: those of type ACSN.
            encoding: of attachments that do not name theirs; ``None``: told apart.
        """
        from fhir.resources.R4B.diagnosticreport import DiagnosticReport

        self._model = DiagnosticReport
        self._linked = linked
        self._system = system
        self._encoding = encoding

    def report(self, number: int, resource: Mapping[str, Any]) -> RawReport:
        """The report of a resource; one that breaks FHIR in what is read of it is a broken one."""
        try:
            return self._read(number, resource)
        except Exception:  # noqa: BLE001 - a hostile resource may raise anything; it costs one row
            return broken(number)

    def _read(self, number: int, resource: Mapping[str, Any]) -> RawReport:
        report = self._validated(resource)
        found = _Resolver(ChainMap(_contained(resource, self._system), self._linked))
        numbers = list(dict.fromkeys(self._accession_numbers(report, found)))
        text = self._text(report, found)
        problem = "unreadable" if text is None else None if is_clean(text) else "unreadable_encoding"
        return RawReport(
            number,
            numbers[0] if numbers else "",
            None if problem else text,
            report.language,
            version=version_of(report.status),
            issued=_moment(report.issued) or _moment(report.effectiveDateTime),
            report_id=report.id or "",
            other_accessions=tuple(numbers[1:]),
            names=tuple(dict.fromkeys(self._names(report, found))),
            problem=problem,
        )

    def _validated(self, resource: Mapping[str, Any]) -> Any:
        """The validated report, without the elements that are no FHIR."""
        read = {name: resource[name] for name in _READ if resource.get(name) is not None}
        if "imagingStudy" not in read and resource.get("study"):  # its name in R5
            read["imagingStudy"] = resource["study"]
        read |= {"resourceType": "DiagnosticReport", "code": {"text": "report"}}
        read.setdefault("status", "unknown")
        try:
            return self._model.model_validate(read)
        except ValidationError as error:
            faulty = {str(issue["loc"][0]) for issue in error.errors() if issue["loc"]} - {"status"}
            return self._model.model_validate({name: value for name, value in read.items() if name not in faulty})

    def _accession_numbers(self, report: Any, found: _Resolver) -> Iterable[str]:
        """Of the report, else of its orders, else of its studies, else its only identifier."""
        own = _plain(report.identifier)
        referred = (found.of(_plain(report.basedOn)), found.of(_plain(report.imagingStudy)))
        named = [accession_numbers([ref.get("identifier")], self._system) for ref in _plain(report.basedOn)]
        choices = (
            accession_numbers(own, self._system),
            [number for numbers in named for number in numbers],
            *([number for one in linked for number in one.accession_numbers] for linked in referred),
            [_word(one.get("value")) for one in own] if len(own) == 1 else [],
        )
        return next((numbers for numbers in choices if any(numbers)), ())

    def _text(self, report: Any, found: _Resolver) -> str | None:
        """Of the presented form that is read most easily, else of observations and conclusion, else the narrative."""
        forms = sorted(_plain(report.presentedForm), key=lambda one: _rank(one.get("contentType")))
        texts = [text for form in forms if form.get("data") and (text := _attached(form, self._encoding))]
        if readable := [text for text in texts if text != FOREIGN]:
            return readable[0]
        observed = [one for one in found.of(_plain(report.result)) if one.text]
        parts = [f"{one.heading}:\n{one.text}" if one.heading else one.text for one in observed]
        if report.conclusion:
            parts.append(f"IMPRESSION:\n{report.conclusion}" if parts else report.conclusion)
        if not parts and report.text is not None and report.text.div:
            parts = [str(report.text.div)]
        if not parts and forms:
            return texts[0] if texts else None
        return plain_text("\n".join(parts))

    def _names(self, report: Any, found: _Resolver) -> Iterator[str]:
        references = [*_plain(report.performer), *_plain(report.resultsInterpreter), *_plain([report.subject])]
        for reference in references:
            yield from filter(None, [_word(reference.get("display"))])
        for one in found.of(references):
            yield from one.names


class _Resolver:
    """Finds what references point to."""

    def __init__(self, linked: Mapping[str, Linked]) -> None:
        self._linked = linked

    def of(self, references: Iterable[Mapping[str, Any]]) -> list[Linked]:
        """What is known of the resources that are referred to, in their order."""
        addresses = [_word(one.get("reference")) for one in references]
        shortened = ("/".join(address.split("/_history")[0].split("/")[-2:]) for address in addresses)
        entries = (
            self._linked.get(one) or self._linked.get(short) for one, short in zip(addresses, shortened, strict=True)
        )
        return [entry for entry in entries if entry is not None]


def accession_numbers(identifiers: Any, system: str | None) -> tuple[str, ...]:
    """Values of the identifiers that are accession numbers, by system or by type ACSN."""

    def is_accession(identifier: Mapping[str, Any]) -> bool:
        if system is not None:
            return identifier.get("system") == system
        kind = identifier.get("type")
        codes = _dicts(kind.get("coding")) if isinstance(kind, dict) else []
        return any(code.get("code") == "ACSN" for code in codes)

    return tuple(filter(None, (_word(one.get("value")) for one in _dicts(identifiers) if is_accession(one))))


def _uids(study: Mapping[str, Any]) -> tuple[str, ...]:
    found = (one for one in _dicts(study.get("identifier")) if one.get("system") == _DICOM_UID)
    return tuple(_word(one.get("value")).removeprefix("urn:oid:") for one in found)


def _contained(resource: Mapping[str, Any], system: str | None) -> dict[str, Linked]:
    return {f"#{one.get('id')}": Linked.of(one, system) for one in _dicts(resource.get("contained"))}


def _person(resource: Mapping[str, Any]) -> Iterator[str]:
    """Names (``Family^Given``), numbers, birth date and telephone numbers of a patient or practitioner."""
    for name in _dicts(resource.get("name")):
        given = name.get("given")
        yield "^".join([_word(name.get("family")), *map(_word, given if isinstance(given, list) else [])])
        yield _word(name.get("text"))
    for entry in (*_dicts(resource.get("identifier")), *_dicts(resource.get("telecom"))):
        yield _word(entry.get("value"))
    yield _word(resource.get("birthDate"))


def _attached(form: Mapping[str, Any], encoding: str | None) -> str | None:
    """Text of an attachment in the encoding that it names, else in the given one."""
    data = form["data"]
    named = _CHARSET.search(_word(form.get("contentType")))
    charsets = [_LARGER_SETS.get(named[1].lower(), named[1])] if named else []
    try:
        decoded = base64.b64decode(data if isinstance(data, bytes) else str(data).encode("ascii"))
    except (binascii.Error, ValueError):
        return None
    return attached_text(decoded, *charsets, encoding)


def _rank(content_type: Any) -> int:
    kind = _word(content_type).split(";")[0].strip().lower()
    return _PREFERRED.index(kind) if kind in _PREFERRED else len(_PREFERRED)


def _plain(models: Any) -> list[dict[str, Any]]:
    """Elements of the model as dictionaries of JSON values; none if there is none."""
    return [_json_of(one) for one in models or [] if one is not None]


def _json_of(model: Any) -> dict[str, Any]:
    """The JSON values of an element of a FHIR model."""
    return model.model_dump(mode="json") if hasattr(model, "model_dump") else dict(model)


def _moment(value: Any) -> str:
    """A date or time in a spelling that sorts: ISO 8601, times in UTC."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
    return value.isoformat() if isinstance(value, date) else _word(value)


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _word(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
