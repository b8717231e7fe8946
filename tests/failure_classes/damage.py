"""Files whose bytes are not what they claim."""

from __future__ import annotations

import io
import zipfile
import zlib
from typing import Any

import dicom_files as df
import pydicom
from failure_classes.case import (
    MPEG4,
    bundled,
    changed,
    one_file,
    set_aside,
    written,
)
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

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


def _bare(ds: Dataset, syntax: str) -> bytes:
    """A slice without preamble and file meta information."""
    data = df.encode(ds, syntax)
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
    "pixels that end early": written("truncated_pixels", lambda ds: df.encode(ds)[:-100]),
    "run lengths that end early": written("truncated_pixels", lambda ds: df.encode(ds, RLELossless)[:-100]),
    "JPEG 2000 that ends early": written("truncated_pixels", lambda ds: df.encode(ds, JPEG2000Lossless)[:-100]),
    "deflated pixels that end early": written(
        "truncated_pixels", lambda ds: df.encode(ds, DeflatedExplicitVRLittleEndian)[:-100]
    ),
    "no pixels": set_aside("truncated_pixels", lambda: changed(df.slices(), PixelData=None)),
    "JPEG 2000 without its header": written("damaged_pixels", _zeroed),
    "JPEG 2000 of another size": one_file("damaged_pixels", _other_size),
    "a hundred gibibytes": one_file("image_too_large", _claiming),
    "a hundred gibibytes, run lengths": one_file("image_too_large", lambda: _claiming(RLELossless)),
    "four gibibytes": one_file("truncated_pixels", lambda: df.edited(_slice_bytes(), Rows=40000, Columns=50000)),
    "four gibibytes, run lengths": written(
        "image_too_large", lambda ds: df.edited(df.encode(ds, RLELossless), Rows=40000, Columns=50000)
    ),
    "an element of four gibibytes": one_file("wrong_length", lambda: _claimed_element(0xFFFFFFFE)),
    "an element without a length": one_file("wrong_length", lambda: _claimed_element(0xFFFFFFFF)),
    "an element that is too short": one_file("wrong_length", lambda: _claimed_element(100)),
    "more pixels than the matrix": one_file("wrong_length", lambda: df.edited(_slice_bytes(), Rows=36)),
    "padded pixels": written(None, lambda ds: df.edited(df.encode(ds), PixelData=ds.PixelData + bytes(2))),
    "elements after the pixels": written(None, lambda ds: df.edited(df.encode(ds), DataSetTrailingPadding=bytes(80))),
    "a small file of zeros, inflated": one_file("image_too_large", _deflated_zeros),
    "no bits": one_file("damaged_dicom", lambda: df.edited(_slice_bytes(), BitsAllocated=0)),
    "video": written("unsupported_syntax", lambda ds: _relabelled(ds, MPEG4)),
    "private transfer syntax": written("unsupported_syntax", lambda ds: _relabelled(ds, "1.2.3.4.5")),
    "implicit": written(None, lambda ds: df.encode(ds, ImplicitVRLittleEndian)),
    "no preamble": written(None, lambda ds: _bare(ds, ExplicitVRLittleEndian)),
    "no preamble, implicit": written(None, lambda ds: _bare(ds, ImplicitVRLittleEndian)),
    "no preamble, big-endian": written(None, lambda ds: _bare(ds, ExplicitVRBigEndian)),
    "sequences in sequences": written(None, lambda ds: _nested(ds, 20)),
    "bottomless sequences": written("damaged_dicom", lambda ds: _nested(ds, 5000)),
}


def _encrypted() -> bytes:
    """A ZIP whose member is marked as encrypted, in both of its headers."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("slice", _slice_bytes())
    data = bytearray(buffer.getvalue())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


FILES = {
    "encrypted member": one_file("encrypted_member", _encrypted),
    "no bytes": one_file("empty_file", bytes),
    "text": one_file("not_dicom", lambda: b"nothing of interest"),
    "header that is cut": one_file("damaged_dicom", lambda: _slice_bytes()[:160]),
    "header of noise": one_file("damaged_dicom", lambda: _slice_bytes()[:132] + bytes(range(256)) * 4),
    "directories": bundled("dicomdir", "DICOMDIR", "DICOMDIR-bigEnd", "DICOMDIR-implicit", "DICOMDIR-nooffset"),
    "half a ZIP": one_file("damaged_archive", lambda: b"PK\x03\x04 and no more"),
}
