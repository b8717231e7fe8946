"""Search everything that the pipeline writes for identifiers, as a person with the files could.

A plain byte search is blind: Parquet and NIfTI are compressed, JSON escapes, text may be UTF-16 or
GB18030, and a name or date may be written in another order or with other punctuation. Here files
are opened layer by layer (by what they hold, not by their name), and each layer is searched for
every spelling of every needle.
"""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import re
import sqlite3
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from needles import Needles

_MAX_DEPTH = 6
_ESCAPE = re.compile(rb"\\+u([0-9a-fA-F]{4})")
_PNG = b"\x89PNG\r\n\x1a\n"
_SQLITE = b"SQLite format 3\x00"

Layer = tuple[str, bytes]


@dataclass(frozen=True)
class Hit:
    """A needle found: in which file, and where in it."""

    path: str
    where: str
    needle: str


def find_identifiers(roots: Path | Iterable[Path], needles: Iterable[str]) -> list[Hit]:
    """Search files, and folders with all that is in them, names included.

    Args:
        roots: files or folders; what lies above a root is not searched.
        needles: identifiers as any source writes them (``DOE^JOHN``, ``19940101``, a UID, …).

    Returns:
        Every needle found, once for each layer of a file that holds it.
    """
    prepared = Needles(needles)
    hits = []
    for root in [roots] if isinstance(roots, Path) else roots:
        for path in _walk(root):
            name = os.fsencode(path.name if path == root else path.relative_to(root))
            layers = itertools.chain([("name", name)], _read(path))
            hits += [
                Hit(str(path), where, needle) for where, data in layers for needle in sorted(prepared.found_in(data))
            ]
    return hits


def find_in_text(text: str, needles: Iterable[str], where: str = "text") -> list[Hit]:
    """Search text that lies in no file, such as captured logs."""
    return [Hit("", where, needle) for needle in sorted(Needles(needles).found_in(text.encode()))]


def _walk(root: Path) -> Iterator[Path]:
    """Yield files, folders and links below a root, the root included; links are not followed."""
    yield root
    if root.is_dir() and not root.is_symlink():
        for child in sorted(root.iterdir()):
            yield from _walk(child)


def _read(path: Path) -> Iterator[Layer]:
    if path.is_symlink():
        yield "link", os.fsencode(path.readlink())
    elif path.is_file():
        yield from _layers(path.read_bytes(), "content", 0)


def _layers(data: bytes, where: str, depth: int) -> Iterator[Layer]:
    """Yield bytes as they are, and all that they hold in other forms."""
    yield where, data
    if b"\\u" in data:
        yield f"{where}, unescaped", _ESCAPE.sub(lambda match: _character(match.group(1)), data)
    if depth < _MAX_DEPTH:
        for inner, content in _opened(data):
            yield from _layers(content, f"{where} > {inner}", depth + 1)


def _opened(data: bytes) -> Iterator[Layer]:
    """Open one layer of a container, known by its first bytes."""
    if data[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(data)
    elif data[:4] == b"PAR1":
        yield from _parquet(data)
    elif data[: len(_PNG)] == _PNG:
        yield from _png(data)
    elif data[: len(_SQLITE)] == _SQLITE:
        yield from _sqlite(data)
    elif zipfile.is_zipfile(io.BytesIO(data)):
        yield from _zip(data)
    elif data[257:262] == b"ustar":
        yield from _tar(data)


def _parquet(data: bytes) -> Iterator[Layer]:
    file = pq.ParquetFile(io.BytesIO(data))
    for key, value in (file.metadata.metadata or {}).items():
        yield "file metadata", key + b" " + value
    table = file.read()
    for field in table.schema:
        about = b" ".join(itertools.chain.from_iterable((field.metadata or {}).items()))
        yield f"column {field.name}", field.name.encode() + b" " + about
    for name in table.column_names:
        values = list(_leaves(table.column(name).to_pylist()))
        yield f"cells of {name}", b"\n".join(str(value).encode() for value in values if not isinstance(value, bytes))
        yield from ((f"cells of {name}", value) for value in values if isinstance(value, bytes))


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        value = list(itertools.chain.from_iterable(value.items()))
    if isinstance(value, list):
        for one in value:
            yield from _leaves(one)
    elif value is not None:
        yield value


def _png(data: bytes) -> Iterator[Layer]:
    position = len(_PNG)
    while position + 8 <= len(data):
        (length,), kind = struct.unpack(">I", data[position : position + 4]), data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        position += length + 12
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            yield kind.decode(), _inflated(body)
        elif kind == b"IDAT":
            continue
        else:
            yield kind.decode("latin-1"), body


def _inflated(body: bytes) -> bytes:
    """Inflate the compressed end of a PNG text chunk, wherever it begins."""
    for start in range(len(body)):
        try:
            return body[:start] + b" " + zlib.decompress(body[start:])
        except zlib.error:
            continue
    return body


def _sqlite(data: bytes) -> Iterator[Layer]:
    with tempfile.NamedTemporaryFile(suffix=".db") as file:
        file.write(data)
        file.flush()
        connection = sqlite3.connect(f"file:{file.name}?immutable=1", uri=True)
        connection.text_factory = bytes
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            quoted = table.decode().replace('"', '""')
            for row in connection.execute(f'SELECT * FROM "{quoted}"'):
                for cell in row:
                    yield f"table {table.decode()}", cell if isinstance(cell, bytes) else str(cell).encode()
        connection.close()


def _zip(data: bytes) -> Iterator[Layer]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            yield "member name", member.filename.encode(errors="surrogateescape")
            yield "member comment", member.comment + b" " + member.extra
            yield "member", archive.read(member)


def _tar(data: bytes) -> Iterator[Layer]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            yield "member name", json.dumps([member.name, member.linkname, member.uname], ensure_ascii=False).encode()
            content = archive.extractfile(member)
            yield "member", content.read() if content else b""


def _character(code: bytes) -> bytes:
    return chr(int(code, 16)).encode("utf-8", errors="replace")
