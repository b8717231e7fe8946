"""Seeded mutations of valid files: of their bytes, their lengths, their elements and their order."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable

import dicom_files as df
import pydicom
from pydicom import config
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEG2000Lossless,
    DeflatedExplicitVRLittleEndian,
)
_LENGTHS = (0, 1, 3, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 0xFFFFFFFE, 0xFFFFFFFF)
_VRS = (b"SQ", b"OB", b"OW", b"UN", b"UI", b"DS", b"IS", b"PN", b"AT", b"FD", b"US", b"UT", b"\0\0")
# Rows, columns, frames, bits, samples, planar configuration, position, orientation, spacing, pixel data.
_TOLD_TAGS = ((0x28, 0x10), (0x28, 0x11), (0x28, 0x08), (0x28, 0x100), (0x28, 0x02), (0x28, 0x06))
_TOLD_TAGS += ((0x20, 0x32), (0x20, 0x37), (0x28, 0x30), (0x7FE0, 0x10), (0x02, 0x10), (0x08, 0x16))


def series(rng: random.Random, syntax: str, **changes: object) -> list[bytes]:
    """A valid series of a study of its own, small, in a transfer syntax."""
    uids = {"StudyInstanceUID": _uid(rng), "SeriesInstanceUID": _uid(rng), "AccessionNumber": f"F{rng.random()}"[:16]}
    slices = df.slices(seed=rng.randrange(2**31), **(uids | changes))
    for ds in slices:
        ds.SOPInstanceUID = _uid(rng)
        ds.Rows, ds.Columns = 40, 36
        ds.PixelData = ds.PixelData[: 40 * 36 * 2]
    return [df.encode(ds, syntax) for ds in slices]


def enhanced(rng: random.Random) -> list[bytes]:
    """A valid multi-frame object of a study of its own."""
    ds = df.enhanced((0.0, 1000.0), seed=rng.randrange(2**31))
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID = _uid(rng), _uid(rng), _uid(rng)
    return [df.encode(ds)]


def zipped(files: list[bytes]) -> bytes:
    """Files in a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, data in enumerate(files):
            archive.writestr(zipfile.ZipInfo(f"影像/{number}"), data)
    return buffer.getvalue()


def tarred(files: list[bytes]) -> bytes:
    """Files in a compressed tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number, data in enumerate(files):
            info = tarfile.TarInfo(f"study/{number}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def mutate(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """Apply one to three mutations to a file; ``other`` is one to splice with."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_MUTATORS)(rng, data, other) or data
    return data


def _flip_bits(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _overwrite(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    start, size = rng.randrange(len(data)), rng.choice((2, 8, 64, 1024))
    run = rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size)))
    return data[:start] + run + data[start + size :]


def _cut(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    return data[: rng.randrange(1, len(data))]


def _remove(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.choice((1, 2, 7, 100)) :]


def _splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    place = rng.randrange(1, min(len(data), len(other)))
    return data[:place] + other[place + rng.choice((-1, 0, 0, 1, 8)) :]


def _repeat(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    start, size = rng.randrange(len(data)), rng.choice((8, 100, 4000))
    return data[: start + size] + data[start : start + size] * rng.choice((1, 3)) + data[start + size :]


def _lie_about_length(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    """Give an element another length, in 16 or 32 bits."""
    place = _find_element(rng, data)
    if place is None:
        return data
    kind, offset = rng.choice((("<H", 6), ("<I", 8), ("<I", 4)))
    return _put(data, place + offset, struct.pack(kind, rng.choice(_LENGTHS) & (0xFFFF if kind == "<H" else 2**32 - 1)))


def _lie_about_type(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    place = _find_element(rng, data)
    return data if place is None else _put(data, place + 4, rng.choice(_VRS))


def _lie_about_tag(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    place = _find_element(rng, data)
    return data if place is None else _put(data, place, struct.pack("<HH", *rng.choice(_TOLD_TAGS)))


def _lie_about_value(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    place = _find_element(rng, data)
    value = rng.choice(
        (b"\xff\xff", b"\0\0", b"\x01\0", b"-1", b"NaN ", b"1e999\\", b"9" * 12, b"\\\\\\\\", rng.randbytes(8))
    )
    return data if place is None else _put(data, place + 8, value)


def _nest(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    """Put sequences within sequences in front of the pixels, by defined or undefined lengths."""
    place = data.rfind(b"\xe0\x7f\x10\x00")
    if place < 0:
        return data
    inner = b""
    for _ in range(rng.choice((2, 40, 400))):
        item = b"\xfe\xff\x00\xe0" + struct.pack("<I", len(inner)) + inner
        inner = b"\x08\x00\x15\x11SQ\0\0" + struct.pack("<I", len(item)) + item
    if rng.random() < 0.3:
        inner = (b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * rng.choice((3, 300))
    return data[:place] + inner + data[place:]


def _change_element(rng: random.Random, data: bytes, _other: bytes) -> bytes:
    """Delete an element, or give it a value that its type allows and no scanner writes."""
    config.settings.reading_validation_mode = config.IGNORE
    try:
        ds = pydicom.dcmread(io.BytesIO(data), force=True)
        tag = rng.choice(list(ds.keys()))
        change = rng.randrange(4)
        if change == 0:
            del ds[tag]
        elif change == 1:
            ds.Rows, ds.Columns = rng.choice(((0, 0), (1, 1), (65535, 65535), (16, 65535), (5, 7)))
        elif change == 2:
            ds.NumberOfFrames = rng.choice((-1, 0, 2, 2**31 - 1))
        else:
            value = [rng.choice((0.0, 1e-9, 1e9, -3.0, 1.0)) for _ in range(6)]
            ds.ImageOrientationPatient, ds.ImagePositionPatient, ds.PixelSpacing = value, value[:3], value[:2]
        buffer = io.BytesIO()
        ds.save_as(buffer)
    except Exception:  # noqa: BLE001 - it was mutated before into what cannot be read or written
        return data
    return buffer.getvalue()


def _find_element(rng: random.Random, data: bytes) -> int | None:
    """Where some element with an explicit type begins, most often one that decides about the image."""
    group, element = rng.choice((*_TOLD_TAGS, (0x08, 0x05), (0x10, 0x10), (0x20, 0x0D), (0x5200, 0x9230)))
    place = data.rfind(struct.pack("<HH", group, element))
    return place if 0 <= place < len(data) - 16 else None


def _put(data: bytes, place: int, value: bytes) -> bytes:
    return data[:place] + value + data[place + len(value) :]


def _uid(rng: random.Random) -> str:
    return generate_uid(entropy_srcs=[str(rng.random())])


_MUTATORS: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    *(_flip_bits, _overwrite, _cut, _remove, _splice, _repeat, _nest),
    *(_lie_about_length, _lie_about_length, _lie_about_type, _lie_about_tag, _lie_about_value, _lie_about_value),
    *(_change_element, _change_element),
)
