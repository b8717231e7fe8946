"""One small export for each way in which a hospital's DICOM goes wrong, and what must become of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dicom_files as df
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    generate_uid,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
MPEG4 = "1.2.840.10008.1.2.4.102"
GE = {"Manufacturer": "GE MEDICAL SYSTEMS"}
DIFFUSION = {"ScanningSequence": "EP", "SeriesDescription": "ep2d_diff", "EchoTime": 80.0}
ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND"]


@dataclass(frozen=True)
class Case:
    """An export and what is expected of it.

    Attributes:
        write: writes it into a folder.
        num_series: series that are converted.
        set_aside: how many files are set aside with each reason.
    """

    write: Callable[[Path], None]
    num_series: int = 0
    set_aside: dict[str, int] = field(default_factory=dict)


def series_uids() -> dict[str, str]:
    """UIDs of one series, to be shared by slices that come from different acquisitions."""
    return {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}


def moved(ds: Dataset, *offset_mm: float) -> Dataset:
    """Move a slice in the patient."""
    ds.ImagePositionPatient = [float(v + mm) for v, mm in zip(ds.ImagePositionPatient, offset_mm, strict=True)]
    return ds


def changed(datasets: list[Dataset], **changes: Any) -> list[Dataset]:
    """Set (or with None remove) elements in every data set."""
    for ds in datasets:
        for name, value in changes.items():
            if value is None:
                delattr(ds, name)
            else:
                setattr(ds, name, value)
    return datasets


def as_file(make: Callable[[], list[Dataset]], syntax: str | None = None) -> Callable[[Path], None]:
    return lambda folder: df.write(folder, make(), *([syntax] if syntax else []))


def set_aside(reason: str, make: Callable[[], list[Dataset]], num: int = 6, syntax: str | None = None) -> Case:
    return Case(as_file(make, syntax), 0, {reason: num})


def used(make: Callable[[], list[Dataset]], num_series: int = 1, **set_aside: int) -> Case:
    return Case(as_file(make), num_series, set_aside)


def odd(reason: str, **changes: Any) -> Case:
    return set_aside(reason, lambda: df.slices(**changes))


def one_file(reason: str, make: Callable[[], bytes], name: str = "odd") -> Case:
    """A file beside a good series, which must not suffer from it."""

    def write(folder: Path) -> None:
        df.write(folder, df.slices(num=5))
        (folder / name).write_bytes(make())

    return Case(write, 1, {reason: 1})


def bundled(reason: str, *names: str) -> Case:
    """Files that come with pydicom."""

    def write(folder: Path) -> None:
        df.write(folder, df.slices(num=5))
        for number, name in enumerate(names):
            path = get_testdata_file(name, download=False)
            (folder / f"bundled{number}").write_bytes(Path(path).read_bytes())

    return Case(write, 1, {reason: len(names)})


def written(reason: str | None, make: Callable[[Dataset], bytes], num: int = 6) -> Case:
    """A series each file of which is written in an odd way."""

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        for number, ds in enumerate(df.slices(num=num)):
            (folder / f"{number}").write_bytes(make(ds))

    return Case(write, 0, {reason: num}) if reason else Case(write, 1)


def two_volumes(first: dict[str, Any], second: dict[str, Any], num: int = 6, **common: Any) -> list[Dataset]:
    """Two volumes at the same positions in one series."""
    uids = series_uids()
    volumes = [df.slices(num=num, seed=n, **uids, **common, **changes) for n, changes in enumerate((first, second))]
    return [ds for volume in volumes for ds in volume]
