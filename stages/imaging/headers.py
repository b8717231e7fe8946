"""Read the header of a DICOM file into plain values (``dicom.Image``)."""

from __future__ import annotations

import hashlib
import io
import struct
from math import hypot
from operator import mul

import pydicom
from pydicom.dataset import Dataset

from stages.imaging.decoding import inflate
from stages.imaging.dicom import Identity, Image, Protocol, Weighting
from stages.imaging.diffusion import b_value_s_mm2, num_tiles
from stages.imaging.elements import Elements, PrivateTag, private_number
from stages.imaging.identities import read_identity
from stages.imaging.ledger import SetAside
from stages.imaging.objects import DICOMDIR, SPECTROSCOPY, is_document
from stages.imaging.pixels import DEFLATED, Format, check_pixels, is_supported, read_format

_DIGEST_BYTES = 16
# Direction cosines are written with a few digits only; beyond this they are no rotation.
_COSINE_TOLERANCE = 0.05
_MAX_POSITION_MM = 1e4
# Which part of the complex image GE stored, a word that other vendors put into ImageType.
_GE_PART = PrivateTag(0x0043, "GEMS_PARM_01", 0x2F)
_GE_PARTS = {1.0: "PHASE", 2.0: "REAL", 3.0: "IMAGINARY"}
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
    if len(head) < 132 or head[:2] not in (b"\x08\x00", b"\x02\x00", b"\x00\x08"):
        return False
    is_explicit = head[4:6] in (b"UI", b"UL", b"CS", b"OB", b"DA", b"TM", b"SH", b"LO")
    is_little_endian = head[1] == 0
    return is_explicit or (is_little_endian and struct.unpack("<I", head[4:8])[0] <= 64)


def read_images(data: bytes) -> list[Image]:
    """Read the header of a DICOM file, and check that its pixel data can be what the header claims.

    Returns:
        One entry for a classic file, one a frame for an enhanced one.

    Raises:
        SetAside: if the header is damaged or describes no image.
    """
    try:
        plain = inflate(data)
        buffer = io.BytesIO(plain)
        ds = pydicom.dcmread(buffer, stop_before_pixels=True, force=True)
        syntax = DEFLATED if plain is not data else str(ds.file_meta.get("TransferSyntaxUID", ""))
        rest = memoryview(plain)[buffer.tell() :]
        return _images(ds, rest, syntax, has_preamble=data[128:132] == b"DICM")
    except (SetAside, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - a hostile header may raise anything; it costs one row
        raise SetAside("damaged_dicom") from None


def vendor_code(manufacturer: str) -> str:
    """Return the allow-listed code of a manufacturer; OTHER if it is none of them."""
    name = f"{manufacturer.upper()} "
    return next((code for part, code in _VENDORS if part in name), "OTHER")


def _images(ds: Dataset, rest: memoryview, syntax: str, *, has_preamble: bool) -> list[Image]:
    root = Elements(ds)
    _check_object(root)
    pixels = read_format(root)
    if is_supported(syntax):
        is_implicit, is_little_endian = ds.original_encoding
        check_pixels(rest, pixels, syntax, (bool(is_implicit), bool(is_little_endian)))
    frames = root.value("PerFrameFunctionalGroupsSequence") or []
    if frames and len(frames) != pixels.frames:
        raise SetAside("wrong_frames")
    shared = list(root.value("SharedFunctionalGroupsSequence") or [])[:1]
    views = [Elements(ds, frame, *shared) for frame in frames] or [root]
    identity = read_identity(root)
    protocol = _protocol(root, views[0], syntax, has_preamble=has_preamble)
    if frames:
        return [_image(root, view, identity, protocol, pixels, frame=number) for number, view in enumerate(views)]
    digest = hashlib.blake2b(rest, digest_size=_DIGEST_BYTES).hexdigest()
    return [_image(root, root, identity, protocol, pixels, digest=digest)]


def _check_object(root: Elements) -> None:
    """Check that a file is an object that holds an image."""
    sop_class = root.text("SOPClassUID")
    stored_class = Elements(root.root.file_meta).text("MediaStorageSOPClassUID")
    if DICOMDIR in (sop_class, stored_class) or "DirectoryRecordSequence" in root.root:
        raise SetAside("dicomdir")
    if is_document(sop_class or stored_class):
        raise SetAside("document")
    has_matrix = bool(root.number("Rows") and root.number("Columns"))
    if not (sop_class or root.text("Modality") or has_matrix):
        raise SetAside("damaged_dicom")
    if sop_class == SPECTROSCOPY or not has_matrix:
        raise SetAside("not_image")


def _image(
    root: Elements,
    view: Elements,
    identity: Identity,
    protocol: Protocol,
    pixels: Format,
    *,
    frame: int | None = None,
    digest: str = "",
) -> Image:
    is_frame = frame is not None
    image_type = _image_type(root, view, protocol.vendor, is_frame=is_frame)
    return Image(
        identity=identity,
        protocol=protocol,
        weighting=_weighting(view),
        sop_uid=root.text("SOPInstanceUID"),
        frame=frame,
        num_frames=pixels.frames,
        image_type=image_type,
        orientation=_orientation(view),
        position_mm=_position(view),
        rows=pixels.rows,
        columns=pixels.columns,
        num_bytes=pixels.frame_bytes,
        is_colour=pixels.samples > 1 or root.text("PhotometricInterpretation") == "PALETTE COLOR",
        has_burned_in_text=root.text("BurnedInAnnotation").upper() == "YES",
        pixel_spacing_mm=view.numbers("PixelSpacing"),
        echo_time_ms=view.number("EffectiveEchoTime" if is_frame else "EchoTime") or None,
        echo_number=root.text("EchoNumbers"),
        b_value_s_mm2=b_value_s_mm2(view, protocol.vendor),
        stack=view.text("StackID") if is_frame else "",
        moment=tuple(view.text(keyword) for keyword in (_FRAME_MOMENT if is_frame else _MOMENT)),
        num_tiles=num_tiles(root) if "MOSAIC" in image_type else 0,
        pixel_digest=digest,
    )


def _image_type(root: Elements, view: Elements, vendor: str, *, is_frame: bool) -> tuple[str, ...]:
    """Values of ImageType, and the part of the complex image that other elements name."""
    values = view.texts("FrameType") if is_frame else root.texts("ImageType")
    parts = view.texts("ComplexImageComponent")
    if vendor == "GE":
        part = _GE_PARTS.get(private_number(view.private(_GE_PART)) or 0.0)
        parts += (part,) if part else ()
    return tuple(value.upper() for value in values + parts)


def _orientation(view: Elements) -> tuple[float, ...] | None:
    """Direction cosines of rows and columns; None if they are no unit vectors at a right angle."""
    cosines = view.numbers("ImageOrientationPatient")
    if len(cosines) != 6:
        return None
    row, column = cosines[:3], cosines[3:]
    faults = (hypot(*row) - 1.0, hypot(*column) - 1.0, sum(map(mul, row, column)))
    return cosines if max(map(abs, faults)) <= _COSINE_TOLERANCE else None


def _position(view: Elements) -> tuple[float, ...] | None:
    """Centre of the first voxel; None unless it lies within reach of a scanner."""
    position = view.numbers("ImagePositionPatient")
    is_place = len(position) == 3 and max(map(abs, position)) <= _MAX_POSITION_MM
    return position if is_place else None


def _weighting(view: Elements) -> Weighting:
    return Weighting(
        repetition_time_ms=view.number("RepetitionTime") or None,
        inversion_time_ms=view.number("InversionTime") or view.number("InversionTimes") or None,
        flip_angle_deg=view.number("FlipAngle") or None,
        contrast_agent=view.text("ContrastBolusAgent"),
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
        angio_flag=root.text("AngioFlag") or root.text("TimeOfFlightContrast")[:1],
        scanning_sequence=root.texts("ScanningSequence") or _enhanced_sequence(root, view),
        acquisition_type=root.text("MRAcquisitionType"),
        patient_age=root.text("PatientAge"),
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


def _field_strength(value: float | None) -> float | None:
    # Some write gauss: 15000 is 1.5 T.
    return value / 10_000 if value is not None and value > 100 else value
