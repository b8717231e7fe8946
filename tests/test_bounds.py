"""Whatever reading a file or converting a series does to its process, it costs that file or series."""

import os
import time

import dicom_files as df
import pytest
import small_exports as ex

from stages.artifacts import tables
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.imaging import headers, ingestion, preparation
from stages.imaging.conversion import find_dcm2niix
from stages.imaging.shards import VolumeStore

# Longer than an honest file needs on a machine that has other things to do.
TIMEOUT_S = 6.0


def convert(tmp_path, **changes):
    bounds = {"header_timeout_s": TIMEOUT_S, "series_timeout_s": TIMEOUT_S, "series_memory_gib": 1.0}
    ex.convert(tmp_path / "dicom", tmp_path / "out", tmp_path / "work", **(bounds | changes))
    series = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
    return series, tables.read(tmp_path / "out" / "ledger.parquet", LEDGER).to_pylist()


def reasons(ledger):
    return sorted(row["reason"] for row in ledger if row["reason"])


def act(data):
    """Stand for a decoder with a fault that certain files bring out."""
    if b"crash of the decoder" in data:
        os._exit(1)
    if b"endless loop of the decoder" in data:
        time.sleep(1000)
    if b"hunger of the decoder" in data:
        return bytearray(2**32)
    return None


@pytest.mark.parametrize("is_zipped", [False, True])
def test_a_file_that_breaks_its_reader_costs_one_row(tmp_path, monkeypatch, is_zipped):
    ex.write_study(tmp_path / "dicom", 0)
    for place, deed in enumerate(("crash", "endless loop", "hunger")):
        ds = df.slices(num=1, PatientComments=f"{deed} of the decoder")[0]
        df.write(tmp_path / "dicom" / "study0", [ds], prefix=f"0_00{place}x")
    if is_zipped:
        ex.pack(tmp_path / "dicom" / "study0")
    read_images = headers.read_images

    def read_or_break(data):
        act(data)
        return read_images(data)

    monkeypatch.setattr("stages.imaging.headers.read_images", read_or_break)
    series, ledger = convert(tmp_path)
    assert len(series) == 2
    assert reasons(ledger) == ["decoder_crashed", "header_timeout", "out_of_memory"]
    assert len(ledger) == 12 + 3 + is_zipped


@pytest.mark.parametrize(("deed", "reason"), [("sleep 1000", "conversion_timeout"), ("kill -9 $PPID", "out_of_memory")])
def test_a_series_that_breaks_the_converter_costs_its_rows(tmp_path, monkeypatch, deed, reason):
    ex.write_study(tmp_path / "dicom", 0)
    ex.write_study(tmp_path / "dicom", 1)
    breaking = tmp_path / "breaking"
    is_bad = 'for last; do :; done; grep -q "1\\.2\\.3\\.1\\.1\\.3" "$last"/*'
    breaking.write_text(f'#!/bin/sh\n{is_bad} && {deed}\nexec {find_dcm2niix()} "$@"\n')
    breaking.chmod(0o755)
    monkeypatch.setattr("stages.imaging.conversion._binary", lambda: breaking)
    series, ledger = convert(tmp_path)
    assert len(series) == 3
    assert reasons(ledger) == [reason] * 6


def test_a_file_that_changes_while_the_export_is_read_is_not_taken_for_what_it_was(tmp_path, monkeypatch):
    ex.write_study(tmp_path / "dicom", 0)
    changing = tmp_path / "dicom" / "study0" / "1_0003"
    make_plan = ingestion.make_plan

    def change_and_plan(*arguments):
        changing.write_bytes(changing.read_bytes()[:-2] + b"\x07\x07")
        return make_plan(*arguments)

    monkeypatch.setattr("stages.imaging.ingestion.make_plan", change_and_plan)
    series, ledger = convert(tmp_path)
    assert len(series) == 1
    assert reasons(ledger) == ["changed_during_run"] * 6


def test_a_study_that_breaks_its_preparation_is_left_out(tmp_path, monkeypatch, caplog):
    for number in range(3):
        ex.write_study(tmp_path / "dicom", number)
    series, _ = convert(tmp_path)
    bad = series[2]["study_id"]
    prepare_study = preparation.prepare_study

    def crash(paths, *arguments):
        if any(path.name == f"{row['series_id']}.nii.gz" for row in series if row["study_id"] == bad for path in paths):
            os._exit(1)
        return prepare_study(paths, *arguments)

    monkeypatch.setattr("stages.imaging.preparation.prepare_study", crash)
    ex.prepare(tmp_path / "out", tmp_path / "volumes", tmp_path / "prepared")
    assert f"study {bad}: crashed the process that read it; left out" in caplog.text
    found = set(VolumeStore(tmp_path / "volumes").table["study_id"].to_pylist())
    assert found == {row["study_id"] for row in series} - {bad}
