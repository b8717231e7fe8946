"""Studies that arrive, change and go: only they are worked on, and all outputs are those of a run from scratch."""

import logging
import re
import shutil

import dicom_files as df
import pydicom
import pytest
import repositories as commands
import small_exports as ex
from repositories import copy_repository

from stages.artifacts import tables
from stages.artifacts.identity import write_new_key
from stages.artifacts.imaging_tables import SERIES


@pytest.fixture
def export(tmp_path):
    folder = tmp_path / "dicom"
    for number in range(4):
        ex.write_study(folder, number, is_zipped=number == 3)
    return folder


def run(tmp_path, export, name="", **changes):
    """Convert and prepare; returns what was written."""
    converted, volumes = tmp_path / f"converted{name}", tmp_path / f"volumes{name}"
    ex.convert(export, converted, tmp_path / f"work{name}" / "convert", **changes)
    ex.prepare(converted, volumes, tmp_path / f"work{name}" / "prepare", **changes)
    return {"converted": ex.contents(converted), "volumes": ex.contents(volumes)}


def cached(tmp_path):
    """Files of the caches, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.*") if path.is_file()}


def num_prepared(caplog):
    (line,) = [record.getMessage() for record in caplog.records if "prepared now" in record.getMessage()]
    return int(re.search(r"\((\d+) prepared now\)", line)[1])


def rewrite(path, **changes):
    ds = pydicom.dcmread(path)
    for name, value in changes.items():
        setattr(ds, name, value)
    path.write_bytes(df.encode(ds))


def test_a_run_after_changes_equals_one_from_scratch(tmp_path, export, caplog):
    caplog.set_level(logging.INFO)
    run(tmp_path, export)
    before = cached(tmp_path)
    # One study arrives, one goes, one has another slice, and one another patient.
    ex.write_study(export, 7, is_zipped=True)
    (export / "study3.zip").unlink()
    image = export / "study1" / "0_0002"
    rewrite(image, PixelData=pydicom.dcmread(image).PixelData[::-1])
    for path in sorted((export / "study2").iterdir()):
        rewrite(path, PatientID="SOMEBODY ELSE")
    caplog.clear()
    again = run(tmp_path, export)
    assert num_prepared(caplog) == 2
    after = cached(tmp_path)
    assert all(after[path] == written for path, written in before.items()), "what was there is used as it is"
    # Two series arrived, two have another header, one has another slice; of two studies there are other voxels.
    assert len([path for path in after.keys() - before.keys() if path.suffix == ".gz"]) == 5
    assert len([path for path in after.keys() - before.keys() if path.suffix == ".safetensors"]) == 2
    assert again == run(tmp_path, export, "_scratch")


def test_a_run_without_changes_works_on_nothing(tmp_path, export, caplog):
    caplog.set_level(logging.INFO)
    first = run(tmp_path, export)
    before = cached(tmp_path)
    caplog.clear()
    assert run(tmp_path, export) == first
    assert num_prepared(caplog) == 0
    assert cached(tmp_path) == before


def test_nothing_depends_on_where_files_lie_in_the_export(tmp_path, export):
    first = run(tmp_path, export)
    moved = tmp_path / "moved"
    (moved / "deeper").mkdir(parents=True)
    for place, path in enumerate(sorted(export.iterdir(), reverse=True)):
        path.rename(moved / "deeper" / f"{place}{path.suffix}")
    again = run(tmp_path, moved)
    assert again["volumes"].keys() == first["volumes"].keys()
    nifti = {name: digest for name, digest in first["converted"].items() if name.endswith(".gz")}
    assert nifti.items() <= again["converted"].items()


def test_a_study_that_was_withdrawn_leaves_the_caches(tmp_path, export):
    run(tmp_path, export)
    before = cached(tmp_path)
    withdrawn = tmp_path / "withdrawn"
    (export / "study0").rename(withdrawn)
    run(tmp_path, export)
    assert cached(tmp_path) == before, "it may have been forgotten by mistake"
    run(tmp_path, export, keep_days=0)
    left = cached(tmp_path)
    assert left.items() < before.items()
    assert len(before) - len(left) == 3, "two images and a prepared study"
    shutil.rmtree(tmp_path / "work")
    run(tmp_path, export)
    assert {path.name for path in cached(tmp_path)} == {path.name for path in left}


def test_shards_of_studies_that_are_gone_are_gone(tmp_path, export):
    run(tmp_path, export)
    shutil.rmtree(export / "study0")
    shutil.rmtree(export / "study1")
    again = run(tmp_path, export)
    rows = tables.read(tmp_path / "converted" / "series.parquet", SERIES).to_pylist()
    shards = {f"shards/{row['study_id'][0]}.safetensors" for row in rows}
    assert {name for name in again["volumes"] if name.startswith("shards/")} == shards
    assert len([name for name in again["converted"] if name.startswith("nifti/")]) == len(rows) == 4


@pytest.mark.slow
def test_two_runs_of_dvc_work_on_the_difference_only(tmp_path, export):
    folder = tmp_path / "repository"
    site = {"dicom": "data/site/dicom", "site_key": "data/site.key"}
    copy_repository(folder, {"cohort": site}, ("clip",))
    (folder / "data" / "site").mkdir()
    shutil.move(export, folder / "data" / "site" / "dicom")
    write_new_key(tmp_path / "key" / "site.key")
    (folder / "data" / "site.key").symlink_to(tmp_path / "key" / "site.key")
    repro = ("dvc", "repro", "prepare_volumes")
    assert "4 studies (4 prepared now)" in commands.run(folder, *repro)
    ex.write_study(folder / "data" / "site" / "dicom", 7)
    shutil.rmtree(folder / "data" / "site" / "dicom" / "study0")
    assert "4 studies (1 prepared now)" in commands.run(folder, *repro)
    outputs = [folder / "data" / name for name in ("converted", "volumes")]
    after = [ex.contents(path) for path in outputs]
    shutil.rmtree(folder / "work")
    assert "4 studies (4 prepared now)" in commands.run(folder, *repro[:2], "--force", *repro[2:])
    assert [ex.contents(path) for path in outputs] == after
