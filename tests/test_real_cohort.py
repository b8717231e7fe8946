"""The whole pipeline on a real export, with parameters changed and nothing else."""

from pathlib import Path

import nibabel as nib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exports import find_export, identifiers_of_open_ms
from privacy import find_identifiers, find_in_text
from repositories import commit, copy_repository, run, stages_run

from stages.artifacts import atlas_tables, imaging_tables, report_tables, tables

pytestmark = pytest.mark.slow

NOTHING = "data/none"
VALUES = {
    "cohort": {
        "dicom": "data/site/dicom",
        "reports": "data/site/reports.csv",
        "site_key": "data/site.key",
        "truth": NOTHING,
        "masks": NOTHING,
    },
    "pretrain": {"updates": 4, "batch_size": 2, "seeds": [0]},
    "evaluate_classification": {"num_draws": 2},
    "evaluate_finetuning": {"min_updates": 2, "max_updates": 4},
    "tabulate_results": {"num_resamples": 50},
}
OBJECTIVES = ("clip", "selip")
# DVC keeps its site cache where the key's owner keeps the key.
AS_A_SITE = {"DVC_SITE_CACHE_DIR": None}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A copy of the repository after one run on the export, what the run said, and the export's identifiers."""
    source = find_export("open_ms")
    folder = tmp_path_factory.mktemp("site") / "repository"
    copy_repository(folder, VALUES, OBJECTIVES)
    (folder / "data" / "site").symlink_to(source)
    make_key = ("python", "-m", "stages.artifacts.make_key", str(folder.parent / "key" / "site.key"))
    log = run(folder, *make_key, "--link", "data/site.key", environment=AS_A_SITE)
    log += run(folder, "dvc", "repro", environment=AS_A_SITE)
    return folder, log, identifiers_of_open_ms(source)


def written(folder):
    """Everything that the run wrote in the repository."""
    data = [path for path in (folder / "data").iterdir() if not path.is_symlink()]
    return [*data, *(folder / name for name in ("results", "work", ".dvc", "dvc.lock"))]


def test_the_run_ends_with_tables_that_show_no_small_cell(site):
    folder, _, _ = site
    text = (folder / "results" / "tables" / "results.csv").read_text(encoding="utf-8")
    for row in (*OBJECTIVES, "chance"):
        assert f",{row}," in text
    page = (folder / "results" / "README.md").read_text(encoding="utf-8")
    assert "Real cohort, aggregates only" in page
    assert "| splits | test | <5 |" in page


@pytest.mark.parametrize(
    ("stage", "missing"),
    [
        ("prepare_masks", "the cohort has no usable masks"),
        ("evaluate_segmentation", "no study has a lesion mask"),
        ("evaluate_localisation", "no lesion masks in the evaluated splits"),
        ("evaluate_localisation_references", "no lesion masks in the evaluated splits"),
        ("evaluate_vqa", "no question has two answers among the training studies"),
        ("show_answers", "a real cohort is shown only if show_answers.publish_examples says so"),
        ("draw_saliency", "a real cohort is shown only if draw_saliency.publish_examples says so"),
        ("show_reports", "a real cohort is shown only if show_reports.publish_examples says so"),
        ("show_quality", "a real cohort is shown only if show_quality.publish_examples says so"),
    ],
)
def test_a_stage_without_its_data_says_in_one_line_what_is_missing(site, stage, missing):
    _, log, _ = site
    assert [line for line in log.splitlines() if line.startswith(f"{stage}: ") and missing in line]


def test_every_file_is_in_the_ledger_and_every_series_is_recognised(site):
    folder, _, _ = site
    ledger = tables.read(folder / "data" / "converted" / "ledger.parquet", imaging_tables.LEDGER)
    series = tables.read(folder / "data" / "converted" / "series.parquet", imaging_tables.SERIES).to_pylist()
    assert len(ledger) == 887
    sequences = [row["sequence"] for row in series]
    assert {name: sequences.count(name) for name in set(sequences)} == {"T1": 6, "T2": 7, "FLAIR": 7}
    assert all(row["sequence"] == row["sequence_by_physics"] == row["sequence_by_header"] for row in series)


def test_every_study_is_registered_to_the_atlas(site):
    folder, _, _ = site
    path = folder / "data" / "atlas" / atlas_tables.REGISTRATION_TABLE
    rows = tables.read(path, atlas_tables.REGISTRATIONS).to_pylist()
    assert [row["status"] for row in rows] == [atlas_tables.OK] * 7


def test_every_report_meets_its_study(site):
    folder, _, _ = site
    reports = tables.read(folder / "data" / "reports" / "reports.parquet", report_tables.REPORTS).to_pylist()
    assert [row["status"] for row in reports] == ["used"] * 7


def test_nothing_that_was_written_identifies_anyone(site):
    folder, log, identifiers = site
    assert len(identifiers) > 900
    assert find_identifiers(written(folder), identifiers) == []
    # In the decimal checksums of DVC's site cache any eight digits occur by chance.
    undated = [identifier for identifier in identifiers if not (identifier.isdigit() and len(identifier) == 8)]
    assert len(undated) > 900
    assert find_identifiers(folder.parent / "key", undated) == []
    assert find_in_text(log, identifiers, "log") == []


def test_the_same_search_finds_what_is_planted_in_these_outputs(site, tmp_path):
    folder, log, identifiers = site
    name = next(needle for needle in identifiers if "OPENMS" in needle)
    series = pq.read_table(folder / "data" / "converted" / "series.parquet")
    pq.write_table(series.append_column("note", pa.array([name] * len(series))), tmp_path / "a.parquet")
    image = nib.load(next(iter(sorted(folder.glob("data/converted/nifti/*.nii.gz")))))
    image.header["descrip"] = name
    nib.save(image, tmp_path / "b.nii.gz")
    (tmp_path / name).touch()
    assert {Path(hit.path).name for hit in find_identifiers(tmp_path, identifiers)} == {"a.parquet", "b.nii.gz", name}
    assert find_in_text(log + name, identifiers)


def test_git_is_offered_no_data_and_no_path_of_the_site(site):
    folder, _, _ = site
    commit(folder)
    tracked = run(folder, "git", "ls-files", "data").split()
    assert {Path(name).suffix for name in tracked} <= {".json", ".yaml", ".gitkeep", ""}
    assert not [name for name in tracked if name.startswith("data/site")]
    source = str((folder / "data" / "site").readlink())
    for name in run(folder, "git", "ls-files", "dvc.lock", "params.yaml", "results", *tracked).split():
        content = (folder / name).read_bytes()
        assert source.encode() not in content, name
        assert str(folder.parent / "key").encode() not in content, name


def test_the_second_run_does_nothing(site):
    folder, _, _ = site
    assert not stages_run(run(folder, "dvc", "repro", environment=AS_A_SITE))
