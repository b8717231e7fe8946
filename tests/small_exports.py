"""Small exports that are converted and prepared again and again, and what their outputs must be."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import dicom_files as df
from ruamel.yaml import YAML

from stages import params, prepare_volumes
from stages.artifacts import imaging_tables, tables
from stages.artifacts.identity import SiteKey
from stages.imaging.ingestion import ingest
from stages.imaging.settings import ConversionSettings
from stages.imaging.volumes import VolumeParams

KEY = SiteKey(b"^" * 32)
SETTINGS = params.load("convert_dicom", ConversionSettings)


def write_study(folder: Path, number: int, *, is_zipped: bool = False) -> None:
    """Write the two series of a study, always the same for a number, loose or in an archive."""
    uids = {"StudyInstanceUID": f"1.2.3.{number}", "AccessionNumber": f"ACC{number}", "PatientID": f"PAT{number}"}
    for echo, echo_time_ms in enumerate((96.0, 20.0)):
        uids["SeriesInstanceUID"] = f"1.2.3.{number}.{echo}"
        slices = df.slices(seed=10 * number + echo, EchoTime=echo_time_ms, **uids)
        for place, ds in enumerate(slices):
            ds.SOPInstanceUID = f"1.2.3.{number}.{echo}.{place}"
        df.write(folder / f"study{number}", slices, prefix=f"{echo}_")
    if is_zipped:
        pack(folder / f"study{number}")


def pack(study: Path) -> None:
    """Put the files of a study into an archive."""
    with zipfile.ZipFile(study.with_suffix(".zip"), "w") as archive:
        for path in sorted(study.iterdir()):
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
            path.unlink()
    study.rmdir()


def convert(dicom: Path, out: Path, work: Path, **changes: object) -> None:
    """Convert an export with other settings than the default ones."""
    ingest(dicom, out, work, KEY, SETTINGS.model_copy(update=changes))


def prepare(converted: Path, out: Path, work: Path, **changes: object) -> None:
    """Prepare the volumes of a converted export with other parameters than the default ones."""
    values = params.load("prepare_volumes", VolumeParams).model_dump(mode="json")
    path = converted.parent / "prepare_params.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump({"prepare_volumes": values | {"num_montages": 1} | changes}, file)
    prepare_volumes.main(converted, out, work, path)


def write_cohort(folder: Path, zipped: int) -> Path:
    """Write an export of four studies, one of them zipped, and one from before three of them arrived, and run both.

    Returns:
        The folder, with ``before/`` and beside it what runs from scratch make of all.
    """
    for number in range(4):
        write_study(folder / "dicom", number, is_zipped=number == zipped)
    write_study(folder / "before" / "dicom", 0)
    for base in (folder / "before", folder):
        convert(base / "dicom", base / "converted", base / "work_convert")
        prepare(base / "converted", base / "volumes", base / "work_prepare")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file below a folder, by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def finished(folder: Path) -> dict[str, str]:
    """Hash of every file that is named as a finished one."""
    return {path: digest for path, digest in contents(folder).items() if ".partial" not in path and "/.tmp" not in path}


def check_readable(converted: Path) -> None:
    """Check that the tables of a converted export go with its images, if who reads it finds any."""
    table = converted / "series.parquet"
    if table.exists():
        for row in tables.read(table, imaging_tables.SERIES).to_pylist():
            assert hashlib.sha256((converted / row["nifti"]).read_bytes()).hexdigest() == row["sha256"]
        tables.read(converted / "ledger.parquet", imaging_tables.LEDGER)
        tables.read(converted / "identifiers.parquet", imaging_tables.IDENTIFIERS)
