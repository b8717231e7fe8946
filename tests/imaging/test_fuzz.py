"""Thousands of mutated files go through the stages: nothing crashes, hangs, grows or is lost, and neighbours stay."""

import random
import resource
from collections import Counter

import fuzzing
import pytest
import small_exports as ex

from stages.artifacts import tables
from stages.artifacts.imaging_tables import LEDGER, SERIES
from stages.imaging.ingestion import ingest
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


SETTINGS = ex.SETTINGS.model_copy(
    update={
        "header_timeout_s": MAX_FILE_S,
        "series_timeout_s": MAX_FILE_S,
        "series_memory_gib": SERIES_GIB,
        "max_archive_gib": 0.1,
        "max_member_mib": 64,
    }
)


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


def convert(dicom, out, work):
    ingest(dicom, out, work, ex.KEY, SETTINGS)
    return tables.read(out / "ledger.parquet", LEDGER).to_pylist()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with what all exports share: the intact series, converted by itself."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "alone").mkdir()
    for number, data in enumerate(fuzzing.series(random.Random(SEED), fuzzing.SYNTAXES[0])):
        (folder / "alone" / f"intact{number}").write_bytes(data)
    ledger = convert(folder / "alone", folder / "expected", folder / "work")
    assert {row["status"] for row in ledger} == {"used"}
    return folder


def check_ledger(ledger, dicom):
    """Every file has one row, and so has every member that its archive lists."""
    hashes = [row["path_hash"] for row in ledger]
    assert set(hashes) >= {path_hash(ex.KEY, path.name) for path in dicom.iterdir()}
    loose = [row for row in ledger if row["container_hash"] is None]
    assert len(loose) == len(list(dicom.iterdir()))
    lost = {"header_timeout", "conversion_timeout", "decoder_crashed"}
    assert not lost & {row["reason"] for row in ledger}, Counter(row["reason"] for row in ledger)


@pytest.mark.parametrize("number", range(NUM_EXPORTS))
def test_mutated_files_cost_their_own_rows(shared, tmp_path, number):
    dicom, out = tmp_path / "dicom", tmp_path / "out"
    num_mutations = write_export(dicom, random.Random(SEED + number))
    assert num_mutations * NUM_EXPORTS > 3000
    ledger = convert(dicom, out, tmp_path / "work")
    check_ledger(ledger, dicom)
    (expected,) = tables.read(shared / "expected" / "series.parquet", SERIES).to_pylist()
    found = {row["series_id"]: row for row in tables.read(out / "series.parquet", SERIES).to_pylist()}
    assert found[expected["series_id"]] == expected
    assert (out / expected["nifti"]).read_bytes() == (shared / "expected" / expected["nifti"]).read_bytes()
    ex.prepare(out, tmp_path / "volumes", tmp_path / "prepared")
    peak_gib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    assert peak_gib < MAX_PROCESS_GIB + SERIES_GIB
