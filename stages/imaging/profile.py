"""The basic confidentiality profile of DICOM: which attributes identify, and what becomes of those that are read.

Table E.1-1 of PS3.15 (edition 2026c, as dicom-anonymizer publishes it) lists the attributes that a file must lose
before it is shared. Here no file is shared: tables hold allow-listed values, NIfTI headers no text. So whatever is
not read is removed, private attributes and whole sequences included, and only what is read needs a treatment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c
from pydicom.datadict import dictionary_keyword, dictionary_VR
from pydicom.tag import BaseTag, Tag

#: what the value of an attribute is to the search for identifiers in reports
Kind = Literal["name", "other_name", "number", "place", "date", "text"]

# Options of the profile (PS3.15 E.3) that allow a value to be kept in some form.
_BASIC = "basic profile"
_DATES = "retain longitudinal temporal information with modified dates"
_PATIENT = "retain patient characteristics"
_DEVICE = "retain device identity, as a keyed hash"
_DESCRIPTORS = "clean descriptors"

_PATIENT_NAMES = frozenset({"PatientName", "OtherPatientNames", "PatientBirthName"})
_PLACE = re.compile(r"Address|Location|Institution|Department|Organization|Residence|SiteName|CenterName|SponsorName")
_NUMBER = re.compile(r"(?:ID|IDs|Identifier|Numbers?|Locator|StationName)$|AETitle|Telecom")
_TEXT_VRS = frozenset({"LO", "SH", "LT", "ST", "UT", "UC"})


@dataclass(frozen=True)
class Treatment:
    """What becomes of an attribute of the profile that is read, and which option allows it."""

    action: str
    option: str


def _each(keywords: str, action: str, option: str) -> dict[str, Treatment]:
    return dict.fromkeys(keywords.split(), Treatment(action, option))


#: keyword → treatment of every attribute of Table E.1-1 that is read by its name
TREATMENTS: dict[str, Treatment] = {
    **_each(
        "AccessionNumber PatientID IssuerOfPatientID StudyInstanceUID SeriesInstanceUID",
        "goes into a keyed hash, the id of a study, patient or series",
        _BASIC,
    ),
    **_each("SOPInstanceUID MediaStorageSOPInstanceUID", "compared in memory to find copies, not written", _BASIC),
    **_each(
        "PatientName OtherPatientNames PatientBirthName PatientMotherBirthName ReferringPhysicianName "
        "PerformingPhysicianName NameOfPhysiciansReadingStudy OperatorsName RequestingPhysician PhysiciansOfRecord "
        "ResponsiblePerson OtherPatientIDs AdmissionID InstitutionName",
        "keyed hashes of its words, by which reports are searched; not written otherwise",
        _BASIC,
    ),
    **_each("StudyDate", "days since the patient's first study; keyed hashes, by which reports are searched", _DATES),
    **_each(
        "SeriesDate AcquisitionDate ContentDate SeriesTime StudyTime AcquisitionTime ContentTime AcquisitionDateTime "
        "FrameAcquisitionDateTime FrameReferenceDateTime",
        "compared in memory to tell images apart, not written",
        _BASIC,
    ),
    **_each("PatientAge", "age at the study, those above 89 years as 89", _PATIENT),
    **_each(
        "PatientBirthDate",
        "age at the study, those above 89 years as 89; keyed hashes, by which reports are searched",
        _PATIENT,
    ),
    **_each("StationName DeviceSerialNumber", "goes into a keyed hash, the id of the scanner", _DEVICE),
    **_each(
        "StudyDescription SeriesDescription ProtocolName ContrastBolusAgent",
        "read into a code of an allow-list (sequence, part of the body), not written",
        _DESCRIPTORS,
    ),
}


def _tags() -> frozenset[BaseTag]:
    """Attributes of Table E.1-1 with a number of their own; repeating groups and private ones have none."""
    return frozenset(Tag(*numbers) for numbers in dicomfields_2026c.ALL_TAGS if len(numbers) == 2)


def _kind(tag: BaseTag) -> Kind | None:
    try:
        keyword, representation = dictionary_keyword(tag), dictionary_VR(tag)
    except KeyError:
        return None
    if representation == "PN":
        return "name" if keyword in _PATIENT_NAMES else "other_name"
    if representation in ("DA", "DT"):
        return "date"
    if representation not in _TEXT_VRS:
        return None
    if _PLACE.search(keyword):
        return "place"
    return "number" if _NUMBER.search(keyword) else "text"


#: attributes of the profile
LISTED = _tags()
#: attribute of the profile → what a report could repeat of it
KINDS: dict[int, Kind] = {int(tag): kind for tag in LISTED if (kind := _kind(tag)) is not None}


def is_listed(keyword: str) -> bool:
    """Tell whether the profile names an attribute, given by its keyword."""
    return Tag(keyword) in LISTED
