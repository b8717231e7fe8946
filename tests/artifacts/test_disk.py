"""Files are written whole or not at all, and a full disk is called that."""

import errno
import os
import time

import numpy as np
import pyarrow as pa
import pytest

from stages.artifacts import disk, tables, tensors
from stages.artifacts.disk import DiskFullError


def full(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a"
    with disk.replacing(path) as partial:
        partial.write_text("one")
        assert not path.exists()
    assert [entry.name for entry in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, code):
    path = tmp_path / "a"
    path.write_text("old")

    def write():
        with disk.replacing(path) as partial:
            partial.write_text("half of the n")
            raise OSError(code, "no room")

    with pytest.raises(DiskFullError, match=f"{tmp_path}: the disk is full"):
        write()
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a", "old")]


def test_other_faults_keep_their_name(tmp_path):
    with pytest.raises(PermissionError, match="not yours"), disk.replacing(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "not yours")
    assert not list(tmp_path.iterdir())


def test_what_cannot_fit_is_not_begun(tmp_path):
    disk.require_space(tmp_path, 1)
    with pytest.raises(DiskFullError, match="GiB were to be written"):
        disk.require_space(tmp_path, 2**62)


def test_a_table_is_left_as_it_was(tmp_path, monkeypatch):
    contract = tables.Contract("numbers", pa.schema([tables.column("n", pa.int64(), "a number")]))
    path = tmp_path / "a.parquet"
    tables.write(path, tables.from_rows(contract, [{"n": 1}]), contract)
    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(DiskFullError, match="the disk is full"):
        tables.write(path, tables.from_rows(contract, [{"n": 2}]), contract)
    assert tables.read(path, contract).to_pylist() == [{"n": 1}]
    assert len(list(tmp_path.iterdir())) == 1


def test_tensors_are_left_as_they_were(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    tensors.write(path, {"x": np.zeros(3)})

    def full_as_the_library_says_it(*_arguments, **_options):
        raise tensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("stages.artifacts.tensors.save_file", full_as_the_library_says_it)
    with pytest.raises(DiskFullError, match="the disk is full"):
        tensors.write(path, {"x": np.ones(3)})
    assert not tensors.read(path)["x"].any()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_keeps_what_was_used_and_what_may_come_back(tmp_path):
    day_s = 86_400
    ages = {"used": 100, "withdrawn": 31, "recent": 29, "killed.partial": 0}
    for name, age_days in ages.items():
        (tmp_path / name).touch()
        then = time.time() - age_days * day_s
        os.utime(tmp_path / name, (then, then))
    written = (tmp_path / "used").stat().st_mtime_ns
    assert disk.prune(tmp_path.iterdir(), lambda path: path.name == "used", keep_days=30) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recent", "used"]
    assert (tmp_path / "used").stat().st_mtime_ns == written
    # What was used just now counts as new.
    assert disk.prune(tmp_path.iterdir(), lambda _: False, keep_days=30) == 0
    assert disk.prune(tmp_path.iterdir(), lambda _: False, keep_days=0) == 2
    assert not list(tmp_path.iterdir())
