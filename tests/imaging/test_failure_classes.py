"""Every way in which an export goes wrong ends as a volume or as a ledger row with a stable code."""

from __future__ import annotations

from collections import Counter

import pytest
from dicom_cases import CASES

from stages.artifacts import tables
from stages.artifacts.identity import write_new_key
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.convert_dicom import main


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "site.key"
    write_new_key(path)
    return path


@pytest.mark.parametrize("name", CASES)
def test_a_failure_class_ends_as_volumes_or_reasons(tmp_path, key_file, name):
    case = CASES[name]
    case.write(tmp_path / "dicom")
    main(dicom=tmp_path / "dicom", out=tmp_path / "out", site_key=key_file, work=tmp_path / "work")
    series = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
    ledger = tables.read(tmp_path / "out" / "ledger.parquet", LEDGER).to_pylist()
    found = Counter(row["reason"] for row in ledger if row["status"] == "set_aside")
    assert (dict(found), len(series)) == (case.set_aside, case.num_series)
    assert len(ledger) == sum(path.is_file() for path in (tmp_path / "dicom").rglob("*"))
    assert len(list((tmp_path / "out" / "nifti").iterdir())) == len(series)
