"""Write a DICOM file anew as dcm2niix reads it: uncompressed, complete, and only the frames wanted."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from stages.artifacts import disk
from stages.imaging.elements import Elements
from stages.imaging.ledger import SetAside
from stages.imaging.pixels import DEFLATED, read_format

# A deflated file of zeros grows a thousandfold; a whole head at half a millimetre is a tenth of this.
_MAX_INFLATED_BYTES = 2**30
_CHUNK_BYTES = 2**24
_PREAMBLE_BYTES = 132
_NOT_OF_DECODERS = (SetAside, MemoryError, KeyboardInterrupt, SystemExit)


def inflate(data: bytes) -> bytes:
    """Return a deflated file in Explicit VR Little Endian, and any other unchanged.

    Raises:
        SetAside: ``image_too_large`` if it grows beyond 1 GiB.
    """
    if DEFLATED.encode("ascii") not in data[:2048]:
        return data
    start = _PREAMBLE_BYTES if data[128:132] == b"DICM" else 0
    buffer = io.BytesIO(data)
    buffer.seek(start)
    meta = read_dataset(buffer, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)
    if str(meta.get("TransferSyntaxUID")) != DEFLATED:
        return data
    deflated = data[buffer.tell() :]
    if _num_inflated_bytes(deflated) > _MAX_INFLATED_BYTES:
        raise SetAside("image_too_large")
    plain = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    head = DicomBytesIO()
    head.write(data[:start])
    write_file_meta_info(head, FileMetaDataset(meta), enforce_standard=False)
    return head.getvalue() + plain


def _num_inflated_bytes(deflated: bytes) -> int:
    """Count what deflated bytes grow to, without keeping it, until it is too much."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    num_bytes = 0
    while deflated and num_bytes <= _MAX_INFLATED_BYTES and not inflater.eof:
        num_bytes += len(inflater.decompress(deflated, _CHUNK_BYTES))
        deflated = inflater.unconsumed_tail
    return num_bytes


def rewrite(
    data: bytes,
    frames: tuple[int, ...] | None,
    target: Path,
    instance_number: int | None = None,
    echo_time_ms: float | None = None,
) -> None:
    """Write a DICOM file uncompressed, with a preamble, and as the MR image that it was found to be.

    Args:
        data: the file.
        frames: frames of an enhanced object to keep; None keeps it whole.
        target: the file to write.
        instance_number: number to give it; None keeps its own.
        echo_time_ms: echo time to give it and its frames; None keeps their own.

    Raises:
        SetAside: ``damaged_pixels`` if it cannot be decoded.
        MemoryError: if it asks for more memory than the process may take.
        OSError: if the disk is full.
    """
    try:
        ds = pydicom.dcmread(io.BytesIO(inflate(data)), force=True)
        _decode(ds)
        if frames is not None:
            _keep_frames(ds, frames)
        ds.Modality = "MR"
        if instance_number is not None:
            ds.InstanceNumber = instance_number
        if echo_time_ms is not None:
            _set_echo_time(ds, echo_time_ms)
        ds.save_as(target, enforce_file_format=True)
    except BaseException as fault:  # a decoder may raise anything, those in Rust no Exception; it costs one series
        if isinstance(fault, _NOT_OF_DECODERS) or (isinstance(fault, OSError) and disk.is_full(fault)):
            raise
        raise SetAside("damaged_pixels") from None


def _decode(ds: Dataset) -> None:
    syntax = ds.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        is_implicit, is_little_endian = ds.original_encoding
        explicit = ExplicitVRLittleEndian if is_little_endian else ExplicitVRBigEndian
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else explicit
    elif syntax.is_compressed:
        ds.decompress(generate_instance_uid=False)


def _keep_frames(ds: Dataset, frames: tuple[int, ...]) -> None:
    groups = ds.PerFrameFunctionalGroupsSequence
    size = read_format(Elements(ds)).frame_bytes
    if len(ds.PixelData) < size * len(groups):
        raise SetAside("wrong_length")
    ds.PixelData = b"".join(ds.PixelData[n * size : (n + 1) * size] for n in frames)
    ds.PerFrameFunctionalGroupsSequence = [groups[n] for n in frames]
    ds.NumberOfFrames = len(frames)


def _set_echo_time(ds: Dataset, time_ms: float) -> None:
    if "EchoTime" in ds:
        ds.EchoTime = time_ms
    for group in [*ds.get("SharedFunctionalGroupsSequence", []), *ds.get("PerFrameFunctionalGroupsSequence", [])]:
        for echo in group.get("MREchoSequence", []):
            echo.EffectiveEchoTime = time_ms
