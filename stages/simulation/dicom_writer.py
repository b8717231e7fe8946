"""Classic MR DICOM files, fast: a series is encoded once and only what differs is spliced in."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

TRANSFER_SYNTAXES = {
    "explicit": ExplicitVRLittleEndian,
    "implicit": ImplicitVRLittleEndian,
    "jpeg2000": JPEG2000Lossless,
    "rle": RLELossless,
}
_COMPRESSED = ("jpeg2000", "rle")
_BITS_STORED = 12

# Stand-ins of fixed length for what differs between the slices; each occurs nowhere else.
_UID_MARK = "2.25." + "7" * 39
_NUMBER_MARK = "99999991"
_POSITION_MARK = "-99999.111\\-99999.222\\-99999.333"
_LOCATION_MARK = "-99999.444"
_ORIENTATION_MARK = "\\".join(f"-9999999.{axis}" for axis in range(101, 107))
_MARKS = (_UID_MARK, _NUMBER_MARK, _POSITION_MARK, _LOCATION_MARK, _ORIENTATION_MARK)


@dataclass(frozen=True)
class SliceFile:
    """What distinguishes one slice from the others of its series.

    Attributes:
        uid: SOPInstanceUID, 44 characters (``2.25.`` and 39 digits).
        number: InstanceNumber.
        position_mm: ImagePositionPatient, LPS.
        row_direction: unit vector along which the column index grows.
        column_direction: unit vector along which the row index grows.
        pixels: unsigned 12-bit values, shape (rows, columns).
    """

    uid: str
    number: int
    position_mm: np.ndarray
    row_direction: np.ndarray
    column_direction: np.ndarray
    pixels: np.ndarray


class SeriesWriter:
    """Encodes the slices of one series.

    Args:
        common: what all slices share; rows, columns and pixel format are set here.
        shape: rows and columns.
        syntax: a key of ``TRANSFER_SYNTAXES``.
    """

    def __init__(self, common: Dataset, shape: tuple[int, int], syntax: str) -> None:
        self._syntax = syntax
        self._shape = shape
        self._pieces, self._marks = _split(_encode_common(common, shape, syntax))

    def encode(self, one: SliceFile) -> bytes:
        """Encode one slice as a DICOM file."""
        position = [f"{value:10.4f}" for value in one.position_mm]
        directions = [f"{value:12.9f}" for value in (*one.row_direction, *one.column_direction)]
        normal = np.cross(one.row_direction, one.column_direction)
        values = {
            _UID_MARK: one.uid,
            _NUMBER_MARK: f"{one.number:8d}",
            _POSITION_MARK: "\\".join(position),
            _LOCATION_MARK: f"{float(normal @ one.position_mm):10.4f}",
            _ORIENTATION_MARK: "\\".join(directions),
        }
        parts = [self._pieces[0]]
        for mark, piece in zip(self._marks, self._pieces[1:], strict=True):
            if len(values[mark]) != len(mark):
                raise ValueError(f"DICOM value of {len(values[mark])} characters, expected {len(mark)}; out of range?")
            parts += [values[mark].encode("ascii"), piece]
        return b"".join([*parts, self._pixel_element(one.pixels)])

    def _pixel_element(self, pixels: np.ndarray) -> bytes:
        raw = np.ascontiguousarray(pixels, dtype="<u2")
        if self._syntax in _COMPRESSED:
            encoder = get_encoder(TRANSFER_SYNTAXES[self._syntax])
            frame = encoder.encode(raw, encoding_plugin="pylibjpeg", **_pixel_format(self._shape))
            return struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF) + encapsulate([frame]) + _DELIMITER
        data = raw.tobytes()
        if self._syntax == "implicit":
            return struct.pack("<HHL", 0x7FE0, 0x0010, len(data)) + data
        return struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, len(data)) + data


_DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def _encode_common(common: Dataset, shape: tuple[int, int], syntax: str) -> bytes:
    """Write everything but the pixels, with marks where slices differ."""
    common.SOPClassUID = MRImageStorage
    common.SOPInstanceUID = _UID_MARK
    common.InstanceNumber = _NUMBER_MARK
    common.ImagePositionPatient = _POSITION_MARK.split("\\")
    common.ImageOrientationPatient = _ORIENTATION_MARK.split("\\")
    common.SliceLocation = _LOCATION_MARK
    common.Rows, common.Columns = shape
    common.SamplesPerPixel = 1
    common.PhotometricInterpretation = "MONOCHROME2"
    common.BitsAllocated, common.BitsStored, common.HighBit = 16, _BITS_STORED, _BITS_STORED - 1
    common.PixelRepresentation = 0
    common.file_meta = FileMetaDataset()
    common.file_meta.MediaStorageSOPClassUID = MRImageStorage
    common.file_meta.MediaStorageSOPInstanceUID = UID(_UID_MARK)
    common.file_meta.TransferSyntaxUID = TRANSFER_SYNTAXES[syntax]
    common.file_meta.ImplementationClassUID = UID("2.25.297204910345823104918462380145623984012")
    common.file_meta.ImplementationVersionName = "SIMULATED"
    buffer = io.BytesIO()
    dcmwrite(buffer, common, enforce_file_format=True)
    return buffer.getvalue()


def _split(encoded: bytes) -> tuple[list[bytes], list[str]]:
    """Cut encoded bytes at the marks, in the order in which they stand."""
    found = sorted((start, mark) for mark in _MARKS for start in _occurrences(encoded, mark.encode("ascii")))
    pieces, end = [], 0
    for start, mark in found:
        pieces.append(encoded[end:start])
        end = start + len(mark)
    return [*pieces, encoded[end:]], [mark for _, mark in found]


def _occurrences(encoded: bytes, mark: bytes) -> Iterator[int]:
    start = encoded.find(mark)
    while start >= 0:
        yield start
        start = encoded.find(mark, start + len(mark))


def _pixel_format(shape: tuple[int, int]) -> dict[str, Any]:
    return {
        "rows": shape[0],
        "columns": shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": 16,
        "bits_stored": _BITS_STORED,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
    }
