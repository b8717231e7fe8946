"""Identifiers planted in headers, names of files and reports: none is in anything that is written."""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from canaries import ALL, HEADERS, NEEDLES, PATHS, write_cohort
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from privacy import find_identifiers, find_in_text
from repositories import copy_repository, run
from safetensors.numpy import load_file, save_file

from stages.artifacts import imaging_tables, report_tables, tables

pytestmark = pytest.mark.slow

VALUES = {
    "cohort": {
        "dicom": "data/site/dicom",
        "reports": "data/site/reports.csv",
        "site_key": "data/site.key",
        "truth": "data/none",
        "masks": "data/none",
    },
    # Whatever may be shown of a real cohort is shown, so that it is searched.
    "show_quality": {"publish_examples": True},
    "prepare_volumes": {"min_coverage": 0.0},
}
STAGES = ("prepare_volumes", "encode_texts", "link_truth", "results/dvc.yaml:show_quality")
# DVC keeps its site cache where the key's owner keeps the key.
AS_A_SITE = {"DVC_SITE_CACHE_DIR": None}
_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A copy of the repository after a run on the planted export, the export, and what the runs said."""
    base = tmp_path_factory.mktemp("canary")
    folder, source = base / "repository", base / "export"
    write_cohort(source)
    copy_repository(folder, VALUES, ("clip",))
    (folder / "data" / "site").symlink_to(source)
    make_key = ("python", "-m", "stages.artifacts.make_key", str(base / "key" / "site.key"))
    log = run(folder, *make_key, "--link", "data/site.key", environment=AS_A_SITE)
    log += run(folder, "dvc", "repro", *STAGES, environment=AS_A_SITE)
    return folder, source, log


def written(folder):
    """Everything that the run wrote."""
    data = [path for path in (folder / "data").iterdir() if not path.is_symlink()]
    return [*data, *(folder / name for name in ("results", "work", ".dvc", "dvc.lock"))]


def test_forty_identifiers_are_planted_and_the_search_sees_each_of_them(site):
    _, source, _ = site
    assert len(ALL) >= 40
    found = {hit.needle for hit in find_identifiers(source, NEEDLES)}
    assert set(NEEDLES) - found == set()


def test_no_planted_identifier_is_in_any_output(site):
    folder, _, log = site
    hits = find_identifiers(written(folder), NEEDLES)
    assert sorted({(hit.needle, Path(hit.path).name, hit.where) for hit in hits}) == []
    assert find_in_text(log, NEEDLES, "log") == []


def test_dvc_keeps_the_names_of_files_where_only_the_owner_of_the_key_looks(site):
    folder, _, _ = site
    cache = folder.parent / "key" / "dvc-site-cache"
    assert cache.stat().st_mode & 0o077 == 0
    # In the decimal checksums of the cache any eight digits occur by chance.
    named = {canary.needle for canary in PATHS}
    needles = [needle for needle in NEEDLES if needle not in named and not (needle.isdigit() and len(needle) < 10)]
    assert find_identifiers(folder.parent / "key", needles) == []


def test_no_copy_is_left_in_memory(site):
    assert find_identifiers(sorted(_MEMORY.glob("convert_dicom-*")), NEEDLES) == []


def test_findings_survive_the_search_for_identifiers(site):
    folder, _, _ = site
    reports = tables.read(folder / "data" / "reports" / "reports.parquet", report_tables.REPORTS).to_pylist()
    findings = tables.read(folder / "data" / "reports" / "findings.parquet", report_tables.FINDINGS).to_pylist()
    series = tables.read(folder / "data" / "converted" / "series.parquet", imaging_tables.SERIES)
    assert len(series) == len(HEADERS)
    assert [row["status"] for row in reports] == ["used"] * len(HEADERS)
    assert [(row["finding"], row["site"], row["side"]) for row in findings] == [("infarct", "thalamus", "left")] * len(
        HEADERS
    )


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("convert_dicom", ("--dicom", "data/site/dicom")),
        ("extract_findings", ("--reports", "data/site/reports.csv")),
    ],
)
def test_a_run_that_fails_names_nobody(site, stage, options):
    folder, _, _ = site
    blocked = folder / "work" / "blocked"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file where a folder is wanted")
    command = [sys.executable, "-m", f"stages.{stage}", *options, "--site-key", "data/site.key", "--out", str(blocked)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "blocked" in done.stdout + done.stderr
    assert find_in_text(done.stdout + done.stderr, NEEDLES, "traceback") == []


def test_the_same_search_finds_what_is_planted_in_these_outputs(site, tmp_path):
    folder, _, log = site
    name = "Quillfeather"
    series = pq.read_table(folder / "data" / "converted" / "series.parquet")
    pq.write_table(series.append_column("note", pa.array([name] * len(series))), tmp_path / "a.parquet")
    image = nib.load(next(iter(sorted(folder.glob("data/converted/nifti/*.nii.gz")))))
    image.header["descrip"] = name
    nib.save(image, tmp_path / "b.nii.gz")
    shard = next(iter(sorted(folder.glob("data/volumes/shards/*.safetensors"))))
    save_file(load_file(shard), tmp_path / "c.safetensors", metadata={"note": name})
    text = PngInfo()
    text.add_text("Title", name, zip=True)
    with Image.open(next(iter(sorted(folder.glob("results/quality/montages/*.png"))))) as picture:
        picture.save(tmp_path / "d.png", pnginfo=text)
    for source in ("results/quality/README.md", "results/quality/sentences.html", "results/quality/counts.csv"):
        shutil.copy(folder / source, tmp_path)
        with (tmp_path / Path(source).name).open("a", encoding="utf-8") as file:
            file.write(name)
    (tmp_path / name).touch()
    found = {Path(hit.path).name for hit in find_identifiers(tmp_path, NEEDLES) if hit.needle == name}
    assert found == {path.name for path in tmp_path.iterdir()}
    assert find_in_text(log + name, NEEDLES)
