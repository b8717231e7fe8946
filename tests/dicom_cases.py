"""One small export for each way in which a hospital's DICOM goes wrong, and what must become of it."""

from __future__ import annotations

import functools
import io
import zlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dicom_files as df
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    LegacyConvertedEnhancedMRImageStorage,
    RLELossless,
    generate_uid,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
MPEG4 = "1.2.840.10008.1.2.4.102"
GE = {"Manufacturer": "GE MEDICAL SYSTEMS"}
DIFFUSION = {"ScanningSequence": "EP", "SeriesDescription": "ep2d_diff", "EchoTime": 80.0}
ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND"]


@dataclass(frozen=True)
class Case:
    """An export and what is expected of it.

    Attributes:
        write: writes it into a folder.
        num_series: series that are converted.
        set_aside: how many files are set aside with each reason.
    """

    write: Callable[[Path], None]
    num_series: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)


def series_uids() -> dict[str, str]:
    """UIDs of one series, to be shared by slices that come from different acquisitions."""
    return {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}


def moved(ds: Dataset, *offset_mm: float) -> Dataset:
    """Move a slice in the patient."""
    ds.ImagePositionPatient = [float(v + mm) for v, mm in zip(ds.ImagePositionPatient, offset_mm, strict=True)]
    return ds


def changed(datasets: list[Dataset], **changes: Any) -> list[Dataset]:
    """Set (or with None remove) elements in every data set."""
    for ds in datasets:
        for name, value in changes.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)
    return datasets


def _as_file(make: Callable[[], list[Dataset]], syntax: str | None = None) -> Callable[[Path], None]:
    return lambda folder: df.write(folder, make(), *([syntax] if syntax else []))


def _all(reason: str, make: Callable[[], list[Dataset]], num: int = 6, syntax: str | None = None) -> Case:
    return Case(_as_file(make, syntax), 0, {reason: num})


def _used(make: Callable[[], list[Dataset]], num_series: int = 1, **set_aside: int) -> Case:
    return Case(_as_file(make), num_series, set_aside)


def _odd(reason: str, **changes: Any) -> Case:
    return _all(reason, lambda: df.slices(**changes))


def _one_file(reason: str, make: Callable[[], bytes], name: str = "odd") -> Case:
    """A file beside a good series, which must not suffer from it."""

    def write(folder: Path) -> None:
        df.write(folder, df.slices(num=5))
        (folder / name).write_bytes(make())

    return Case(write, 1, {reason: 1})


def _bundled(reason: str, *names: str) -> Case:
    """Files that come with pydicom."""

    def write(folder: Path) -> None:
        df.write(folder, df.slices(num=5))
        for number, name in enumerate(names):
            path = get_testdata_file(name, download=False)
            (folder / f"bundled{number}").write_bytes(Path(path).read_bytes())

    return Case(write, 1, {reason: len(names)})


def _written(reason: str | None, make: Callable[[Dataset], bytes], num: int = 6) -> Case:
    """A series each file of which is written in an odd way."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        for number, ds in enumerate(df.slices(num=num)):
            (folder / f"{number}").write_bytes(make(ds))

    return Case(write, 0, {reason: num}) if reason else Case(write, 1)


# Geometry and copies


def _three_planes() -> list[Dataset]:
    uids = series_uids()
    planes = (df.AXIAL, df.CORONAL, df.SAGITTAL)
    return [ds for plane in planes for ds in df.slices(ImageOrientationPatient=list(plane), **uids)]


def _tilted(slope: float = 0.27) -> list[Dataset]:
    """Slices whose positions run askew to their normal, as a tilted gantry moves them."""
    return [moved(ds, 0.0, slope * 4.0 * n, 0.0) for n, ds in enumerate(df.slices(num=9, GantryDetectorTilt=-15.0))]


def _copied() -> list[Dataset]:
    slices = df.slices(num=7)
    again = deepcopy(slices[3])
    again.SOPInstanceUID, again.InstanceNumber = generate_uid(), 8
    return [*slices, slices[2], again]


GEOMETRY = {
    "missing slice": _all("missing_slice", lambda: [ds for n, ds in enumerate(df.slices(num=9)) if n != 4], 8),
    "unequal spacing": _all(
        "uneven_spacing", lambda: [moved(ds, 0, 0, 1.5 * (n == 4)) for n, ds in enumerate(df.slices(num=9))], 9
    ),
    "slice beside the others": _all(
        "shifted_slices", lambda: [moved(ds, 5.0 * (n == 4), 0, 0) for n, ds in enumerate(df.slices(num=9))], 9
    ),
    "too few slices": _all("too_few_slices", lambda: df.slices(num=3), 3),
    "no orientation": _all("missing_geometry", lambda: changed(df.slices(), ImageOrientationPatient=None)),
    "no position": _all("missing_geometry", lambda: changed(df.slices(), ImagePositionPatient=None)),
    "orientation that is no rotation": _all(
        "missing_geometry", lambda: changed(df.slices(), ImageOrientationPatient=[1, 0, 0, 1, 0, 0])
    ),
    "no pixel size": _all("missing_pixel_spacing", lambda: changed(df.slices(), PixelSpacing=None)),
    "no series UID": _all("missing_uid", lambda: changed(df.slices(), SeriesInstanceUID=None)),
    "copies": _used(_copied, 1, duplicate=2),
    "gantry tilt": _used(_tilted),
    "no patient position": _used(lambda: changed(df.slices(), PatientPosition=None)),
}


# Several acquisitions in one series


def _two(first: dict[str, Any], second: dict[str, Any], num: int = 6, **common: Any) -> list[Dataset]:
    """Two volumes at the same positions in one series."""
    uids = series_uids()
    volumes = [df.slices(num=num, seed=n, **uids, **common, **changes) for n, changes in enumerate((first, second))]
    return [ds for volume in volumes for ds in volume]


def _restarted(num_before: int) -> list[Dataset]:
    """A scan that was broken off after some slices, and the whole one that followed."""
    uids = series_uids()
    before = df.slices(num=num_before, AcquisitionTime="101500", **uids)
    whole = df.slices(num=9, seed=1, AcquisitionTime="102200", AcquisitionNumber=2, **uids)
    return [*before, *whole]


def _shifted_slabs() -> list[Dataset]:
    uids = series_uids()
    below, above = df.slices(num=7, **uids), df.slices(num=7, seed=1, AcquisitionNumber=2, **uids)
    return [*below, *(moved(ds, 0, 0, 10.0) for ds in above)]


def _numbered_through() -> list[Dataset]:
    """Two volumes without times or numbers of acquisitions, in which instance numbers go on."""
    both = _two({}, {}, AcquisitionNumber=None)
    for number, ds in enumerate(both):
        ds.InstanceNumber = number + 1
    return both


def _acquisition_for_each_slice() -> list[Dataset]:
    slices = df.slices(**GE)
    for number, ds in enumerate(slices):
        ds.AcquisitionNumber = number + 1
    return slices


def _time_series() -> list[Dataset]:
    uids = series_uids()
    volumes = [df.slices(num=5, seed=n, AcquisitionNumber=n + 1, **uids, **DIFFUSION) for n in range(6)]
    return [ds for volume in volumes for ds in volume]


def _unexplained() -> list[Dataset]:
    slices = df.slices(num=7)
    uids = {name: slices[0][name].value for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    return [*slices, df.slices(num=7, seed=9, **uids)[3]]


def _dual_echo() -> list[Dataset]:
    """Proton density and T2 in turn, with the numbers 1 to n twice."""
    return _two({"EchoTime": 12.0, "EchoNumbers": 1}, {"EchoTime": 96.0, "EchoNumbers": 2})


def _five_echoes() -> list[Dataset]:
    uids = series_uids()
    echoes = [df.slices(num=5, seed=n, EchoTime=5.0 * (n + 1), ScanningSequence="GR", **uids) for n in range(5)]
    return [ds for echo in echoes for ds in echo]


ACQUISITIONS = {
    "before and after contrast agent": _used(lambda: _two({}, {"ContrastBolusAgent": "gadobutrol"}, EchoTime=10.0), 2),
    "two inversion times": _used(lambda: _two({"InversionTime": 900.0}, {"InversionTime": 2500.0}), 2),
    "two flip angles": _used(lambda: _two({"FlipAngle": 5.0}, {"FlipAngle": 20.0}, ScanningSequence="GR"), 2),
    "two acquisition numbers": _used(lambda: _two({}, {"AcquisitionNumber": 2}), 2),
    "two acquisition times": _used(lambda: _two({"AcquisitionTime": "101500"}, {"AcquisitionTime": "102200"}), 2),
    "instance numbers that go on": _used(_numbered_through, 2),
    "restarted scan": _used(lambda: _restarted(6), 2),
    "restarted at once": _used(lambda: _restarted(3), 1, too_few_slices=3),
    "overlapping slabs": _used(_shifted_slabs, 2),
    "acquisition numbers that count slices": _used(_acquisition_for_each_slice),
    "time series": _used(_time_series),
    "a second image without a reason": _all("repeated_slices", _unexplained, 8),
    "two echoes, numbered alike": _used(_dual_echo, 2),
    "five echoes": _used(_five_echoes, 5),
    "echoes without echo times": _used(lambda: changed(_dual_echo(), EchoTime=None), 2),
}


# Parts of the complex image, diffusion


def _with_ge_part(datasets: list[Dataset], part: int) -> list[Dataset]:
    for ds in datasets:
        ds.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", part)
    return datasets


def _ge_phase() -> list[Dataset]:
    uids = series_uids()
    magnitude = df.slices(ImageType=["ORIGINAL", "PRIMARY", "OTHER"], **uids, **GE)
    phase = df.slices(seed=1, ImageType=["ORIGINAL", "PRIMARY", "OTHER"], **uids, **GE)
    return [*_with_ge_part(magnitude, 0), *_with_ge_part(phase, 1)]


def _enhanced_phase() -> list[Dataset]:
    ds = df.enhanced((0.0, 0.0))
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.MRImageFrameTypeSequence[0].ComplexImageComponent = "MAGNITUDE" if number < 6 else "PHASE"
    return [ds]


def _directions(values: tuple[float, ...], set_b_value: Callable[[Dataset, float], None], **changes: Any) -> Any:
    """Three directions for each b-value, an average of each, and the diffusion coefficient, in one series."""
    uids = series_uids()
    found = []
    for seed, (b_value, direction) in enumerate([(b, d) for b in values for d in range(3 if b else 1)]):
        types = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
        found += _weighted(b_value, set_b_value, seed=seed, AcquisitionNumber=direction + 1, ImageType=types,
                           **uids, **changes)  # fmt: skip
    found += _weighted(values[-1], set_b_value, seed=90, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"],
                       **uids, **changes)  # fmt: skip
    found += df.slices(num=5, seed=91, ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], **uids, **changes,
                       **DIFFUSION)  # fmt: skip
    return found


def _weighted(b_value: float, set_b_value: Callable[[Dataset, float], None], **changes: Any) -> list[Dataset]:
    slices = df.slices(num=5, **changes, **DIFFUSION)
    for ds in slices:
        set_b_value(ds, b_value)
    return slices


def _standard(ds: Dataset, b_value: float) -> None:
    ds.DiffusionBValue = b_value


def _siemens(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b_value))


def _siemens_name(ds: Dataset, b_value: float) -> None:
    ds.SequenceName = f"*ep_b{b_value:.0f}#1"


def _siemens_csa(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa_header(B_value=b_value))


def _ge(ds: Dataset, b_value: float) -> None:
    block = ds.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x39, "IS", [1_000_000 + int(b_value), 8, 0, 0])


def _philips(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", b_value)


def _uih(ds: Dataset, b_value: float) -> None:
    ds.private_block(0x0065, "Image Private Header", create=True).add_new(0x09, "FD", b_value)


def _relocated(ds: Dataset, b_value: float) -> None:
    """As an archive writes it that moves private blocks."""
    ds.private_block(0x0019, "SOMEBODY ELSE", create=True).add_new(0x0C, "LO", "nothing")
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0C, "IS", int(b_value))


def csa_header(**numbers: float) -> bytes:
    """A CSA2 header, the proprietary part of Siemens headers."""
    parts = [b"SV10\4\3\2\1", np.array([len(numbers), 77], "<u4").tobytes()]
    for name, value in numbers.items():
        text = f"{value:g}".encode().ljust(16, b"\0")
        parts += [name.encode().ljust(64, b"\0"), np.array([1], "<i4").tobytes(), b"DS\0\0"]
        parts += [np.array([3, 1, 77], "<i4").tobytes(), np.array([len(text)] * 4, "<i4").tobytes(), text]
    return b"".join(parts)


VENDORS = {
    "standard": (_standard, {}),
    "Siemens": (_siemens, {}),
    "Siemens by the sequence's name": (_siemens_name, {}),
    "Siemens by the CSA header": (_siemens_csa, {}),
    "Siemens after an archive moved it": (_relocated, {}),
    "GE": (_ge, GE),
    "Philips": (_philips, {"Manufacturer": "Philips Medical Systems"}),
    "UIH": (_uih, {"Manufacturer": "UIH"}),
}

IMAGES = {
    "magnitude and phase": _used(
        lambda: _two({}, {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}), 1, not_magnitude=6
    ),
    "magnitude and phase of GE": _used(_ge_phase, 1, not_magnitude=6),
    "magnitude and phase in one enhanced file": _used(_enhanced_phase),
    "all phase": _odd("not_magnitude", ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
    "b-values of one shell that scatter": _used(
        lambda: _two({"DiffusionBValue": 974.0}, {"DiffusionBValue": 976.0}, **DIFFUSION)
    ),
} | {
    # b = 0, 1000, 2000, the average, and the diffusion coefficient.
    f"diffusion, {vendor}": _used(functools.partial(_directions, (0.0, 1000.0, 2000.0), set_b_value, **changes), 5)
    for vendor, (set_b_value, changes) in VENDORS.items()
}


# Enhanced objects


def _enhanced(**changes: Any) -> list[Dataset]:
    return changed([df.enhanced()], **changes)


def _without_positions() -> list[Dataset]:
    ds = df.enhanced()
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence
    return [ds]


def _enhanced_localiser() -> list[Dataset]:
    ds = df.enhanced(stacks=3)
    for number, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        plane = (df.AXIAL, df.CORONAL, df.SAGITTAL)[number // 6]
        normal = np.cross(plane[:3], plane[3:])
        frame.PlaneOrientationSequence[0].ImageOrientationPatient = list(plane)
        frame.PlanePositionSequence[0].ImagePositionPatient = [float(v) for v in normal * 4.0 * (number % 6) - 9.0]
    return [ds]


ENHANCED = {
    "enhanced, one stack": _used(_enhanced),
    "enhanced, two b-values": _used(lambda: [df.enhanced((0.0, 1000.0))], 2),
    "enhanced, two stacks": _used(lambda: [df.enhanced(stacks=2)], 2),
    "enhanced, three planes": _all("localiser", _enhanced_localiser, 1),
    "converted from classic": _used(lambda: _enhanced(SOPClassUID=LegacyConvertedEnhancedMRImageStorage)),
    "enhanced, compressed": Case(_as_file(_enhanced, RLELossless), 1),
    "enhanced, compressed, two stacks": Case(_as_file(lambda: [df.enhanced(stacks=2)], JPEG2000Lossless), 2),
    "enhanced, implicit": Case(_as_file(_enhanced, ImplicitVRLittleEndian), 1),
    "fewer frames described than stored": _all("wrong_frames", lambda: [_fewer_descriptions()], 1),
    "frames that are not described": _all(
        "wrong_frames", lambda: _enhanced(PerFrameFunctionalGroupsSequence=None, SharedFunctionalGroupsSequence=None), 1
    ),
    "frames without positions": _all("missing_geometry", _without_positions, 1),
}


def _fewer_descriptions() -> Dataset:
    ds = df.enhanced()
    del ds.PerFrameFunctionalGroupsSequence[3]
    return ds


# What is no MR image of a head


def _colour(**changes: Any) -> list[Dataset]:
    slices = df.slices(SamplesPerPixel=3, PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8, HighBit=7,
                       PlanarConfiguration=0, **changes)  # fmt: skip
    return changed(slices, PixelData=bytes(df.ROWS * df.COLUMNS * 3))


def _burned_in_once() -> list[Dataset]:
    slices = df.slices()
    slices[2].BurnedInAnnotation = "YES"
    return slices


def _encapsulated_pdf() -> bytes:
    ds = df.header(SOPClassUID=EncapsulatedPDFStorage, Modality="OT")
    ds.SOPInstanceUID, ds.EncapsulatedDocument = generate_uid(), b"%PDF-1.4 none"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    return df.encode(ds)


def _derived(*types: str) -> Case:
    return _odd("derived", ImageType=list(types))


OBJECTS = {
    "localiser by its type": _odd("localiser", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]),
    "localiser by its planes": _all("localiser", _three_planes, 18),
    "localiser by its name": _odd("localiser", SeriesDescription="3-plane loc"),
    "localiser in Chinese": _odd("localiser", SeriesDescription="定位像", SpecificCharacterSet="ISO_IR 192"),
    "reformat": _derived("DERIVED", "SECONDARY", "MPR"),
    "reformat by the console": _derived("DERIVED", "SECONDARY", "CSA MPR"),
    "projection": _derived("ORIGINAL", "PRIMARY", "PROJECTION IMAGE", "MIP"),
    "subtraction": _derived("DERIVED", "PRIMARY", "SUBTRACTION"),
    "anisotropy": _derived("DERIVED", "PRIMARY", "DIFFUSION", "FA"),
    "blood flow": _derived("DERIVED", "SECONDARY", "CBF"),
    "colour map": _all("derived", lambda: _colour(ImageType=["DERIVED", "PRIMARY", "DIFFUSION", "COLFA"])),
    "colour picture": _all("colour_image", _colour),
    "palette": _odd("colour_image", PhotometricInterpretation="PALETTE COLOR"),
    "screen capture": _odd("screen_capture", SOPClassUID=SECONDARY_CAPTURE),
    "burned-in text": _odd("burned_in_annotation", BurnedInAnnotation="YES"),
    "burned-in text in one slice": _all("burned_in_annotation", _burned_in_once),
    "no burned-in text": _used(lambda: df.slices(BurnedInAnnotation="NO")),
    "CT": _odd("not_mr", SOPClassUID=CT, Modality="CT"),
    "CT that says MR": _odd("not_mr", SOPClassUID=CT),
    "MR that says nothing": _used(lambda: df.slices(Modality="")),
    "MR without Modality": _used(lambda: df.slices(Modality=None)),
    "MR that says other": _used(lambda: df.slices(Modality="OT")),
    "MR that says CT": _used(lambda: df.slices(Modality="CT")),
    "MR without SOP class": _written(None, lambda ds: df.edited(df.encode(ds), SOPClassUID=None)),
    "MR without SOP class or Modality": _written(
        None, lambda ds: df.edited(df.encode(ds), SOPClassUID=None, Modality=None)
    ),
    "knee": _odd("not_head", BodyPartExamined="KNEE", StudyDescription="MR"),
    "neck by its name": _odd("not_head", SeriesDescription="t2_tse_sag C-spine"),
    "neck in Chinese": _odd("not_head", SeriesDescription="颈椎矢状位T2", SpecificCharacterSet="ISO_IR 192"),
    "lower back in Chinese": _odd("not_head", SeriesDescription="腰椎", SpecificCharacterSet="GB18030"),
    "head under a protocol of head and spine": _used(
        lambda: df.slices(ProtocolName="HEAD^SPINE", StudyDescription="MR")
    ),
    "no body part at all": _used(lambda: changed(df.slices(), BodyPartExamined=None, StudyDescription=None)),
    "phantom": _odd("test_object", PatientName="ACR Phantom"),
    "MR object without an image": _all("not_image", lambda: changed(df.slices(), Rows=None)),
    "structured reports": _bundled("document", "test-SR.dcm", "reportsi.dcm", "reportsi_with_empty_number_tags.dcm"),
    "waveform": _bundled("document", "waveform_ecg.dcm"),
    "PDF": _one_file("document", _encapsulated_pdf),
    "radiotherapy": _bundled("not_image", "rtplan.dcm", "rtstruct.dcm"),
    "radiotherapy dose": _bundled("not_mr", "rtdose.dcm"),
}


# Bytes that are not what they claim


def _slice_bytes(syntax: str | None = None, **changes: Any) -> bytes:
    return df.encode(df.slices(num=1, **changes)[0], *([syntax] if syntax else []))


def _claiming(syntax: str | None = None) -> bytes:
    return df.edited(_slice_bytes(syntax), Rows=65535, Columns=65535, NumberOfFrames=2**31 - 1)


def _claimed_element(length: int) -> bytes:
    """An element of pixel data that claims another length than it has."""
    data = bytearray(_slice_bytes())
    start = data.index(b"\xe0\x7f\x10\x00OW") + 8
    data[start : start + 4] = length.to_bytes(4, "little")
    return bytes(data)


def _bare(syntax: str) -> bytes:
    """A slice without preamble and file meta information."""
    data = _slice_bytes(syntax)
    order = "big" if syntax == ExplicitVRBigEndian else "little"
    return data[data.index((8).to_bytes(2, order) + (8).to_bytes(2, order)) :]


def _other_size() -> bytes:
    """A compressed image whose own header claims another size than the DICOM header."""
    data = bytearray(_slice_bytes(JPEG2000Lossless))
    start = data.index(b"\xff\x4f\xff\x51") + 8
    data[start : start + 8] = (60_000).to_bytes(4, "big") * 2
    return bytes(data)


def _relabelled(slice_: Dataset, syntax: str) -> bytes:
    """A compressed file that names another transfer syntax."""
    ds = pydicom.dcmread(io.BytesIO(df.encode(slice_, JPEG2000Lossless)))
    ds.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    ds.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def _zeroed(ds: Dataset) -> bytes:
    data = df.encode(ds, JPEG2000Lossless)
    start = data.index(b"\xff\x4f\xff\x51")
    return data[:start] + b"\x00" * 40 + data[start + 40 :]


def _deflated_zeros() -> bytes:
    """A small file that is two gigabytes when inflated."""
    head = _slice_bytes(DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(head[140:144], "little")
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(2**24)
    return head[:start] + b"".join(deflater.compress(block) for _ in range(128)) + deflater.flush()


def _nested(ds: Dataset, depth: int) -> bytes:
    """A header that begins with sequences inside sequences."""
    data = df.encode(ds)
    start = 144 + int.from_bytes(data[140:144], "little")
    opening = b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:start] + opening * depth + closing * depth + data[start:]


BYTES = {
    "pixels that end early": _written("truncated_pixels", lambda ds: df.encode(ds)[:-100]),
    "run lengths that end early": _written("truncated_pixels", lambda ds: df.encode(ds, RLELossless)[:-100]),
    "JPEG 2000 that ends early": _written("truncated_pixels", lambda ds: df.encode(ds, JPEG2000Lossless)[:-100]),
    "deflated pixels that end early": _written(
        "truncated_pixels", lambda ds: df.encode(ds, DeflatedExplicitVRLittleEndian)[:-100]
    ),
    "no pixels": _all("truncated_pixels", lambda: changed(df.slices(), PixelData=None)),
    "JPEG 2000 without its header": _written("damaged_pixels", _zeroed),
    "JPEG 2000 of another size": _one_file("damaged_pixels", _other_size),
    "a hundred gibibytes": _one_file("image_too_large", _claiming),
    "a hundred gibibytes, run lengths": _one_file("image_too_large", lambda: _claiming(RLELossless)),
    "four gibibytes": _one_file("truncated_pixels", lambda: df.edited(_slice_bytes(), Rows=40000, Columns=50000)),
    "four gibibytes, run lengths": _written(
        "image_too_large", lambda ds: df.edited(df.encode(ds, RLELossless), Rows=40000, Columns=50000)
    ),
    "an element of four gibibytes": _one_file("wrong_length", lambda: _claimed_element(0xFFFFFFFE)),
    "an element without a length": _one_file("wrong_length", lambda: _claimed_element(0xFFFFFFFF)),
    "an element that is too short": _one_file("wrong_length", lambda: _claimed_element(100)),
    "more pixels than the matrix": _one_file("wrong_length", lambda: df.edited(_slice_bytes(), Rows=36)),
    "padded pixels": _written(None, lambda ds: df.edited(df.encode(ds), PixelData=ds.PixelData + bytes(2))),
    "elements after the pixels": _written(None, lambda ds: df.edited(df.encode(ds), DataSetTrailingPadding=bytes(80))),
    "a small file of zeros, inflated": _one_file("image_too_large", _deflated_zeros),
    "no bits": _one_file("damaged_dicom", lambda: df.edited(_slice_bytes(), BitsAllocated=0)),
    "video": _written("unsupported_syntax", lambda ds: _relabelled(ds, MPEG4)),
    "private transfer syntax": _written("unsupported_syntax", lambda ds: _relabelled(ds, "1.2.3.4.5")),
    "implicit": _written(None, lambda ds: df.encode(ds, ImplicitVRLittleEndian)),
    "sequences in sequences": _written(None, lambda ds: _nested(ds, 20)),
    "bottomless sequences": _written("damaged_dicom", lambda ds: _nested(ds, 5000)),
}

FILES = {
    "no bytes": _one_file("empty_file", bytes),
    "text": _one_file("not_dicom", lambda: b"nothing of interest"),
    "header that is cut": _one_file("damaged_dicom", lambda: _slice_bytes()[:160]),
    "header of noise": _one_file("damaged_dicom", lambda: _slice_bytes()[:132] + bytes(range(256)) * 4),
    "directories": _bundled("dicomdir", "DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"),
    "half a ZIP": _one_file("damaged_archive", lambda: b"PK\x03\x04 and no more"),
}

CASES: dict[str, Case] = GEOMETRY | ACQUISITIONS | IMAGES | ENHANCED | OBJECTS | BYTES | FILES
