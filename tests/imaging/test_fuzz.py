"""Thousands of mutated files go through the stages: nothing crashes, hangs, grows or is lost, and neighbours stay."""

import random
import resource
from collections import Counter
from functools import cache

import fuzzing
import pytest

from stages import convert_dicom, prepare_volumes
from stages.artifacts import tables
from stages.artifacts.identity import SiteKey
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.imaging.ledger import path_hash

pytestmark = pytest.mark.slow

SEED = 20261125
NUM_EXPORTS = 6
NUM_SERIES = 150
NUM_ARCHIVES = 40
MAX_FILE_S = 20
# What a process holds beside the data: the interpreter, the libraries, and in a test run those of other tests.
MAX_PROCESS_GIB = 1.0
SERIES_GIB = 0.5


@cache
def key_file(folder):
    """A key, and parameters with narrow bounds."""
    (folder / "site.key").write_text("5e" * 32)
    text = (convert_dicom.params.DEFAULT_PATH).read_text(encoding="utf-8")
    for name, value in {
        "header_timeout_s": MAX_FILE_S,
        "series_timeout_s": MAX_FILE_S,
        "series_memory_gib": SERIES_GIB,
        "max_archive_gib": 0.1,
        "max_member_mib": 64,
    }.items():
        text = change(text, name, value)
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return folder / "site.key"


def change(text, name, value):
    """Set one parameter in the text of the parameter file."""
    head, _, rest = text.partition(f"\n  {name}: ")
    assert rest, name
    return f"{head}\n  {name}: {value}\n{rest.partition(chr(10))[2]}"


def mutated_series(rng):
    """The files of a series, one, some or all of them mutated, or all in the same way; and how many are."""
    if rng.random() < 0.1:
        files = fuzzing.enhanced(rng)
    else:
        files = fuzzing.series(rng, rng.choice(fuzzing.SYNTAXES), **rng.choice(CHANGES))
    kind = rng.choice(("one", "some", "all", "alike", "alike"))
    seed = rng.random()
    num = {"one": 1, "some": 3}.get(kind, len(files))
    chosen = set(rng.sample(range(len(files)), min(num, len(files))))
    for place in chosen:
        own = random.Random(seed) if kind == "alike" else rng
        files[place] = fuzzing.mutate(own, files[place], files[place - 1])
    return files, len(chosen)


CHANGES = (
    {},
    {"SpecificCharacterSet": "GB18030", "PatientName": "Zhang^San=张^三"},
    {"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]},
    {"SeriesDescription": "ep2d_diff", "DiffusionBValue": 1000.0, "ScanningSequence": "EP"},
)


def write_export(folder, rng):
    """Write an intact series, mutated ones and archives; returns how many mutations there are."""
    folder.mkdir()
    for number, data in enumerate(fuzzing.series(random.Random(SEED), fuzzing.SYNTAXES[0])):
        (folder / f"intact{number}").write_bytes(data)
    num_mutations = 0
    for number in range(NUM_SERIES):
        files, num = mutated_series(rng)
        num_mutations += num
        for place, data in enumerate(files):
            (folder / f"s{number:03d}_{place}").write_bytes(data)
    for number in range(NUM_ARCHIVES):
        files, num = mutated_series(rng)
        data = rng.choice((fuzzing.zipped, fuzzing.tarred))(files)
        if rng.random() < 0.6:
            data, num = fuzzing.mutate(rng, data, files[0]), num + 1
        num_mutations += num
        (folder / f"a{number:03d}").write_bytes(data)
    return num_mutations


def convert(folder, dicom, out):
    convert_dicom.main(dicom, out, key_file(folder), folder / f"work_{out.name}", folder / "params.yaml")
    return tables.read(out / "ledger.parquet", LEDGER).to_pylist()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with what all exports share: the intact series, converted by itself."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "alone").mkdir()
    for number, data in enumerate(fuzzing.series(random.Random(SEED), fuzzing.SYNTAXES[0])):
        (folder / "alone" / f"intact{number}").write_bytes(data)
    ledger = convert(folder, folder / "alone", folder / "expected")
    assert {row["status"] for row in ledger} == {"used"}
    return folder


def check_ledger(ledger, dicom, key):
    """Every file has one row, and so has every member that its archive lists."""
    hashes = [row["path_hash"] for row in ledger]
    assert set(hashes) >= {path_hash(key, path.name) for path in dicom.iterdir()}
    loose = [row for row in ledger if row["container_hash"] is None]
    assert len(loose) == len(list(dicom.iterdir()))
    assert all(row["reason"] for row in ledger if row["status"] == "set_aside" and row["message"])
    lost = {"header_timeout", "conversion_timeout", "decoder_crashed"}
    assert not lost & {row["reason"] for row in ledger}, Counter(row["reason"] for row in ledger)


@pytest.mark.parametrize("number", range(NUM_EXPORTS))
def test_mutated_files_cost_their_own_rows(shared, tmp_path, number):
    dicom, out = tmp_path / "dicom", tmp_path / "out"
    num_mutations = write_export(dicom, random.Random(SEED + number))
    assert num_mutations * NUM_EXPORTS > 3000
    ledger = convert(shared, dicom, out)
    key = SiteKey.load(key_file(shared))
    check_ledger(ledger, dicom, key)
    (expected,) = tables.read(shared / "expected" / "series.parquet", SERIES).to_pylist()
    found = {row["series_id"]: row for row in tables.read(out / "series.parquet", SERIES).to_pylist()}
    assert found[expected["series_id"]] == expected
    assert (out / expected["nifti"]).read_bytes() == (shared / "expected" / expected["nifti"]).read_bytes()
    prepare_volumes.main(out, tmp_path / "volumes", tmp_path / "prepared", shared / "params.yaml")
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert peak_gib < MAX_PROCESS_GIB + SERIES_GIB
