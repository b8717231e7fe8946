"""The files of an export: listed once, read whole or line by line, packed or not."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

#: Above it a file, or a line of one, is no single document and would fill the memory.
MAX_FILE_BYTES = 1 << 30
#: What a file that breaks off, or cannot be opened or unpacked, raises.
READ_ERRORS = (OSError, EOFError, zlib.error)

_GZIP = b"\x1f\x8b"


class TooLargeError(ValueError):
    """A file that has to be held whole and is too large for that."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: {path.stat().st_size} bytes on disk hold one document or message above the limit of "
            f"{MAX_FILE_BYTES} bytes; split it into several files, or export JSON as one record a line (NDJSON)"
        )


@dataclass(frozen=True)
class Export:
    """A report export: the file or folder, and its files."""

    path: Path
    files: tuple[Path, ...]

    @classmethod
    def of(cls, path: Path) -> Export:
        """List the file, or all files below a folder but hidden ones, in the order of their paths.

        Links to folders are not followed, so that no loop has no end.
        """
        if path.is_file():
            return cls(path, (path,))
        found = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
        return cls(path, tuple(sorted(file for file in found if not _has_part(file, path, "."))))

    @property
    def tables(self) -> tuple[Path, ...]:
        """The files without those that begin with ``_``, which programs leave beside tables (``_SUCCESS``)."""
        return tuple(file for file in self.files if not _has_part(file, self.path, "_"))


def open_binary(path: Path) -> BinaryIO:
    """Open a file, to be unpacked as it is read if it is gzip."""
    with path.open("rb") as file:
        is_packed = file.read(2) == _GZIP
    return cast(BinaryIO, gzip.open(path)) if is_packed else path.open("rb")


def read_bytes(path: Path) -> bytes | None:
    """The bytes of a file, unpacked if it is gzip; ``None`` if they cannot be had.

    Raises:
        TooLargeError: if there are more than ``MAX_FILE_BYTES``.
    """
    try:
        with open_binary(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except READ_ERRORS:
        return None
    if len(data) > MAX_FILE_BYTES:
        raise TooLargeError(path)
    return data


def open_lines(path: Path) -> Iterator[bytes]:
    """Lines of a file, unpacked if it is gzip, without holding it whole.

    Raises:
        TooLargeError: if a line has more than ``MAX_FILE_BYTES``.
    """
    with open_binary(path) as file:
        while line := file.readline(MAX_FILE_BYTES + 1):
            if len(line) > MAX_FILE_BYTES:
                raise TooLargeError(path)
            yield line


def _has_part(file: Path, root: Path, start: str) -> bool:
    return any(part.startswith(start) for part in file.relative_to(root).parts)
