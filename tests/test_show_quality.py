"""The quality page: everything of a simulated cohort, counts and histograms of a real one."""

import csv
import subprocess

import numpy as np
import pytest
from imports import ROOT, stages_of
from reports_of_cohort import REPORTS_OF_COHORT, write_reports
from ruamel.yaml import YAML

from stages.artifacts import imaging_tables, tables
from stages.imaging.shards import write_shard
from stages.show_quality import main

CANARY = "Quillfeather"
SEQUENCES = ("T1", "FLAIR")


@pytest.fixture
def cohort(tmp_path):
    """Tables, shards and parameters of nine studies of three patients; one sentence holds a canary."""
    reports = [*REPORTS_OF_COHORT]
    sentences = [(f"{words} {CANARY}.", said) for words, said in reports[3][2]]
    reports[3] = (*reports[3][:2], sentences)
    write_reports(tmp_path / "reports", reports)
    series, volumes, voxels = [], [], {}
    rng = np.random.default_rng(5)
    for number, (study, *_) in enumerate(reports):
        for place, sequence in enumerate(SEQUENCES):
            name = f"{number}{place}"
            about = {"series_id": name, "study_id": study, "patient_id": f"p{number // 3}", "sequence": sequence}
            series.append(
                about
                | dict.fromkeys(("scanner_id", "nifti", "sha256"), "x")
                | {"vendor": "GE" if number else "UIH", "confidence": 1.0, "orientation": "axial", "num_slices": 20}
                | {"spacing_mm": [1.0, 1.0 + number / 10, 4.0], "shape": [8, 8, 8]}
            )
            volumes.append(
                about
                | dict.fromkeys(("intensity_low", "intensity_high", "foreground_fraction", "clipped_fraction"), 0.5)
                | {"is_selected": True, "is_constant": False, "coverage": 0.9, "tilt_deg": 3.0 + number}
                | {"shard": "shards/a.safetensors", "key": name, "affine": np.eye(4).ravel().tolist()}
                | {"signal_to_noise": 20.0 if number else None}
            )
            voxels[name] = rng.integers(0, 256, (8, 8, 8), dtype=np.uint8)
    write_shard(tmp_path / "volumes", "shards/a.safetensors", voxels)
    ledger = [
        {"path_hash": f"{n}", "extension": "", "status": "set_aside" if n % 7 else "used"}
        | {"reason": "localiser" if n % 7 else None, "message": "x", "series_id": "burned" if n % 7 else f"{n // 4}0"}
        for n in range(28)
    ]
    for name, rows, contract in (
        ("converted/series", series, imaging_tables.SERIES),
        ("converted/ledger", ledger, imaging_tables.LEDGER),
        ("volumes/volumes", volumes, imaging_tables.VOLUMES),
    ):
        tables.write(tmp_path / f"{name}.parquet", tables.from_rows(contract, rows), contract)
    return tmp_path


def run(cohort, *, is_simulated, publish=False, min_patients=3):
    """Run the stage; returns the folder that it wrote."""
    values = {"publish_examples": publish, "seed": 0, "num_sentences": 4, "num_montages": 2, "num_volumes": 3}
    folder = str(cohort if is_simulated else cohort / "elsewhere")
    with (cohort / "params.yaml").open("w") as file:
        YAML().dump(
            {
                "show_quality": values,
                "tabulate_results": {"simulated_folder": folder, "min_patients": min_patients},
            },
            file,
        )
    main(
        converted=cohort / "converted",
        volumes=cohort / "volumes",
        reports=cohort / "reports",
        cohort=cohort / "dicom",
        on_site=cohort / "on_site",
        out=cohort / "quality",
        params=cohort / "params.yaml",
    )
    return cohort / "quality"


def counts(folder):
    with (folder / "counts.csv").open(encoding="utf-8") as file:
        return {(row["about"], row["group"]): (row["count"], row["patients"]) for row in csv.DictReader(file)}


def test_a_simulated_cohort_is_shown_in_full(cohort):
    out = run(cohort, is_simulated=True)
    found = counts(out)
    assert found["series by sequence", "T1"] == ("9", "3")
    assert found["series by vendor", "UIH"] == ("2", "1")
    assert found["files by what became of them", "localiser"] == ("24", "")
    assert found["files by what became of them", "used"] == ("4", "2")
    assert found["reports by status", "used"] == ("9", "3")
    assert found["statements by finding and assertion", "infarct, present"] == ("3", "1")
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert names == {
        "README.md", "counts.csv", "spacing.png", "measures.png", "intensity.png", "sentences.html",
        "montages/study_01.png", "montages/study_02.png",
    }  # fmt: skip
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "Simulated cohort" in page
    assert "**" in page.split("what was read from them")[1]


def test_of_a_real_cohort_counts_and_histograms_are_shown_and_small_cells_withheld(cohort):
    out = run(cohort, is_simulated=False)
    found = counts(out)
    assert found["series by sequence", "T1"] == ("9", "3")
    assert found["series by vendor", "UIH"] == ("<3", "<3")
    assert found["statements by finding and assertion", "infarct, present"] == ("<3", "<3")
    names = {path.name for path in out.rglob("*") if path.is_file()}
    assert names == {"README.md", "counts.csv", "spacing.png", "measures.png", "intensity.png"}
    page = (out / "README.md").read_text(encoding="utf-8")
    assert "publish_examples" in page
    assert str(cohort) not in page
    for path in out.rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes(), path


def test_what_is_withheld_of_a_real_cohort_is_shown_on_site(cohort):
    run(cohort, is_simulated=False)
    out = cohort / "on_site"
    assert counts(out)["series by vendor", "UIH"] == ("2", "1")
    assert (out / "montages" / "study_01.png").is_file()
    assert CANARY in (out / "README.md").read_text(encoding="utf-8")


def test_git_ignores_the_page_for_the_site(tmp_path):
    """By the rules that are tracked alone: DVC writes ignore files of its own and takes them back."""
    outs = [
        str(out) for out in stages_of(ROOT / "results" / "dvc.yaml")["show_quality"]["outs"] if isinstance(out, str)
    ]
    assert outs == ["data/quality"]
    (tmp_path / ".gitignore").write_bytes((ROOT / ".gitignore").read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    names = [f"{outs[0]}/{name}" for name in ("README.md", "sentences.html", "counts.csv", "montages/study_01.png")]
    command = ["git", "check-ignore", *names]
    ignored = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ignored.stdout.split() == names


def test_many_files_of_a_series_that_was_set_aside_may_be_of_one_patient(cohort):
    found = counts(run(cohort, is_simulated=False))
    assert found["files by what became of them", "localiser"] == ("withheld", "")
    assert found["files by what became of them", "used"] == ("<3", "<3")


def test_reports_without_images_are_of_no_patient_that_is_known(cohort):
    series = cohort / "converted" / "series.parquet"
    rows = tables.read(series, imaging_tables.SERIES).to_pylist()
    left = [row for row in rows if row["patient_id"] != "p2"]
    tables.write(series, tables.from_rows(imaging_tables.SERIES, left), imaging_tables.SERIES)
    assert counts(run(cohort, is_simulated=False))["reports by status", "used"] == ("withheld", "")
    assert counts(run(cohort, is_simulated=False, min_patients=2))["reports by status", "used"] == ("9", "")


def test_a_site_may_publish_its_examples(cohort):
    out = run(cohort, is_simulated=False, publish=True)
    assert (out / "sentences.html").is_file()
    assert counts(out)["series by vendor", "UIH"] == ("2", "1")
    assert "Real cohort in full" in (out / "README.md").read_text(encoding="utf-8")


def test_the_page_repeats_itself_to_the_byte_and_leaves_nothing_old(cohort):
    out = run(cohort, is_simulated=True)
    first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "old.png").write_bytes(b"")
    run(cohort, is_simulated=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == first


def test_an_empty_cohort_has_a_page(tmp_path):
    write_reports(tmp_path / "reports", [])
    for name, contract in (
        ("converted/series", imaging_tables.SERIES),
        ("converted/ledger", imaging_tables.LEDGER),
        ("volumes/volumes", imaging_tables.VOLUMES),
    ):
        tables.write(tmp_path / f"{name}.parquet", tables.from_rows(contract, []), contract)
    assert counts(run(tmp_path, is_simulated=True)) == {}
