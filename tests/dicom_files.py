"""Small DICOM series for tests, written by pydicom; every name and number is invented."""

from __future__ import annotations

import io
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
ROWS, COLUMNS = 72, 68

SECRETS = {
    "PatientName": "Quillfeather^Zebulon",
    "PatientID": "QX-7734521",
    "PatientBirthDate": "19310712",
    "AccessionNumber": "ACZ90817263",
    "InstitutionName": "Mirkwater Infirmary",
    "ReferringPhysicianName": "Oxblood^Hortensia",
    "StudyDescription": "MR HEAD Quillfeather",
    "StationName": "ZEBMR1",
}


def header(**changes: Any) -> Dataset:
    """A T2 slice of a head; keyword arguments replace or (None) remove elements."""
    ds = Dataset()
    ds.SOPClassUID, ds.Modality, ds.Manufacturer = MRImageStorage, "MR", "SIEMENS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.StudyDate, ds.StudyTime, ds.PatientAge = "20200510", "101500", "088Y"
    ds.SeriesDescription, ds.ProtocolName = "t2_tse_tra", "t2_tse_tra"
    ds.SeriesNumber, ds.AcquisitionNumber = 3, 1
    ds.ImageType, ds.ScanningSequence, ds.BodyPartExamined = ["ORIGINAL", "PRIMARY", "M", "ND"], "SE", "HEAD"
    ds.RepetitionTime, ds.EchoTime, ds.MagneticFieldStrength = 4800.0, 96.0, 1.5
    ds.PixelSpacing, ds.SliceThickness, ds.PatientPosition = [2.0, 2.0], 4.0, "HFS"
    ds.ImageOrientationPatient = list(AXIAL)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    for name, value in (SECRETS | changes).items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    return ds


def slices(num: int = 6, gap_mm: float = 4.0, seed: int = 0, **changes: Any) -> list[Dataset]:
    """A series of slices in the order of their positions, each with pixels of its own."""
    rng = np.random.default_rng(seed)
    common = header(**changes)
    cosines = np.array(common.ImageOrientationPatient, dtype=float)
    normal = np.cross(cosines[:3], cosines[3:])
    found = []
    for number in range(num):
        ds = deepcopy(common)
        ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(), number + 1
        ds.ImagePositionPatient = [float(v) for v in normal * gap_mm * number - 9.0]
        ds.Rows, ds.Columns = ROWS, COLUMNS
        ds.PixelData = rng.integers(0, 4000, (ROWS, COLUMNS), dtype=np.uint16).tobytes()
        found.append(ds)
    return found


def enhanced(
    b_values: tuple[float, ...] = (0.0,), num: int = 6, gap_mm: float = 4.0, seed: int = 0, stacks: int = 1
) -> Dataset:
    """An enhanced multi-frame object: a volume for each b-value, in each of several parallel stacks."""
    rng = np.random.default_rng(seed)
    ds = header(SOPClassUID=EnhancedMRImageStorage, SeriesDescription="ep2d_diff", ImageOrientationPatient=None)
    for name in ("PixelSpacing", "SliceThickness", "RepetitionTime", "EchoTime", "ScanningSequence"):
        delattr(ds, name)
    ds.SOPInstanceUID, ds.InstanceNumber = generate_uid(), 1
    ds.Rows, ds.Columns, ds.NumberOfFrames = ROWS, COLUMNS, num * len(b_values) * stacks
    ds.EchoPulseSequence, ds.EchoPlanarPulseSequence = "SPIN", "YES"
    timing = _item(RepetitionTime=4000.0, FlipAngle=90.0)
    shared = _item(MRTimingAndRelatedParametersSequence=Sequence([timing]))
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    volumes = range(len(b_values))
    places = [(stack, volume, number) for stack in range(stacks) for volume in volumes for number in range(num)]
    ds.PerFrameFunctionalGroupsSequence = Sequence([_frame(s, v, n, b_values[v], gap_mm) for s, v, n in places])
    ds.PixelData = rng.integers(0, 4000, (len(places), ROWS, COLUMNS), dtype=np.uint16).tobytes()
    return ds


def encode(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The bytes of a DICOM file, compressed if the transfer syntax asks for it."""
    copy = deepcopy(ds)
    copy.file_meta = FileMetaDataset()
    copy.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if syntax != ExplicitVRLittleEndian:
        if _is_compressed(syntax):
            copy.compress(syntax, generate_instance_uid=False)
        copy.file_meta.TransferSyntaxUID = syntax
    buffer = io.BytesIO()
    copy.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def write(folder: Path, datasets: list[Dataset], syntax: str = ExplicitVRLittleEndian, prefix: str = "IM") -> None:
    """Write data sets as files named by their place in the list."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, ds in enumerate(datasets):
        (folder / f"{prefix}{number:04d}").write_bytes(encode(ds, syntax))


def edited(data: bytes, **changes: Any) -> bytes:
    """A file with elements replaced or (None) removed, whatever its pixel data then means."""
    ds = pydicom.dcmread(io.BytesIO(data), force=True)
    for name, value in changes.items():
        if value is None:
            delattr(ds, name)
        else:
            setattr(ds, name, value)
    buffer = io.BytesIO()
    ds.save_as(buffer)
    return buffer.getvalue()


def volume(datasets: list[Dataset]) -> np.ndarray:
    """Voxels of axial slices as a NIfTI file holds them: left-right, posterior-anterior, slice."""
    pixels = [np.frombuffer(ds.PixelData, dtype=np.uint16).reshape(ROWS, COLUMNS) for ds in datasets]
    return np.stack([image[::-1].T for image in pixels], axis=-1)


def _is_compressed(syntax: str) -> bool:
    return getattr(syntax, "is_compressed", False) and not getattr(syntax, "is_deflated", False)


def _item(**values: Any) -> Dataset:
    ds = Dataset()
    for name, value in values.items():
        setattr(ds, name, value)
    return ds


def _frame(stack: int, volume: int, number: int, b_value: float, gap_mm: float) -> Dataset:
    # The second stack lies above the first, off its raster.
    position = [-9.0, -9.0, gap_mm * number - 9.0 + stack * 57.3]
    content = _item(
        TemporalPositionIndex=volume + 1,
        StackID=str(stack + 1),
        InStackPositionNumber=number + 1,
        DimensionIndexValues=[1, number + 1, volume + 1],
    )
    measures = _item(PixelSpacing=[2.0, 2.0], SliceThickness=4.0, SpacingBetweenSlices=gap_mm)
    return _item(
        FrameContentSequence=Sequence([content]),
        PlanePositionSequence=Sequence([_item(ImagePositionPatient=position)]),
        PlaneOrientationSequence=Sequence([_item(ImageOrientationPatient=list(AXIAL))]),
        PixelMeasuresSequence=Sequence([measures]),
        MREchoSequence=Sequence([_item(EffectiveEchoTime=80.0)]),
        MRDiffusionSequence=Sequence([_item(DiffusionBValue=b_value)]),
        MRImageFrameTypeSequence=Sequence([_item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"])]),
    )
