"""The search for identifiers is not blind: it finds what any container and encoding holds."""

import gzip
import json
import os
import sqlite3
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from needles import ENCODINGS
from privacy import find_identifiers, find_in_text
from safetensors.numpy import save_file

NAME, HAN_NAME = "Ravensworth^Octavia", "欧阳娜娜"


def _sentence(encoding):
    """Text that holds both names, the first one written in another way than the needle."""
    text = f"seen by OCTAVIA ravensworth, {HAN_NAME}; "
    return text.encode(encoding)


def _filler(num):
    return [f"{value:08x}" for value in np.random.default_rng(0).integers(2**32, size=num)]


def _write_parquet_cells(path, secret):
    values = [text.encode() for text in _filler(3000)]
    pq.write_table(
        pa.table({"a": [*values[:1500], secret, *values[1500:]]}), path, compression="zstd", write_statistics=False
    )


def _write_parquet_metadata(path, secret):
    schema = pa.schema([pa.field("a", pa.int32(), metadata={b"about": secret})], metadata={b"note": b"none"})
    pq.write_table(pa.table({"a": [1]}, schema=schema), path)


def _write_parquet_nested(path, secret):
    rows = [[{"name": "x", "text": secret}]]
    pq.write_table(pa.table({"a": rows}), path, compression="gzip", write_statistics=False)


def _write_nifti(path, secret):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header["descrip"] = secret[:80]
    image.header["aux_file"] = b"none"
    path.write_bytes(gzip.compress(image.to_bytes()[:148] + secret[:80].ljust(80, b"\0") + image.to_bytes()[228:]))


def _write_nifti_extension(path, secret):
    image = nib.Nifti1Image(np.zeros((2, 2, 2), np.int16), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", secret))
    path.write_bytes(gzip.compress(image.to_bytes()))


def _write_safetensors(path, secret):
    save_file({"a": np.frombuffer(secret, np.uint8)}, path)


def _write_log(path, secret):
    path.write_bytes(b"INFO " + secret + b"\n")


def _write_csv(path, secret):
    path.write_bytes(b"step,loss\n0," + secret + b"\n")


def _write_png(path, secret):
    chunk = b"zTXt" + b"Comment\0\0" + zlib.compress(secret, 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", 0))


def _write_sqlite(path, secret):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE Cache (key BLOB, value BLOB)")
    connection.execute("INSERT INTO Cache VALUES (?, ?)", (b"k", secret))
    connection.commit()
    connection.close()


def _write_zip(path, secret):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", secret * 2)


def _write_tar(path, secret):
    inner = path.with_name("inner")
    inner.write_bytes(secret * 2)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(inner, "a.txt")
    inner.unlink()


def _write_nested(path, secret):
    _write_parquet_cells(path, secret)
    path.write_bytes(gzip.compress(path.read_bytes()))


COMPRESSED = [
    _write_parquet_cells,
    _write_parquet_nested,
    _write_nifti,
    _write_nifti_extension,
    _write_png,
    _write_zip,
    _write_tar,
    _write_nested,
]
PLAIN = [_write_parquet_metadata, _write_safetensors, _write_log, _write_csv, _write_sqlite]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("write", [*COMPRESSED, *PLAIN])
def test_an_identifier_is_found_in_every_container_and_encoding(write, encoding, tmp_path):
    # Named by nothing: objects in DVC's cache have no extension.
    write(tmp_path / "3f9a", _sentence(encoding))
    assert {hit.needle for hit in find_identifiers(tmp_path, [NAME, HAN_NAME])} == {NAME, HAN_NAME}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("write", COMPRESSED)
def test_a_plain_byte_search_is_blind_to_compressed_files(write, encoding, tmp_path):
    secret = _sentence(encoding)
    write(tmp_path / "3f9a", secret)
    data = (tmp_path / "3f9a").read_bytes()
    assert HAN_NAME.encode(encoding) not in data
    assert "ravensworth".encode(encoding) not in data


def test_text_databases_of_either_encoding_are_read(tmp_path):
    for encoding in ("UTF-8", "UTF-16le", "UTF-16be"):
        connection = sqlite3.connect(tmp_path / encoding)
        connection.execute(f"PRAGMA encoding = '{encoding}'")
        connection.execute("CREATE TABLE Cache (key TEXT)")
        connection.execute("INSERT INTO Cache VALUES (?)", (f"/data/{HAN_NAME}/OCTAVIA RAVENSWORTH",))
        connection.commit()
        connection.close()
    assert len({(hit.path, hit.needle) for hit in find_identifiers(tmp_path, [NAME, HAN_NAME])}) == 6


def test_escaped_text_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"note": HAN_NAME}), encoding="ascii")
    save_file({"a": np.zeros(1)}, tmp_path / "b", metadata={"about": json.dumps([HAN_NAME, "octavia  RAVENSWORTH"])})
    hits = find_identifiers(tmp_path, [NAME, HAN_NAME])
    assert {(Path(hit.path).name, hit.needle) for hit in hits} == {("a.json", HAN_NAME), ("b", HAN_NAME), ("b", NAME)}


def test_names_of_files_folders_columns_and_links_are_searched(tmp_path):
    (tmp_path / "octavia_ravensworth").mkdir()
    (tmp_path / "octavia_ravensworth" / f"{HAN_NAME}.txt").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + HAN_NAME.encode("gb18030"))).touch()
    (tmp_path / "link").symlink_to("/nowhere/Ravensworth-Octavia")
    pq.write_table(pa.table({"RAVENSWORTH OCTAVIA": [1]}), tmp_path / "c.parquet")
    with zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{HAN_NAME}/octavia.ravensworth.dcm", b"")
    found = {(hit.where.split(">")[-1].strip(), hit.needle) for hit in find_identifiers(tmp_path, [NAME, HAN_NAME])}
    wanted = {("name", NAME), ("name", HAN_NAME), ("link", NAME), ("member name", NAME), ("member name", HAN_NAME)}
    assert wanted | {("column RAVENSWORTH OCTAVIA", NAME)} <= found


@pytest.mark.parametrize(
    "written",
    ["1994-01-31", "31/01/1994", "01/31/1994", "19940131", "31.1.1994", "1/31/1994", "31 January 1994", "Jan 31, 1994"]
    + ["1994年01月31日", "1994年1月31日"],
)
@pytest.mark.parametrize("needle", ["19940131", "1994-01-31", "31/01/1994"])
def test_a_date_is_found_however_it_is_written(written, needle):
    assert find_in_text(f"born {written}.", [needle])


def test_what_is_not_there_is_not_found(tmp_path):
    _write_parquet_cells(tmp_path / "a", b"Octavia Ravens Wirth")
    assert find_identifiers(tmp_path, [NAME, HAN_NAME, "19940131", "1.2.826.0.1.3680043.8.498.1"]) == []


def test_needles_that_chance_would_find_are_refused():
    with pytest.raises(ValueError, match="found by chance"):
        find_in_text("text", ["F"])
