"""What every format of report export gives, and the parameters that say where to find it."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from stages.params import Params

#: What a report may be in the life of its study, in the order in which one replaces another.
VERSIONS = ("cancelled", "preliminary", "final", "corrected", "addendum")

# HL7 table 0123 (one letter), FHIR diagnostic-report-status, and what exports write out.
_VERSION_WORDS = {
    "cancelled": (
        "x z y n d w cancelled canceled entered-in-error error deleted void withdrawn wrong 作废 取消 撤销 已作废"
    ),
    "preliminary": (
        "p r a s i o preliminary prelim partial registered draft unverified wet_read 初步 草稿 未审核 待审核 初步报告"
    ),
    "final": "f u final finalised finalized verified signed approved complete completed 最终 已审核 审核 正式 最终报告",
    "corrected": "c corrected correction amended amendment appended revised modified 更正 修订 修改 已修改 更正报告",
    "addendum": "addendum addended supplement 补充 补充报告 附加",
}
_VERSION_OF = {word: version for version, words in _VERSION_WORDS.items() for word in words.split()}


class Columns(Params):
    """Names of what is needed: CSV and Parquet columns, or dotted paths of JSON keys."""

    accession_number: str = "accession_number"
    #: one column, or several that are joined as sections under their names
    report_text: str | tuple[str, ...] = "report_text"
    #: optional column
    language: str | None = Field(default="language")
    #: what tells two reports of one study apart; without it all its reports are versions of one
    report_id: str | None = None
    #: preliminary, final, corrected …; without it no report replaces another
    report_status: str | None = None
    #: when the report was issued, in a spelling that sorts (ISO 8601, HL7)
    report_time: str | None = None
    #: columns of persons' names and numbers, to be masked in the report beside them and stored nowhere
    names: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        """The text columns."""
        return (self.report_text,) if isinstance(self.report_text, str) else self.report_text

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that have to be there: all that are named, but the language."""
        named = (self.report_id, self.report_status, self.report_time)
        return (self.accession_number, *self.texts, *(name for name in named if name), *self.names)


class Source(Params):
    """The format of a report export and what belongs to one format only."""

    format: Literal["auto", "csv", "parquet", "json_lines", "text_folder", "hl7", "fhir"] = "auto"
    #: of texts that are not UTF-8; ``None``: UTF-16 and GB18030 are told apart
    encoding: str | None = None
    #: between the columns of a CSV file; ``None``: comma, semicolon, tab or bar, by its header
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    #: what parts the accession numbers of a report of several studies
    accession_separators: str = ",;|/、，； "
    #: where the path of a text file below its folder holds the accession number
    accession_pattern: str = r"(?P<accession>[^/]+?)(?:\.[^./]*)?$"
    #: HL7 fields that may hold the accession number, the first that is filled counts
    hl7_accession: tuple[str, ...] = ("OBR-18", "OBR-3", "OBR-2", "ORC-3")
    #: system of the FHIR identifiers that are accession numbers; ``None``: those of type ACSN
    fhir_accession_system: str | None = None

    @field_validator("accession_pattern")
    @classmethod
    def _names_accession(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if "accession" not in groups:
            raise ValueError("expected a group (?P<accession>…)")
        return pattern

    @field_validator("hl7_accession")
    @classmethod
    def _are_fields(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        if not fields or not all(re.fullmatch(r"[A-Z][A-Z0-9]{2}-\d+(\.\d+)?", name) for name in fields):
            raise ValueError("expected HL7 fields such as OBR-18 or OBR-3.1")
        return fields

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, encoding: str | None) -> str | None:
        if encoding is not None:
            try:
                codecs.lookup(encoding)
            except LookupError:
                raise ValueError("expected the name of an encoding, such as cp1252 or big5") from None
        return encoding


@dataclass(frozen=True)
class RawReport:
    """One report of the input.

    Attributes:
        row: its number, from 0.
        accession_number: as given, without surrounding space.
        text: the report; ``None`` if its encoding is broken.
        language: as given, or ``None``.
        version: one of ``VERSIONS``, or ``None`` where the source does not say.
        issued: when, in a spelling that sorts; empty where the source does not say.
        report_id: what tells it from other reports of its study.
        other_accessions: accession numbers of further studies that it reports.
        names: names and numbers of persons, to be masked in the text.
        problem: status of a report that is not to be read.
        record: number of the record that it came in, from 0; ``None``: its row.
    """

    row: int
    accession_number: str
    text: str | None
    language: str | None
    version: str | None = None
    issued: str = ""
    report_id: str = ""
    other_accessions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    problem: str | None = None
    record: int | None = None


def broken(row: int, problem: str = "unreadable", accession_number: str = "") -> RawReport:
    """The row of a record that could not be read."""
    return RawReport(row, accession_number, None, None, problem=problem)


def version_of(word: str | None) -> str | None:
    """Recognise a report status in the words of HL7, FHIR or an export; ``None`` if it says nothing known."""
    return _VERSION_OF.get((word or "").strip().lower().replace(" ", "_"))


def join_texts(texts: dict[str, str | None]) -> str | None:
    """Join text columns as sections under their names; ``None`` if one of them could not be decoded."""
    if any(text is None for text in texts.values()):
        return None
    filled = {name: text for name, text in texts.items() if text and text.strip()}
    if len(texts) == 1:
        return next(iter(filled.values()), "")
    return "\n".join(f"{name.rpartition('.')[2].upper()}: {text}" for name, text in filled.items())
