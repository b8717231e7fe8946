"""Write a DICOM file anew as dcm2niix reads it: uncompressed, complete, and only the frames wanted."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from stages.artifacts import disk
from stages.imaging.ledger import SetAside

_NOT_OF_DECODERS = (MemoryError, KeyboardInterrupt, SystemExit)


def rewrite(data: bytes, frames: tuple[int, ...] | None, target: Path) -> None:
    """Write a DICOM file uncompressed and with a preamble.

    Args:
        data: the file.
        frames: frames of an enhanced object to keep; None keeps it whole.
        target: the file to write.

    Raises:
        SetAside: ``damaged_pixels`` if it cannot be decoded.
        MemoryError: if it asks for more memory than the process may take.
        OSError: if the disk is full.
    """
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        _decode(ds)
        if frames is not None:
            _keep_frames(ds, frames)
        ds.save_as(target, enforce_file_format=True)
    except BaseException as fault:  # a decoder may raise anything, those in Rust no Exception; it costs one series
        if isinstance(fault, _NOT_OF_DECODERS) or (isinstance(fault, OSError) and disk.is_full(fault)):
            raise
        raise SetAside("damaged_pixels") from None


def _decode(ds: Dataset) -> None:
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        is_implicit = ds.original_encoding[0]
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    elif syntax.is_deflated:
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    elif syntax.is_compressed:
        ds.decompress(generate_instance_uid=False)


def _keep_frames(ds: Dataset, frames: tuple[int, ...]) -> None:
    groups = ds.PerFrameFunctionalGroupsSequence
    size = len(ds.PixelData) // len(groups)
    ds.PixelData = b"".join(ds.PixelData[n * size : (n + 1) * size] for n in frames)
    ds.PerFrameFunctionalGroupsSequence = [groups[n] for n in frames]
    ds.NumberOfFrames = len(frames)
