"""A run that is killed at any moment leaves nothing half-written, and the next one ends as if it had not been."""

import multiprocessing
import random
import shutil
import time

import pytest
import small_exports as ex

pytestmark = pytest.mark.slow

NUM_KILLS = 20
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """An export before and after studies arrived, and what a run from scratch makes of each."""
    return ex.write_cohort(tmp_path_factory.mktemp("cohort"), zipped=1)


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Where the files of a series are put while it is converted."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("stages.imaging.scratch._MEMORY_FOLDER", folder)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def duration_s(work):
    """Run something in a process of its own to its end."""
    start = time.monotonic()
    process = FORK.Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start


def kill_after(work, delay_s):
    """Run something in a process of its own and kill it."""
    process = FORK.Process(target=work)
    process.start()
    process.join(delay_s)
    process.kill()
    process.join()


def start_from(before, folder, names):
    """Put the outputs and caches of the earlier run in place."""
    for name in names:
        shutil.rmtree(folder / name, ignore_errors=True)
        shutil.copytree(before / name, folder / name)


def moments(longest_s, seed):
    rng = random.Random(seed)
    return [rng.uniform(0.0, longest_s) for _ in range(NUM_KILLS)]


def test_conversion_survives_being_killed(cohort, tmp_path, scratch):
    out, work = tmp_path / "converted", tmp_path / "work_convert"
    expected, cached = ex.contents(cohort / "converted"), ex.contents(cohort / "work_convert")
    earlier = ex.contents(cohort / "before" / "converted")

    def run():
        ex.convert(cohort / "dicom", out, work)

    longest_s = duration_s(run)
    for moment in moments(longest_s, seed=20261125):
        start_from(cohort / "before", tmp_path, (out.name, work.name))
        kill_after(run, moment)
        ex.check_readable(out)
        found = ex.finished(out)
        assert found.items() <= (earlier.items() | expected.items())
        assert ex.finished(work).items() <= cached.items()
        run()
        assert ex.contents(out) == expected
        assert ex.contents(work) == cached
        assert not list(scratch.iterdir()), "files of patients were left behind"


def test_preparation_survives_being_killed(cohort, tmp_path):
    out, work = tmp_path / "volumes", tmp_path / "work_prepare"
    expected, cached = ex.contents(cohort / "volumes"), ex.contents(cohort / "work_prepare")
    earlier = ex.contents(cohort / "before" / "volumes")

    def run():
        ex.prepare(cohort / "converted", out, work)

    longest_s = duration_s(run)
    for moment in moments(longest_s, seed=20261126):
        start_from(cohort / "before", tmp_path, (out.name, work.name))
        kill_after(run, moment)
        found = ex.finished(out)
        if "volumes.parquet" in found:
            assert found in (earlier, expected), "who reads the table finds the shards that go with it"
        assert found.items() <= (earlier.items() | expected.items())
        assert ex.finished(work).items() <= cached.items()
        run()
        assert ex.contents(out) == expected
        assert ex.contents(work) == cached


def test_files_of_patients_are_gone_when_the_next_run_has_started(cohort, tmp_path, scratch, monkeypatch):
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 1000\n")
    slow.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr("stages.imaging.conversion._binary", lambda: slow)
        work = FORK.Process(target=ex.convert, args=(cohort / "dicom", tmp_path / "out", tmp_path / "work"))
        work.start()
        while not list(scratch.glob("*/in/*")):
            time.sleep(0.01)
        work.kill()
        work.join()
    assert list(scratch.glob("*/in/*"))
    ex.convert(cohort / "dicom", tmp_path / "out", tmp_path / "work")
    assert not list(scratch.iterdir())
