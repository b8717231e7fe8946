"""Files of an export, loose or in ZIP and tar archives, read in bounded memory without unpacking."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings

Kind = Literal["file", "zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]

_ARCHIVE_FAULTS = (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)
_READ_FAULTS = (*_ARCHIVE_FAULTS, NotImplementedError, RuntimeError, ValueError)
_HEAD_BYTES = 512
_STREAMS: dict[str, Callable[..., Any]] = {"tar.gz": gzip.open, "tar.bz2": bz2.open, "tar.xz": lzma.open}
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
        kind: how the bytes are reached.
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
        """Whether reading backwards starts from the beginning (compressed tar)."""
        return self.kind in _STREAMS


@dataclass(frozen=True, slots=True)
class Found:
    """A file that was found, and why it cannot be read, if so."""

    location: Location
    reason: str | None = None


def walk(root: Path) -> Iterator[Found]:
    """List every file below a folder in sorted order; links to folders are not followed."""
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted(files):
            full = Path(folder, name)
            path = str(full.relative_to(root).as_posix())
            try:
                status = full.stat()
            except OSError:
                yield Found(Location(path), "special_file")
                continue
            is_regular = stat.S_ISREG(status.st_mode)
            yield Found(Location(path, size=status.st_size), None if is_regular else "special_file")


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
        SetAside: if the archive is damaged, holds too many members, or is no archive after all.
    """
    listing = _zip_members(root, path) if kind == "zip" else _tar_members(root, path, kind)
    unpacked = 0
    found: list[Found] = []
    try:
        for location, reason in listing:
            if len(found) == settings.max_archive_members:
                raise SetAside("too_many_members")
            unpacked += location.size
            found.append(Found(location, reason or _limit(location, unpacked, settings)))
    except _ARCHIVE_FAULTS:
        # A compressed file that holds no tar at all is simply no archive.
        if not found and kind in _STREAMS:
            raise SetAside("not_dicom") from None
        yield from found
        raise SetAside("damaged_archive") from None
    yield from found


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
    except _READ_FAULTS:
        raise SetAside("unreadable_file" if location.kind == "file" else "damaged_archive") from None
    if len(data) != location.size:
        raise SetAside("damaged_archive")
    return data


def _limit(location: Location, unpacked: int, settings: ConversionSettings) -> str | None:
    if location.size > settings.max_member_bytes:
        return "file_too_large"
    return "archive_too_large" if unpacked > settings.max_archive_bytes else None


def _is_unsafe(member: str) -> bool:
    path = PurePosixPath(member.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or member[1:2] == ":" or "\0" in member


def _zip_members(root: Path, path: str) -> Iterator[tuple[Location, str | None]]:
    with zipfile.ZipFile(root / path) as archive:
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


def _tar_members(root: Path, path: str, kind: Kind) -> Iterator[tuple[Location, str | None]]:
    with tarfile.open(root / path, "r:*") as archive:
        for info in archive:
            if info.isdir():
                continue
            location = Location(path, kind, info.name, info.offset_data, info.size)
            if _is_unsafe(info.name):
                yield location, "unsafe_path"
            else:
                yield location, None if info.isreg() and not info.issparse() else "special_file"


@functools.lru_cache(maxsize=4)
def _open(path: Path, kind: Kind, _modified_ns: int) -> zipfile.ZipFile | IO[bytes]:
    """Keep the last archives open: a listing can hold many thousand members."""
    if kind == "zip":
        return zipfile.ZipFile(path)
    return cast(IO[bytes], _STREAMS[kind](path, "rb")) if kind in _STREAMS else path.open("rb")


def _read_member(handle: zipfile.ZipFile | IO[bytes], location: Location) -> bytes:
    if isinstance(handle, zipfile.ZipFile):
        with handle.open(handle.infolist()[location.offset]) as member:
            return member.read(location.size + 1)
    handle.seek(location.offset)
    return handle.read(location.size)
