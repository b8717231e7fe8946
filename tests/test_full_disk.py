"""A full disk ends a stage with its name, keeps what was there, and the next run ends as if it had had room."""

import os
import shutil
import subprocess

import pytest
import small_exports as ex

from stages.artifacts.disk import DiskFullError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")]

# From next to nothing to nearly all that is needed.
SIZES_KIB = [20, 60, 140, 220]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """An export, a part of it, and what runs with room enough make of both."""
    return ex.write_cohort(tmp_path_factory.mktemp("cohort"), zipped=2)


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of a size that can be changed."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(size_kib, *, again=False):
        options = f"size={size_kib}k" + (",remount" if again else "")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no disk can be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def run_until_there_is_room(run, small_disk, size_kib, used, out):
    """Run on a disk that is nearly full, and again with room; the first must end as a full disk does."""
    small_disk(size_kib + used, again=True)
    before = ex.contents(out)
    with pytest.raises(DiskFullError, match="the disk is full or a quota is used up.*; free space there"):
        run()
    assert ex.contents(out) == before
    small_disk(2**20, again=True)
    run()


def size_kib(folder):
    """Whole pages that the files below a folder take, and the folders themselves."""
    return sum(-(-path.stat().st_size // 4096) * 4 + 4 for path in [folder, *folder.rglob("*")])


@pytest.mark.parametrize("room_kib", SIZES_KIB)
@pytest.mark.parametrize("full", ["out", "work"])
def test_conversion_ends_with_the_name_of_the_full_disk(cohort, tmp_path, small_disk, full, room_kib):
    disk = small_disk(2**20)
    places = {"out": tmp_path / "converted", "work": tmp_path / "work"} | {full: disk / full}
    shutil.copytree(cohort / "before" / "converted", places["out"])
    shutil.copytree(cohort / "before" / "work_convert", places["work"])

    def run():
        ex.convert(cohort / "dicom", places["out"], places["work"])

    run_until_there_is_room(run, small_disk, room_kib, size_kib(disk), places["out"])
    assert ex.contents(places["out"]) == ex.contents(cohort / "converted")
    assert ex.contents(places["work"]) == ex.contents(cohort / "work_convert")


@pytest.mark.parametrize("room_kib", [8, 40, 100])
def test_a_full_scratch_disk_is_no_fault_of_the_series(cohort, tmp_path, small_disk, monkeypatch, room_kib):
    disk = small_disk(room_kib)
    monkeypatch.setattr("stages.imaging.scratch._MEMORY_FOLDER", disk)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    out, work = tmp_path / "converted", tmp_path / "work"

    def run():
        ex.convert(cohort / "dicom", out, work)

    with pytest.raises(DiskFullError, match=f"{disk}.*the disk is full"):
        run()
    assert not out.exists() or not list(out.iterdir())
    # The system's folder stands in where only memory is full.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("stages.imaging.scratch._MEMORY_SHARE", 0)
    run()
    assert ex.contents(out) == ex.contents(cohort / "converted")


@pytest.mark.parametrize("room_kib", [8, 40, 70])
@pytest.mark.parametrize("full", ["out", "work"])
def test_preparation_ends_with_the_name_of_the_full_disk(cohort, tmp_path, small_disk, full, room_kib):
    disk = small_disk(2**20)
    places = {"out": tmp_path / "volumes", "work": tmp_path / "work"} | {full: disk / full}
    shutil.copytree(cohort / "before" / "volumes", places["out"])
    shutil.copytree(cohort / "before" / "work_prepare", places["work"])

    def run():
        ex.prepare(cohort / "converted", places["out"], places["work"])

    run_until_there_is_room(run, small_disk, room_kib, size_kib(disk), places["out"])
    assert ex.contents(places["out"]) == ex.contents(cohort / "volumes")
    assert ex.contents(places["work"]) == ex.contents(cohort / "work_prepare")
