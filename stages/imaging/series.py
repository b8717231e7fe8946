"""The row of ``series.parquet`` that describes a converted series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from statistics import median
from typing import Any

from stages.artifacts.identity import SiteKey
from stages.imaging import slices
from stages.imaging.conversion import Outcome
from stages.imaging.dicom import Identity, Image
from stages.imaging.grouping import Group
from stages.imaging.sequences import Acquisition, identify

# Ages above this identify; they are all written as this one.
MAX_AGE_YEARS = 89.0
_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def study_id(key: SiteKey, identity: Identity) -> str:
    """Id of the study that an image belongs to."""
    return key.study_id(identity.accession_number or identity.study_uid)


def patient_id(key: SiteKey, identity: Identity) -> str:
    """Id of the patient; a study without PatientID stands for a patient of its own."""
    if not identity.patient_id:
        return key.patient_id("study", identity.study_uid)
    return key.patient_id(identity.issuer, identity.patient_id)


def study_days(key: SiteKey, identities: Iterable[Identity]) -> dict[str, int]:
    """Days from each patient's first study to each study, for studies with a date."""
    patients: dict[str, str] = {}
    dates: dict[str, date] = {}
    for identity in identities:
        day = parse_date(identity.study_date)
        if day is not None:
            study = study_id(key, identity)
            patients[study] = patient_id(key, identity)
            dates[study] = min(day, dates.get(study, day))
    first: dict[str, date] = {}
    for study, patient in patients.items():
        first[patient] = min(dates[study], first.get(patient, dates[study]))
    return {study: (dates[study] - first[patient]).days for study, patient in patients.items()}


def parse_date(text: str) -> date | None:
    """Read a DICOM date (YYYYMMDD, or the older YYYY.MM.DD); None if it is none."""
    match = re.fullmatch(r"(\d{4})[.-]?(\d{2})[.-]?(\d{2})", text.strip())
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def age_years(image: Image) -> float | None:
    """Age at the study, from PatientAge or the dates, capped at 89."""
    match = re.fullmatch(r"(\d{1,3})([YMWD])", image.protocol.patient_age.strip().upper())
    if match:
        return min(float(match[1]) * _YEARS[match[2]], MAX_AGE_YEARS)
    born, studied = parse_date(image.identity.birth_date), parse_date(image.identity.study_date)
    if born is None or studied is None or studied < born:
        return None
    return min(float(int((studied - born).days / 365.25)), MAX_AGE_YEARS)


def series_row(
    key: SiteKey, group: Group, series_id: str, outcome: Outcome, days: Mapping[str, int], folder: str
) -> dict[str, Any]:
    """Describe a converted series.

    Args:
        key: the site's key.
        group: its images.
        series_id: its id.
        outcome: its NIfTI file.
        days: day of each study.
        folder: folder of the NIfTI files below the output.
    """
    image = group.first
    protocol = image.protocol
    study = study_id(key, image.identity)
    acquisition = _acquisition(group)
    found = identify(acquisition)
    return {
        "study_id": study,
        "patient_id": patient_id(key, image.identity),
        "series_id": series_id,
        "scanner_id": key.hash("scanner", *protocol.scanner),
        "vendor": protocol.vendor,
        "study_day": days.get(study),
        "age_years": age_years(image),
        "sequence": found.sequence,
        "confidence": found.confidence,
        "sequence_by_physics": found.by_physics,
        "sequence_by_header": found.by_header,
        "echo_time_ms": acquisition.echo_time_ms,
        "repetition_time_ms": acquisition.repetition_time_ms,
        "inversion_time_ms": acquisition.inversion_time_ms,
        "b_value_s_mm2": acquisition.b_value_s_mm2,
        "field_strength_t": protocol.field_strength_t,
        "orientation": slices.plane(image),
        "spacing_mm": list(outcome.spacing_mm),
        "shape": list(outcome.shape),
        "num_slices": len(group.slices) if not image.is_mosaic else outcome.shape[2] * len(group.slices),
        "nifti": f"{folder}/{series_id}.nii.gz",
        "sha256": outcome.sha256,
    }


def _acquisition(group: Group) -> Acquisition:
    image = group.first
    protocol, weighting = image.protocol, image.weighting
    b_values = [item.image.b_value_s_mm2 for item in group.slices if item.image.b_value_s_mm2 is not None]
    return Acquisition(
        echo_time_ms=image.echo_time_ms,
        repetition_time_ms=weighting.repetition_time_ms,
        inversion_time_ms=weighting.inversion_time_ms,
        flip_angle_deg=weighting.flip_angle_deg,
        b_value_s_mm2=median(b_values) if b_values else None,
        scanning_sequence=protocol.scanning_sequence,
        image_type=image.image_type,
        contrast_agent=weighting.contrast_agent,
        is_angiography=protocol.angio_flag.upper() == "Y",
        text=f"{protocol.series_description} {protocol.protocol_name} {protocol.sequence_name}",
    )
