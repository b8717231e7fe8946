"""What identifies patients in the real exports that the tests read."""

import csv
import os
from pathlib import Path

import pydicom
import pytest

_KEYWORDS = [
    *("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName"),
    *("ReferringPhysicianName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "StationName", "DeviceSerialNumber", "OperatorsName"),
]


def find_export(name):
    """Folder of a real export; skips the test where there is none."""
    if not os.environ.get("SELIP_REAL_DATA"):
        pytest.skip("set SELIP_REAL_DATA to the folder of real data")
    return Path(os.environ["SELIP_REAL_DATA"], name).resolve()


def identifiers_of_open_ms(folder):
    """Read all that names a patient, a visit, a place or an image, from every header and from the reports."""
    found = {"REF DOE", "01/01/1994"}
    for path in sorted(path for path in (folder / "dicom").rglob("*") if path.is_file()):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_KEYWORDS, force=True)
        found |= {str(header.get(keyword, "")) for keyword in _KEYWORDS}
    with (folder / "reports.csv").open(encoding="utf-8", newline="") as file:
        found |= {row["accession_number"] for row in csv.DictReader(file)}
    return sorted(found - {""})
