"""Look at every file of an export once: what it is, and what its header says."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from stages.imaging import archives, headers
from stages.imaging.archives import Found, Location
from stages.imaging.dicom import Image
from stages.imaging.ledger import SetAside
from stages.imaging.settings import ConversionSettings

_CHUNK_FILES = 200
_CHUNK_BYTES = 4 * 2**20
_DIGEST_BYTES = 16


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


def scan(root: Path, settings: ConversionSettings) -> list[Scanned]:
    """Scan every file below a folder, and every member of the archives there, over all cores.

    Returns:
        Files in the order of their paths, each archive before its members.
    """
    chunks = list(_chunks(archives.walk(root)))
    jobs = (delayed(_scan_chunk)(root, chunk, settings) for chunk in chunks)
    results = Parallel(n_jobs=-1, return_as="generator")(jobs)
    return [file for files in tqdm(results, "headers", len(chunks), disable=None) for file in files]


def _chunks(files: Iterator[Found]) -> Iterator[list[Found]]:
    chunk: list[Found] = []
    size = 0
    for found in files:
        chunk.append(found)
        size += found.location.size
        if len(chunk) == _CHUNK_FILES or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _scan_chunk(root: Path, chunk: list[Found], settings: ConversionSettings) -> list[Scanned]:
    # Slices of a series share identity and protocol: equal ones travel between processes once.
    shared: dict[Any, Any] = {}
    return [_share(file, shared) for found in chunk for file in _scan_file(root, found, settings)]


def _scan_file(root: Path, found: Found, settings: ConversionSettings) -> Iterator[Scanned]:
    location = found.location
    try:
        if found.reason:
            raise SetAside(found.reason)
        head = archives.read_head(root, location.path)
        kind = None if headers.is_dicom(head) else archives.archive_kind(head)
        if kind is None:
            yield _scan_image(root, location, settings, head)
            return
        inside, reason = _members(root, location.path, kind, settings)
    except SetAside as outcome:
        yield Scanned(location, outcome.reason)
        return
    yield Scanned(location, reason)
    for member in inside:
        yield Scanned(member.location, member.reason) if member.reason else _scan_member(root, member.location)


def _members(
    root: Path, path: str, kind: archives.Kind, settings: ConversionSettings
) -> tuple[list[Found], str | None]:
    """List the members of an archive as far as it can be read, and why not to its end."""
    inside: list[Found] = []
    try:
        for member in archives.members(root, path, kind, settings):
            inside.append(member)  # noqa: PERF402 - those before the damage are kept
    except SetAside as outcome:
        return inside, outcome.reason
    return inside, None


def _scan_member(root: Path, location: Location) -> Scanned:
    try:
        data = archives.read(root, location)
        if not headers.is_dicom(data[:512]) and archives.archive_kind(data[:512]):
            raise SetAside("nested_archive")
        return _read(location, data)
    except SetAside as outcome:
        return Scanned(location, outcome.reason)


def _scan_image(root: Path, location: Location, settings: ConversionSettings, head: bytes) -> Scanned:
    if not head:
        raise SetAside("empty_file")
    if not headers.is_dicom(head):
        raise SetAside("not_dicom")
    if location.size > settings.max_member_bytes:
        raise SetAside("file_too_large")
    return _read(location, archives.read(root, location))


def _read(location: Location, data: bytes) -> Scanned:
    if not data:
        raise SetAside("empty_file")
    if not headers.is_dicom(data[:512]):
        raise SetAside("not_dicom")
    digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
    return Scanned(location, None, digest, tuple(headers.read_images(data)))


def _share(file: Scanned, shared: dict[Any, Any]) -> Scanned:
    images = tuple(
        dataclasses.replace(
            image,
            identity=shared.setdefault(image.identity, image.identity),
            protocol=shared.setdefault(image.protocol, image.protocol),
            weighting=shared.setdefault(image.weighting, image.weighting),
            orientation=shared.setdefault(image.orientation, image.orientation),
            image_type=shared.setdefault(image.image_type, image.image_type),
        )
        for image in file.images
    )
    return dataclasses.replace(file, images=images)
