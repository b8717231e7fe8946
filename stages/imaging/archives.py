"""Files of an export, loose or in ZIP and tar archives, read in bounded memory without unpacking."""

from __future__ import annotations

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from stages.artifacts.watchdog import keep_alive
from stages.imaging import headers
from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings

Kind = Literal["file", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz", "gz", "bz2", "xz"]

# What the readers of archives raise on hostile bytes (ValueError: names in a wrong encoding).
_FAULTS = (
    *(OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError, LookupError),
)
_HEAD_BYTES = 512
_DIGEST_BYTES = 16
_CHUNK_BYTES = 2**20
_STEP_BYTES = 2**26
_STREAMS: dict[str, Callable[..., Any]] = {
    **{"tar.gz": gzip.open, "tar.bz2": bz2.open, "tar.xz": lzma.open},
    **{"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open},
}
_ZIP_ENTRY = struct.Struct("<4s4xH18x3H12x")
_ZIP_ENTRY_MAGIC = b"PK\x01\x02"
_UTF8_NAME = 1 << 11
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "tar.gz"),
    (b"BZh", "tar.bz2"),
    (b"\xfd7zXZ\x00", "tar.xz"),
)


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file lies: below the input folder, or inside an archive there.

    Attributes:
        path: path below the input folder.
        kind: how the bytes are reached; a compressed file that is no archive has one member.
        member: path inside the archive.
        offset: number of the member in a ZIP, first byte of its data in a tar.
        size: bytes of the file.
    """

    path: str
    kind: Kind = "file"
    member: str | None = None
    offset: int = 0
    size: int = 0

    @property
    def is_rewound_slowly(self) -> bool:
        """Whether reading backwards starts from the beginning (compressed tar or file)."""
        return self.kind in _STREAMS


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was found, and why it cannot be read, if so."""

    location: Location
    reason: str | None = None


def archive_kind(head: bytes) -> Kind | None:
    """Tell an archive by its first bytes; a compressed file may still turn out to hold no tar."""
    if head[257:262] == b"ustar":
        return "tar"
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def read_head(root: Path, path: str) -> bytes:
    """Read the first bytes of a loose file.

    Raises:
        SetAside: if it cannot be read.
    """
    try:
        with (root / path).open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError:
        raise SetAside("unreadable_file") from None


def members(root: Path, path: str, kind: Kind, settings: ConversionSettings) -> Iterator[Found]:
    """List the files in an archive; folders are skipped, and what may not be read carries its reason.

    Raises:
        SetAside: if the archive is damaged, holds too much or too many members, or is no archive after all.
    """
    found: list[Found] = []
    try:
        _list_into(found, root, path, kind, settings)
    except _FAULTS:
        # A compressed file that holds no tar at all may be a file that was compressed by itself.
        if not found and kind in _STREAMS:
            yield _compressed_file(root, path, kind, settings)
            return
        yield from found
        raise SetAside("damaged_archive") from None
    yield from found
    # To list what follows in a compressed archive it would have to be unpacked.
    if kind in _STREAMS and sum(member.location.size for member in found) > settings.max_archive_bytes:
        raise SetAside("archive_too_large")


def read(root: Path, location: Location) -> bytes:
    """Read a file or member whole; never more bytes than were listed for it.

    Raises:
        SetAside: if it cannot be read.
    """
    try:
        if location.kind == "file":
            return (root / location.path).read_bytes()
        full = root / location.path
        data = _read_member(_open(full, location.kind, full.stat().st_mtime_ns), location)
    except _FAULTS:
        raise SetAside("unreadable_file" if location.kind == "file" else "damaged_archive") from None
    if len(data) != location.size:
        raise SetAside("damaged_archive")
    return data


def digest_of(data: bytes) -> str:
    """Hash the bytes of a file."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _list_into(found: list[Found], root: Path, path: str, kind: Kind, settings: ConversionSettings) -> None:
    unpacked = 0
    for location, reason in _zip_members(root, path) if kind == "zip" else _tar_members(root, path, kind):
        keep_alive()
        if len(found) == settings.max_archive_members:
            raise SetAside("too_many_members")
        unpacked += location.size
        found.append(Found(location, reason or _limit(location, unpacked, settings)))
        if kind in _STREAMS and unpacked > settings.max_archive_bytes:
            return


def _compressed_file(root: Path, path: str, kind: Kind, settings: ConversionSettings) -> Found:
    """Look at a DICOM file that was compressed by itself.

    Raises:
        SetAside: if it is damaged or holds something else.
    """
    size = 0
    try:
        with _STREAMS[kind](root / path, "rb") as stream:
            head = stream.read(_HEAD_BYTES)
            if not headers.is_dicom(head):
                raise SetAside("not_dicom")
            size = len(head)
            while size <= settings.max_member_bytes and (chunk := stream.read(_CHUNK_BYTES)):
                size += len(chunk)
                keep_alive()
    except _FAULTS:
        raise SetAside("damaged_archive" if size else "not_dicom") from None
    location = Location(path, cast(Kind, kind.removeprefix("tar.")), PurePosixPath(path).stem, 0, size)
    return Found(location, "file_too_large" if size > settings.max_member_bytes else None)


def _limit(location: Location, unpacked: int, settings: ConversionSettings) -> str | None:
    if location.size > settings.max_member_bytes:
        return "file_too_large"
    return "archive_too_large" if unpacked > settings.max_archive_bytes else None


def _is_unsafe(member: str) -> bool:
    path = PurePosixPath(member.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or member[1:2] == ":" or "\0" in member


def _zip_members(root: Path, path: str) -> Iterator[tuple[Location, str | None]]:
    with contextlib.closing(_ZipBytes(root / path)) as file, _open_zip(file) as archive:
        for number, info in enumerate(archive.infolist()):
            if info.is_dir():
                continue
            location = Location(path, "zip", info.filename, number, info.file_size)
            if _is_unsafe(info.orig_filename):
                yield location, "unsafe_path"
            elif stat.S_ISLNK(info.external_attr >> 16):
                yield location, "special_file"
            else:
                yield location, "encrypted_member" if info.flag_bits & 1 else None


class _ZipBytes(io.BufferedReader):
    """A ZIP file whose directory can be read though a name in it is not the UTF-8 it is said to be.

    Such a name is read as one of the old kind, which any bytes are, so that only its own member suffers.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.is_listing = True

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if not self.is_listing or not data.startswith(_ZIP_ENTRY_MAGIC):
            return data
        directory, place = bytearray(data), 0
        while directory.startswith(_ZIP_ENTRY_MAGIC, place) and place + _ZIP_ENTRY.size <= len(directory):
            _, flags, *lengths = _ZIP_ENTRY.unpack_from(directory, place)
            name = place + _ZIP_ENTRY.size
            if flags & _UTF8_NAME and not _is_utf8(directory[name : name + lengths[0]]):
                directory[place + 9] &= ~(_UTF8_NAME >> 8) & 0xFF
            place = name + sum(lengths)
        return bytes(directory)


def _open_zip(file: _ZipBytes) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(file)
    file.is_listing = False
    return archive


def _is_utf8(name: bytes | bytearray) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _tar_members(root: Path, path: str, kind: Kind) -> Iterator[tuple[Location, str | None]]:
    with tarfile.open(root / path, "r:*") as archive:
        for info in archive:
            if info.isdir():
                continue
            if info.size < 0:
                raise tarfile.TarError
            location = Location(path, kind, info.name, info.offset_data, info.size)
            if _is_unsafe(info.name):
                yield location, "unsafe_path"
            else:
                yield location, None if info.isreg() and not info.issparse() else "special_file"


@functools.lru_cache(maxsize=4)
def _open(path: Path, kind: Kind, _modified_ns: int) -> zipfile.ZipFile | IO[bytes]:
    """Keep the last archives open: a listing can hold many thousand members."""
    if kind == "zip":
        return _open_zip(_ZipBytes(path))
    return cast(IO[bytes], _STREAMS[kind](path, "rb")) if kind in _STREAMS else path.open("rb")


def _read_member(handle: zipfile.ZipFile | IO[bytes], location: Location) -> bytes:
    if isinstance(handle, zipfile.ZipFile):
        with handle.open(handle.infolist()[location.offset]) as member:
            return member.read(location.size + 1)
    # Forward in steps: a compressed stream is unpacked on the way.
    while handle.tell() != location.offset:
        handle.seek(min(location.offset, handle.tell() + _STEP_BYTES) if handle.tell() < location.offset else 0)
        keep_alive()
    return handle.read(location.size)
