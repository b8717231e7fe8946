"""How lesions look in the sequences of a study, as the truth states it, and which labels follow."""

from __future__ import annotations

import numpy as np

from stages.simulation.cohort import Visit
from stages.simulation.contrast import MATTER, Protocol, brain_signal, signal
from stages.simulation.lesions import DrawnLesion
from stages.simulation.patient import Patient
from stages.simulation.truth import Lesion, Study

# A difference from normal brain that a reader calls high or low.
_NOTICEABLE = 0.15
# Part of a lesion that must differ the other way to be called mixed.
_MIXED_SHARE = 0.25
_ENHANCING_SHARE = 0.10
_CONSPICUOUS_SIZE_MM = 9.0

#: findings that truth decides for every study; the others depend on the sequences
_LABELLED = (
    "infarct",
    "haemorrhage",
    "mass",
    "oedema",
    "white_matter_lesion",
    "encephalomalacia",
    "cyst",
    "atrophy",
    "ventriculomegaly",
    "mass_effect",
    "midline_shift",
)


def describe(visit: Visit, patient: Patient) -> Study:
    """State what is true of a study."""
    scale = patient.head.volume_scale
    lesions = tuple(_describe_lesion(lesion, visit.protocols, scale) for lesion in patient.lesions)
    person = visit.person
    return Study(
        accession_number=visit.accession_number,
        patient_name=person.name,
        patient_number=person.number,
        birth_date=person.birth_date,
        sex=person.sex,
        age_years=visit.age_years,
        study_date=person.visit_date(visit.number),
        set=visit.key.set,
        vendor=visit.vendor,
        sequences=tuple(protocol.sequence for protocol in visit.protocols),
        reader=visit.reader,
        lesions=lesions,
    )


def labels(study: Study) -> dict[str, int | None]:
    """Say of each finding code whether the study has it; None where no sequence could show it."""
    found = {lesion.finding for lesion in study.lesions}
    known: dict[str, int | None] = {finding: int(finding in found) for finding in _LABELLED}
    is_enhancing = any(shows_enhancement(lesion) for lesion in study.lesions)
    is_restricting = any(shows_restricted_diffusion(lesion) for lesion in study.lesions)
    known["enhancement"] = int(is_enhancing) if "T1C" in study.sequences else None
    known["restricted_diffusion"] = int(is_restricting) if "DWI" in study.sequences else None
    known["normal"] = int(study.is_normal)
    return known


def shows_enhancement(lesion: Lesion) -> bool:
    """Whether a lesion takes up contrast agent, where a series after contrast was acquired."""
    return lesion.finding == "mass" and lesion.signals.get("T1C") in ("high", "mixed")


def shows_restricted_diffusion(lesion: Lesion) -> bool:
    """Whether a lesion restricts diffusion, where diffusion was imaged."""
    return lesion.subtype == "acute infarct" and lesion.signals.get("DWI") == "high"


def _describe_lesion(lesion: DrawnLesion, protocols: tuple[Protocol, ...], scale: float) -> Lesion:
    is_shape = lesion.finding in ("mass_effect", "midline_shift", "atrophy")
    size_mm = lesion.diameter_mm * (1.0 if lesion.finding == "midline_shift" else np.cbrt(scale))
    return Lesion(
        finding=lesion.finding,
        subtype=lesion.subtype,
        site=lesion.site,
        side=lesion.side,
        size_mm=round(float(size_mm), 1),
        volume_ml=0.0 if is_shape else round(lesion.volume_ml * scale, 3),
        signals={protocol.sequence: _signal_class(lesion, protocol) for protocol in protocols if lesion.paints},
        conspicuity=round(_conspicuity(lesion, protocols), 3),
    )


def _signal_class(lesion: DrawnLesion, protocol: Protocol) -> str:
    weights = np.array([float(paint.share.sum()) for paint in lesion.paints])
    weights /= weights.sum() or 1.0
    differences = np.array([_difference(paint.matter, protocol) for paint in lesion.paints])
    uptakes = np.array([MATTER[paint.matter].uptake_mm > 0 for paint in lesion.paints])
    high, low = weights[differences > _NOTICEABLE].sum(), weights[differences < -_NOTICEABLE].sum()
    if protocol.sequence == "T1C" and weights[uptakes & (differences > _NOTICEABLE)].sum() > _ENHANCING_SHARE:
        return "mixed" if low > _MIXED_SHARE else "high"
    if min(high, low) > _MIXED_SHARE:
        return "mixed"
    if max(high, low) < 0.5:
        return "iso"
    return "high" if high > low else "low"


def _difference(matter: str, protocol: Protocol) -> float:
    brain = brain_signal(protocol)
    return (signal(MATTER[matter], protocol) - brain) / brain


def _conspicuity(lesion: DrawnLesion, protocols: tuple[Protocol, ...]) -> float:
    if not lesion.paints:
        return lesion.severity
    strongest = max(
        abs(_difference(paint.matter, protocol)) * float(paint.share.max(initial=0.0))
        for paint in lesion.paints
        for protocol in protocols
    )
    return float(min(1.0, strongest) * (1 - np.exp(-lesion.diameter_mm / _CONSPICUOUS_SIZE_MM)))
