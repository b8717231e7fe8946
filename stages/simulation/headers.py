"""DICOM headers in the habits of four vendors; hospitals, people and numbers are invented."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydicom.dataset import Dataset

from stages.simulation.acquisition import Slices
from stages.simulation.cohort import Visit
from stages.simulation.contrast import Protocol


@dataclass(frozen=True)
class Vendor:
    """Names that one vendor's scanners write."""

    manufacturer: str
    model: Mapping[float, str]
    descriptions: Mapping[str, str]
    scanning_sequence: Mapping[str, str]
    #: intensity that white matter of a T2 image is scaled to
    white_matter_level: float


_SCANNING = {"T1": "SE", "T1C": "SE", "T2": "SE", "FLAIR": "SE\\IR", "DWI": "EP\\SE", "ADC": "EP\\SE", "SWI": "GR"}
_RESEARCH_MODE = {**_SCANNING, "DWI": "RM", "ADC": "RM"}

VENDORS: Mapping[str, Vendor] = {
    "SIEMENS": Vendor(
        "SIEMENS",
        {1.5: "Aera", 3.0: "Skyra"},
        {
            "T1": "t1_se_{plane}_320",
            "T2": "t2_tse_{plane}_512",
            "FLAIR": "t2_tirm_{plane}_dark-fluid",
            "DWI": "ep2d_diff_3scan_trace_p2_TRACEW",
            "ADC": "ep2d_diff_3scan_trace_p2_ADC",
            "SWI": "t2_fl2d_{plane}_hemo",
            "T1C": "t1_se_{plane}_320_KM",
        },
        _SCANNING,
        180.0,
    ),
    "GE": Vendor(
        "GE MEDICAL SYSTEMS",
        {1.5: "SIGNA HDxt", 3.0: "DISCOVERY MR750"},
        {
            "T1": "{Plane} T1 FSE",
            "T2": "{Plane} T2 PROPELLER",
            "FLAIR": "{Plane} T2 FLAIR",
            "DWI": "{Plane} DWI b1000",
            "ADC": "Apparent Diffusion Coefficient (mm2/s)",
            "SWI": "{Plane} SWAN",
            "T1C": "{Plane} T1 FSE +C",
        },
        _RESEARCH_MODE,
        620.0,
    ),
    "PHILIPS": Vendor(
        "Philips Medical Systems",
        {1.5: "Achieva", 3.0: "Ingenia"},
        {
            "T1": "T1W_SE_{PLANE}",
            "T2": "T2W_TSE_{PLANE}",
            "FLAIR": "FLAIR_longTR_{PLANE}",
            "DWI": "DWI_3b_b1000",
            "ADC": "dADC_DWI",
            "SWI": "VEN_BOLD_{PLANE}",
            "T1C": "T1W_SE_{PLANE}_GD",
        },
        _SCANNING,
        400.0,
    ),
    "UIH": Vendor(
        "UIH",
        {1.5: "uMR 570", 3.0: "uMR 780"},
        {
            "T1": "t1_fse_{plane}",
            "T2": "t2_fse_{plane}",
            "FLAIR": "t2_fse_{plane}_flair",
            "DWI": "epi_dwi_{plane}_b1000",
            "ADC": "epi_dwi_{plane}_ADC",
            "SWI": "swi_{plane}",
            "T1C": "t1_fse_{plane}_+c",
        },
        _SCANNING,
        260.0,
    ),
}
_PLANES = {"axial": ("tra", "Ax", "TRA"), "coronal": ("cor", "Cor", "COR"), "sagittal": ("sag", "Sag", "SAG")}
_HOSPITALS = ("Saint Aldhelm Infirmary", "Riverbend Neurological Clinic", "Harrowgate Lakes Hospital")
_PHYSICIANS = ("Ravensworth^Odile", "Thistlewood^Casimir", "Brackenridge^Linnea", "Featherstone^Anselm")
_UID_LOW, _UID_SPAN = 10**38, 24 * 10**37


def make_uid(*parts: str) -> str:
    """Derive a UID of 44 characters (``2.25.`` and a 128-bit number) from names."""
    number = int.from_bytes(hashlib.sha256("/".join(parts).encode()).digest(), "big")
    return f"2.25.{_UID_LOW + number % _UID_SPAN}"


def study_header(visit: Visit) -> Dataset:
    """Header fields that all series of a study share."""
    person, pick = visit.person, int(visit.accession_number)
    date = person.visit_date(visit.number).strftime("%Y%m%d")
    field_t = visit.protocols[0].field_t
    vendor = VENDORS[visit.vendor]
    hospital = visit.patient_index % len(_HOSPITALS)
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName, header.PatientID = person.name, person.number
    header.IssuerOfPatientID = _HOSPITALS[hospital].split()[0].upper()
    header.PatientBirthDate, header.PatientSex = person.birth_date.strftime("%Y%m%d"), person.sex
    header.PatientAge = f"{int(visit.age_years):03d}Y"
    header.AccessionNumber = visit.accession_number
    header.InstitutionName = _HOSPITALS[hospital]
    header.ReferringPhysicianName = _PHYSICIANS[pick % len(_PHYSICIANS)]
    header.StudyDate = header.SeriesDate = header.AcquisitionDate = header.ContentDate = date
    header.StudyTime = f"{8 + pick % 10:02d}0000"
    header.StudyID = str(pick % 10000)
    header.StudyInstanceUID = make_uid(visit.accession_number, "study")
    header.FrameOfReferenceUID = make_uid(visit.accession_number, "frame")
    header.StudyDescription = "MR HEAD"
    header.Modality, header.BodyPartExamined, header.PatientPosition = "MR", "HEAD", "HFS"
    header.PositionReferenceIndicator = ""
    header.Manufacturer, header.ManufacturerModelName = vendor.manufacturer, vendor.model[field_t]
    header.StationName = f"MR{1 + hospital}{visit.vendor[:2]}"
    header.DeviceSerialNumber = str(30000 + 100 * hospital + 10 * int(field_t) + len(visit.vendor))
    header.MagneticFieldStrength = field_t
    return header


def series_header(visit: Visit, protocol: Protocol, slices: Slices, number: int, kind: str) -> Dataset:
    """Header fields of one series.

    Args:
        visit: the study.
        protocol: the sequence.
        slices: the stack.
        number: SeriesNumber.
        kind: primary, localiser or reformat.
    """
    vendor = VENDORS[visit.vendor]
    header = study_header(visit)
    header.SeriesInstanceUID = make_uid(visit.accession_number, "series", str(number))
    header.SeriesNumber, header.AcquisitionNumber = number, 1
    header.SeriesTime = header.AcquisitionTime = f"{int(header.StudyTime) + 300 * number:06d}"
    plane = dict(zip(("plane", "Plane", "PLANE"), _PLANES[slices.orientation], strict=True))
    name = vendor.descriptions[protocol.sequence].format(**plane)
    header.SeriesDescription = {"localiser": "localizer", "reformat": f"{name} MPR"}.get(kind, name)
    header.ProtocolName = name
    header.ImageType = _image_type(visit.vendor, protocol, kind)
    header.ScanningSequence = _scanning_sequence(vendor, protocol)
    header.SequenceVariant, header.ScanOptions = "SK", ""
    header.MRAcquisitionType = "2D"
    header.RepetitionTime, header.EchoTime = protocol.repetition_time_ms, protocol.echo_time_ms
    if protocol.inversion_time_ms is not None:
        header.InversionTime = protocol.inversion_time_ms
    header.EchoTrainLength = 1 if protocol.sequence in ("T1", "T1C", "SWI") else 15
    header.FlipAngle = 20 if protocol.sequence == "SWI" else 90
    header.NumberOfAverages = 1
    header.SliceThickness = slices.thickness_mm
    header.SpacingBetweenSlices = round(slices.spacing_mm[2], 3)
    header.PixelSpacing = [slices.spacing_mm[0], slices.spacing_mm[1]]
    if protocol.sequence == "T1C":
        header.ContrastBolusAgent = "gadobutrol"
        header.ContrastBolusVolume = 7.5
    if protocol.b_value_s_mm2 is not None:
        _add_b_value(header, visit.vendor, protocol)
    return header


def _scanning_sequence(vendor: Vendor, protocol: Protocol) -> list[str]:
    if protocol.sequence in ("T1", "T1C") and protocol.inversion_time_ms is not None:
        return ["GR", "IR"]
    return vendor.scanning_sequence[protocol.sequence].split("\\")


def _image_type(vendor: str, protocol: Protocol, kind: str) -> list[str]:
    if kind == "reformat":
        return ["DERIVED", "SECONDARY", "MPR"]
    if protocol.sequence == "ADC":
        return ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"] if vendor != "GE" else ["DERIVED", "SECONDARY", "ADC"]
    if protocol.sequence == "DWI" and vendor == "SIEMENS":
        return ["ORIGINAL", "PRIMARY", "DIFFUSION", "TRACEW", "ND"]
    tail = {"SIEMENS": ["M", "ND"], "GE": ["OTHER"], "PHILIPS": ["M_SE", "M", "SE"], "UIH": ["M", "NONE"]}
    return ["ORIGINAL", "PRIMARY", *tail[vendor]]


def _add_b_value(header: Dataset, vendor: str, protocol: Protocol) -> None:
    """State the b-value as the vendor does: GE and Siemens in private fields of their own."""
    if protocol.b_value_s_mm2 is None or protocol.sequence == "ADC":
        return
    b_value = int(protocol.b_value_s_mm2)
    if vendor == "GE":
        header.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [b_value, 8, 0, 0])
        return
    if vendor == "SIEMENS":
        header.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", b_value)
    header.DiffusionBValue = float(b_value)
