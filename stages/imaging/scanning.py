"""Look at every file of an export once: what it is, and what its header says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from joblib import cpu_count
from tqdm import tqdm

from stages.artifacts import watchdog
from stages.imaging import archives, headers
from stages.imaging.archives import Found, Location
from stages.imaging.dicom import Image
from stages.imaging.folders import walk
from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings

_CHUNK_FILES = 200
_CHUNK_BYTES = 4 * 2**20
_MAX_SHARED = 10_000
_REASON_OF_FAILURE = {"time": "header_timeout", "memory": "out_of_memory", "crash": "decoder_crashed"}

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Scanned:
    """A file that was looked at.

    Attributes:
        location: where it lies.
        reason: code of why it is set aside already; None for images and for archives that were read.
        digest: hash of its bytes.
        images: what it shows, one entry for a classic file, one a frame for an enhanced one.
    """

    location: Location
    reason: str | None = None
    digest: str = ""
    images: tuple[Image, ...] = ()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A loose file that was looked at, and the members of it that are still to be."""

    file: Scanned
    members: tuple[Found, ...] = ()


def scan(root: Path, settings: ConversionSettings) -> list[Scanned]:
    """Scan every file below a folder, and every member of the archives there, over all cores.

    Whatever a file does to the process that reads it, it costs that file only.

    Returns:
        Files in the order of their paths, each archive before its members.
    """
    loose = _in_chunks([walk(root, follow_links=settings.follow_links)])
    opened = _scan_chunks(_Reader(root, settings).open, loose, "files", settings)
    inside = _in_chunks(file.members for file in opened)
    scanned = iter(_scan_chunks(_Reader(root, settings).read_member, inside, "members", settings))
    files: list[Scanned] = []
    for file in opened:
        files.append(file.file)
        files += (next(scanned).file for _ in file.members)
    return files


def _scan_chunks(
    work: Callable[[Found], _Opened], chunks: list[list[Found]], name: str, settings: ConversionSettings
) -> list[_Opened]:
    """Work on files in processes with bounds; each is answered, if only by why it could not be looked at."""
    results = watchdog.run(
        work,
        chunks,
        num_workers=min(cpu_count(), len(chunks)),
        timeout_s=settings.header_timeout_s,
        memory_bytes=settings.series_memory_bytes,
    )
    found: dict[int, list[_Opened]] = {}
    for number, answers in tqdm(results, name, len(chunks), disable=None):
        found[number] = [
            _Opened(Scanned(item.location, _REASON_OF_FAILURE[answer.kind]))
            if isinstance(answer, watchdog.Failure)
            else answer
            for item, answer in zip(chunks[number], answers, strict=True)
        ]
    return [file for number in range(len(chunks)) for file in found[number]]


def _in_chunks(groups: Iterable[Iterable[Found]]) -> list[list[Found]]:
    """Cut files into chunks of bounded size; a compressed archive, read slowly backwards, stays whole."""
    chunks: list[list[Found]] = []
    for group in groups:
        chunk: list[Found] = []
        size = 0
        for found in group:
            chunk.append(found)
            size += found.location.size
            is_full = len(chunk) == _CHUNK_FILES or size >= _CHUNK_BYTES
            if is_full and not found.location.is_rewound_slowly:
                chunks.append(chunk)
                chunk, size = [], 0
        if chunk:
            chunks.append(chunk)
    return chunks


@dataclass(slots=True)
class _Reader:
    """Looks at files, one after the other.

    Attributes:
        shared: values that images have in common: slices of a series share most of them, and what they
            share travels between processes once.
    """

    root: Path
    settings: ConversionSettings
    shared: dict[Any, Any] = field(default_factory=dict)

    def open(self, found: Found) -> _Opened:
        """Look at a loose file, and list its members if it is an archive."""
        location = found.location
        try:
            if found.reason:
                raise SetAside(found.reason)
            head = archives.read_head(self.root, location.path)
            kind = None if headers.is_dicom(head) else archives.archive_kind(head)
            if kind is None:
                return _Opened(self._read_loose(location, head))
            inside, reason = self._list(location.path, kind)
        except SetAside as outcome:
            return _Opened(Scanned(location, outcome.reason))
        return _Opened(Scanned(location, reason), tuple(inside))

    def read_member(self, found: Found) -> _Opened:
        """Look at a member of an archive."""
        location = found.location
        try:
            if found.reason:
                raise SetAside(found.reason)
            data = archives.read(self.root, location)
            if not headers.is_dicom(data[:512]) and archives.archive_kind(data[:512]):
                raise SetAside("nested_archive")
            return _Opened(self._read(location, data))
        except SetAside as outcome:
            return _Opened(Scanned(location, outcome.reason))

    def _list(self, path: str, kind: archives.Kind) -> tuple[list[Found], str | None]:
        """List the members of an archive as far as it can be read, and why not to its end."""
        inside: list[Found] = []
        try:
            for member in archives.members(self.root, path, kind, self.settings):
                inside.append(member)  # noqa: PERF402 - those before the damage are kept
        except SetAside as outcome:
            return inside, outcome.reason
        return inside, None

    def _read_loose(self, location: Location, head: bytes) -> Scanned:
        if not head:
            raise SetAside("empty_file")
        if not headers.is_dicom(head):
            raise SetAside("not_dicom")
        if location.size > self.settings.max_member_bytes:
            raise SetAside("file_too_large")
        return self._read(location, archives.read(self.root, location))

    def _read(self, location: Location, data: bytes) -> Scanned:
        if not data:
            raise SetAside("empty_file")
        if not headers.is_dicom(data[:512]):
            raise SetAside("not_dicom")
        images = tuple(map(self._share, headers.read_images(data)))
        return Scanned(location, None, archives.digest_of(data), images)

    def _share(self, image: Image) -> Image:
        if len(self.shared) > _MAX_SHARED:
            self.shared.clear()
        return dataclasses.replace(
            image,
            identity=self._one(image.identity),
            protocol=self._one(image.protocol),
            weighting=self._one(image.weighting),
            orientation=self._one(image.orientation),
            image_type=self._one(image.image_type),
        )

    def _one(self, value: ValueT) -> ValueT:
        return self.shared.setdefault(value, value)
