"""Every way in which an export goes wrong ends as a volume or as a ledger row with a stable code."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from dicom_cases import CASES

from stages.artifacts import tables
from stages.artifacts.identity import write_new_key
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.convert_dicom import main
from stages.imaging import archives
from stages.imaging.ledger import SetAside
from stages.imaging.reasons import REASONS, reference_table

TESTS = Path(__file__).resolve().parent.parent
MAX_MIB = 512


@pytest.fixture(scope="module")
def key_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "site.key"
    write_new_key(path)
    return path


def num_files(folder: Path) -> int:
    """Files of an export, and the members of its archives."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    archived = [zipfile.ZipFile(path).namelist() for path in paths if zipfile.is_zipfile(path)]
    return len(paths) + sum(map(len, archived))


@pytest.mark.parametrize("name", CASES)
def test_a_failure_class_ends_as_volumes_or_reasons(tmp_path, key_file, name):
    case = CASES[name]
    case.write(tmp_path / "dicom")
    main(dicom=tmp_path / "dicom", out=tmp_path / "out", site_key=key_file, work=tmp_path / "work")
    series = tables.read(tmp_path / "out" / "series.parquet", SERIES).to_pylist()
    ledger = tables.read(tmp_path / "out" / "ledger.parquet", LEDGER).to_pylist()
    found = Counter(row["reason"] for row in ledger if row["status"] == "set_aside")
    assert (dict(found), len(series)) == (case.set_aside, case.num_series)
    assert len(ledger) == num_files(tmp_path / "dicom")
    assert len(list((tmp_path / "out" / "nifti").iterdir())) == len(series)


def test_every_reason_is_reached_by_a_fixture():
    reached = {code for case in CASES.values() for code in case.set_aside}
    elsewhere = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    assert not [code for code in REASONS if code not in reached and f'"{code}"' not in elsewhere]


def test_a_file_without_leave_to_read_is_named(tmp_path):
    with pytest.raises(SetAside, match="check its permissions") as outcome:
        archives.read_head(tmp_path, ".")
    assert outcome.value.reason == "unreadable_file"


def test_messages_and_remedies_fit_a_table():
    rows = reference_table().splitlines()[2:]
    assert [re.match(r"\| `(\w+)` \|", row)[1] for row in rows] == list(REASONS)
    assert {row.count("|") for row in rows} == {4}
    parameters = {name for reason in REASONS.values() for name in re.findall(r"convert_dicom\.(\w+)", " ".join(reason))}
    assert parameters <= set((TESTS.parent / "params.yaml").read_text(encoding="utf-8").replace(":", " ").split())


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "image_too_large" in case.set_aside])
def test_what_a_header_claims_is_not_reserved(tmp_path, key_file, name):
    CASES[name].write(tmp_path / "dicom")
    program = (
        "import pathlib, resource, sys\n"
        "from stages.convert_dicom import main\n"
        "paths = [pathlib.Path(path) for path in sys.argv[1:]]\n"
        "main(*paths)\n"
        "print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))\n"
    )
    arguments = [tmp_path / "dicom", tmp_path / "out", key_file, tmp_path / "work"]
    # By way of a small process: a new one takes over the peak of the one that starts it, here that of all tests.
    run = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(run, cwd=TESTS.parent, capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < MAX_MIB
