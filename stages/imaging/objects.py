"""What kind of object a DICOM file is, by its SOP class and, where that is silent, by what it says of physics."""

from __future__ import annotations

from stages.imaging.dicom import Image

DICOMDIR = "1.2.840.10008.1.3.10"
SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
# Magnetic resonance: classic, enhanced, enhanced in colour, converted from classic.
_MR = frozenset(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("4", "4.1", "4.3", "4.4"))
# Waveforms, presentation states, structured reports and key objects, encapsulated PDF and CDA.
_DOCUMENTS = tuple(f"1.2.840.10008.5.1.4.1.1.{number}." for number in ("9", "11", "88", "104"))
_STANDARD = "1.2.840.10008."
# What archives write when they do not know or were not told.
_UNSPECIFIC_MODALITIES = frozenset({"", "OT", "SC"})


def is_document(sop_class: str) -> bool:
    """Whether a SOP class holds text, drawings or curves and no image."""
    return sop_class.startswith(_DOCUMENTS)


def is_secondary_capture(image: Image) -> bool:
    """Whether an image was captured from a screen or scanned."""
    return image.protocol.sop_class.startswith(SECONDARY_CAPTURE)


def is_mr(image: Image) -> bool:
    """Whether an image is an MR image, whatever its Modality says.

    The SOP class decides: archives overwrite Modality, but cannot store an image under a class whose
    elements it lacks. An MR class that names another modality must show an echo or repetition time.
    Without a standard class Modality decides, and where it is unspecific the physics.
    """
    sop_class, modality = image.protocol.sop_class, image.protocol.modality
    has_physics = image.echo_time_ms is not None or image.weighting.repetition_time_ms is not None
    if sop_class in _MR:
        return modality == "MR" or modality in _UNSPECIFIC_MODALITIES or has_physics
    if sop_class.startswith(_STANDARD):
        return False
    return modality == "MR" or (modality in _UNSPECIFIC_MODALITIES and has_physics)
