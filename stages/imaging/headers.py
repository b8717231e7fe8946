"""Read the header of a DICOM file into plain values (``dicom.Image``)."""

from __future__ import annotations

import hashlib
import io
import struct

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from stages.imaging.dicom import Identity, Image, Protocol
from stages.imaging.elements import Elements, private_number
from stages.imaging.identities import read_identity
from stages.imaging.ledger import SetAside

_DICOMDIR = "1.2.840.10008.1.3.10"
_SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"
_DIGEST_BYTES = 16
# Diffusion weighting in private elements: manufacturer → element.
_PRIVATE_B_VALUE = {
    "SIEMENS": Tag(0x0019100C),
    "GE": Tag(0x00431039),
    "PHILIPS": Tag(0x20011003),
    "UIH": Tag(0x00651009),
}
# GE adds this to the b-value of some protocols.
_GE_B_VALUE_OFFSET = 1_000_000
_VENDORS = (
    ("SIEMENS", "SIEMENS"),
    ("GE ", "GE"),
    ("GEMS", "GE"),
    ("GENERAL ELECTRIC", "GE"),
    ("PHILIPS", "PHILIPS"),
    ("CANON", "CANON"),
    ("TOSHIBA", "CANON"),
    ("UIH", "UIH"),
    ("UNITED IMAGING", "UIH"),
)
_MOMENT = ("InstanceNumber", "AcquisitionNumber", "AcquisitionTime", "ContentTime", "TriggerTime")
_FRAME_MOMENT = ("TemporalPositionIndex", "FrameAcquisitionNumber", "FrameAcquisitionDateTime")
_SCANNER = ("Manufacturer", "ManufacturerModelName", "StationName", "DeviceSerialNumber")


def is_dicom(head: bytes) -> bool:
    """Tell a DICOM file by its first bytes, with or without the preamble."""
    if head[128:132] == b"DICM":
        return True
    if len(head) < 132 or head[:2] not in (b"\x08\x00", b"\x02\x00"):
        return False
    is_explicit = head[4:6] in (b"UI", b"UL", b"CS", b"OB", b"DA", b"TM", b"SH", b"LO")
    return is_explicit or struct.unpack("<I", head[4:8])[0] <= 64


def read_images(data: bytes) -> list[Image]:
    """Read the header of a DICOM file.

    Returns:
        One entry for a classic file, one a frame for an enhanced one.

    Raises:
        SetAside: if the header is damaged or describes no image.
    """
    buffer = io.BytesIO(data)
    try:
        ds = pydicom.dcmread(buffer, stop_before_pixels=True, force=True)
        return _images(ds, memoryview(data)[buffer.tell() :], has_preamble=data[128:132] == b"DICM")
    except SetAside:
        raise
    except Exception:  # noqa: BLE001 - a hostile header may raise anything; it costs one row
        raise SetAside("damaged_dicom") from None


def vendor_code(manufacturer: str) -> str:
    """Return the allow-listed code of a manufacturer; OTHER if it is none of them."""
    name = f"{manufacturer.upper()} "
    return next((code for part, code in _VENDORS if part in name), "OTHER")


def _images(ds: Dataset, pixels: memoryview, *, has_preamble: bool) -> list[Image]:
    root = Elements(ds)
    meta = Elements(ds.file_meta)
    if meta.text("MediaStorageSOPClassUID") == _DICOMDIR:
        raise SetAside("dicomdir")
    if not root.text("SOPClassUID") and not root.text("Modality"):
        raise SetAside("damaged_dicom")
    if root.text("SOPClassUID") == _SPECTROSCOPY or not (root.number("Rows") and root.number("Columns")):
        raise SetAside("not_image")
    frames = root.value("PerFrameFunctionalGroupsSequence") or []
    shared = list(root.value("SharedFunctionalGroupsSequence") or [])[:1]
    views = [Elements(ds, frame, *shared) for frame in frames] or [root]
    identity = read_identity(root)
    protocol = _protocol(root, views[0], meta.text("TransferSyntaxUID"), has_preamble=has_preamble)
    if frames:
        return [_image(root, view, identity, protocol, frame=n, num_frames=len(views)) for n, view in enumerate(views)]
    digest = hashlib.blake2b(pixels, digest_size=_DIGEST_BYTES).hexdigest()
    return [_image(root, root, identity, protocol, digest=digest)]


def _image(
    root: Elements,
    view: Elements,
    identity: Identity,
    protocol: Protocol,
    *,
    frame: int | None = None,
    num_frames: int = 1,
    digest: str = "",
) -> Image:
    orientation = view.numbers("ImageOrientationPatient")
    position = view.numbers("ImagePositionPatient")
    image_type = root.texts("ImageType") if frame is None else view.texts("FrameType")
    component = view.texts("ComplexImageComponent")
    echo_time = view.number("EchoTime" if frame is None else "EffectiveEchoTime")
    return Image(
        identity=identity,
        protocol=protocol,
        sop_uid=root.text("SOPInstanceUID"),
        frame=frame,
        num_frames=num_frames,
        image_type=tuple(value.upper() for value in image_type + component),
        orientation=orientation if len(orientation) == 6 else None,
        position_mm=position if len(position) == 3 else None,
        rows=int(root.number("Rows") or 0),
        columns=int(root.number("Columns") or 0),
        pixel_spacing_mm=view.numbers("PixelSpacing"),
        echo_time_ms=echo_time or None,
        b_value_s_mm2=_b_value(view, protocol.vendor),
        moment=tuple(view.text(keyword) for keyword in (_MOMENT if frame is None else _FRAME_MOMENT)),
        pixel_digest=digest,
    )


def _protocol(root: Elements, view: Elements, transfer_syntax: str, *, has_preamble: bool) -> Protocol:
    scanner = tuple(root.text(keyword) for keyword in _SCANNER)
    return Protocol(
        sop_class=root.text("SOPClassUID"),
        modality=root.text("Modality").upper(),
        transfer_syntax=transfer_syntax,
        has_preamble=has_preamble,
        vendor=vendor_code(scanner[0]),
        scanner=scanner,
        series_description=root.text("SeriesDescription"),
        protocol_name=root.text("ProtocolName"),
        sequence_name=root.text("SequenceName") or root.text("PulseSequenceName"),
        body_part=root.text("BodyPartExamined"),
        contrast_agent=view.text("ContrastBolusAgent"),
        angio_flag=root.text("AngioFlag") or root.text("TimeOfFlightContrast")[:1],
        scanning_sequence=root.texts("ScanningSequence") or _enhanced_sequence(root, view),
        acquisition_type=root.text("MRAcquisitionType"),
        patient_age=root.text("PatientAge"),
        repetition_time_ms=view.number("RepetitionTime") or None,
        inversion_time_ms=view.number("InversionTime") or view.number("InversionTimes") or None,
        flip_angle_deg=view.number("FlipAngle") or None,
        field_strength_t=_field_strength(root.number("MagneticFieldStrength")),
    )


def _enhanced_sequence(root: Elements, view: Elements) -> tuple[str, ...]:
    """Say in the classic codes what the enhanced objects say in several elements."""
    kind = root.text("EchoPulseSequence").upper()
    is_said = {
        "SE": kind in ("SPIN", "BOTH"),
        "GR": kind in ("GRADIENT", "BOTH"),
        "EP": root.text("EchoPlanarPulseSequence").upper() == "YES",
        "IR": view.text("InversionRecovery").upper() == "YES",
    }
    return tuple(code for code, is_true in is_said.items() if is_true)


def _b_value(view: Elements, vendor: str) -> float | None:
    value = view.number("DiffusionBValue")
    if value is None and vendor in _PRIVATE_B_VALUE:
        value = private_number(view.element(_PRIVATE_B_VALUE[vendor]))
    return value % _GE_B_VALUE_OFFSET if value is not None and vendor == "GE" else value


def _field_strength(value: float | None) -> float | None:
    # Some write gauss: 15000 is 1.5 T.
    return value / 10_000 if value is not None and value > 100 else value
