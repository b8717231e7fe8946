"""The stage on a tiny cohort with a loss at every level."""

import json
from pathlib import Path

import pytest

from stages.artifacts import cohort_tables, imaging_tables, report_tables, tables, truth_tables
from stages.artifacts.tables import Contract
from stages.split_cohort import main

# study: patient, vendor, sequences with a selected volume, status of its report
STUDIES = {
    "s0": ("p0", "GE", ["T1", "T2"], "used"),
    "s1": ("p0", "GE", ["T1"], "used"),
    "s2": ("p1", "SIEMENS", ["FLAIR"], "used"),
    "s3": ("p2", "GE", ["T1", "T1C"], "used"),
    "s4": ("p3", "PHILIPS", ["T2"], "used"),
    "no_report": ("p1", "GE", ["T1"], None),
    "empty": ("p1", "GE", ["T1"], "empty"),
    "contrast_only": ("p2", "GE", ["T1C"], "used"),
    "blank": ("p3", "GE", [], "used"),
}
REPORTED_ONLY = "no_images"


def write(path: Path, rows: list[dict], contract: Contract) -> None:
    tables.write(path, tables.from_rows(contract, rows), contract)


def series_row(study: str, sequence: str) -> dict:
    patient, vendor, _, _ = STUDIES[study]
    return {
        "study_id": study, "patient_id": patient, "series_id": f"{study}/{sequence}", "scanner_id": "x",
        "vendor": vendor, "sequence": sequence, "confidence": 1.0, "orientation": "axial",
        "spacing_mm": [1.0, 1.0, 5.0], "shape": [2, 2, 2], "num_slices": 2, "nifti": "n", "sha256": "0",
    }  # fmt: skip


def volume_row(study: str, sequence: str, is_selected: bool = True) -> dict:
    return {
        "series_id": f"{study}/{sequence}", "study_id": study, "patient_id": STUDIES[study][0], "sequence": sequence,
        "is_selected": is_selected, "shard": "s", "key": "k", "affine": [0.0] * 16, "intensity_low": 0.0,
        "intensity_high": 1.0, "is_constant": not is_selected, "foreground_fraction": 0.5, "coverage": 1.0,
        "clipped_fraction": 0.0, "tilt_deg": 0.0,
    }  # fmt: skip


def ledger_row(number: int, series_id: str | None, reason: str | None = None) -> dict:
    status = "set_aside" if reason else "used"
    return {"path_hash": str(number), "extension": "", "status": status, "reason": reason, "series_id": series_id}


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    series = [series_row(study, sequence) for study, row in STUDIES.items() for sequence in row[2]]
    series += [series_row("blank", "T1"), series_row("s0", "SWI")]
    volumes = [volume_row(study, sequence) for study, row in STUDIES.items() for sequence in row[2]]
    volumes.append(volume_row("blank", "T1", is_selected=False))
    ledger = [ledger_row(number, row["series_id"]) for number, row in enumerate(series)]
    ledger += [ledger_row(90, "localiser", "localiser"), ledger_row(91, None, "not_dicom")]
    reports = [
        {"row": number, "study_id": study, "status": status, "sections": [], "num_masked": 0}
        for number, (study, status) in enumerate(
            [(study, row[3]) for study, row in STUDIES.items() if row[3]] + [(REPORTED_ONLY, "unknown_study")]
        )
    ]
    paired = [study for study, row in STUDIES.items() if row[3] == "used"]
    texts = [
        {
            "text_id": number, "unit": "study", "language": "en", "row": number, "text": f"text {number % 3}",
            "english_text": "", "flipped_text_id": number, "is_flipped": False, "num_studies": 1,
        }
        for number in range(len(paired))
    ]  # fmt: skip
    labels = [{"study_id": "s0", "finding": "mass", "label": 1, "source": "mined"}]
    write(tmp_path / "series.parquet", series, imaging_tables.SERIES)
    write(tmp_path / "ledger.parquet", ledger, imaging_tables.LEDGER)
    write(tmp_path / "volumes.parquet", volumes, imaging_tables.VOLUMES)
    write(tmp_path / "reports.parquet", reports, report_tables.REPORTS)
    write(tmp_path / "texts.parquet", texts, report_tables.TEXTS)
    pairs = [{"study_id": study, "text_id": number} for number, study in enumerate(paired)]
    write(tmp_path / "pairs.parquet", pairs, report_tables.PAIRS)
    write(tmp_path / "studies.parquet", [], truth_tables.LINKED_STUDIES)
    write(tmp_path / "labels.parquet", labels, truth_tables.LABELS)
    return tmp_path


def run(folder: Path, out: str = "splits") -> tuple[dict[str, str], dict[tuple[str, str], int], dict]:
    paths = [folder / f"{out}.parquet", folder / f"{out}_flow.parquet", folder / f"{out}.json"]
    main(folder, folder, folder, folder, folder, *paths)
    splits = {row["study_id"]: row["split"] for row in tables.read(paths[0], cohort_tables.SPLIT_TABLE).to_pylist()}
    flow = {(row["level"], row["group"]): row["count"] for row in tables.read(paths[1], cohort_tables.FLOW).to_pylist()}
    return splits, flow, json.loads(paths[2].read_text())


def test_every_paired_study_is_split_by_patient_and_no_split_is_empty(cohort: Path) -> None:
    splits, _, metrics = run(cohort)
    assert list(splits) == ["s0", "s1", "s2", "s3", "s4"]
    assert splits["s0"] == splits["s1"]
    assert set(splits.values()) == {"train", "validation", "test"}
    assert metrics["num_shared_patients"] == 0
    assert sum(metrics["num_patients"].values()) == 4
    assert metrics["num_studies_with_finding"][splits["s0"]] == {"mass": 1}
    assert {name: set(counts) for name, counts in metrics["texts_shared_with_train"].items()} == {
        "validation": {"num_texts", "num_exact", "num_near"},
        "test": {"num_texts", "num_exact", "num_near"},
    }


def test_every_loss_has_its_reason(cohort: Path) -> None:
    _, flow, _ = run(cohort)
    sizes = {group: count for (level, group), count in flow.items() if level == "splits"}
    assert sum(sizes.values()) == 5
    assert {key: count for key, count in flow.items() if key[0] != "splits"} == {
        ("files", "used"): 12,
        ("files", "localiser"): 1,
        ("files", "not_dicom"): 1,
        ("series", "used"): 10,
        ("series", "constant_image"): 1,
        ("series", "localiser"): 1,
        ("series", "unreadable_volume"): 1,
        ("studies", "used"): 5,
        ("studies", "no_report"): 1,
        ("studies", "report_empty"): 1,
        ("studies", "no_usable_volume"): 1,
        ("studies", "withheld_sequence"): 1,
        ("studies", "no_images"): 1,
        ("pairs", "used"): 5,
        ("pairs", "no_usable_volume"): 1,
        ("pairs", "withheld_sequence"): 1,
    }


def test_the_stage_repeats_itself_to_the_byte(cohort: Path) -> None:
    run(cohort, "first")
    run(cohort, "second")
    for suffix in (".parquet", "_flow.parquet", ".json"):
        assert (cohort / f"first{suffix}").read_bytes() == (cohort / f"second{suffix}").read_bytes()


def test_declared_sets_reach_the_splits(cohort: Path) -> None:
    declared = {"s0": "test", "s1": "test", "s2": "shifted", "s3": "development", "s4": "development"}
    rows = [{"study_id": study, "set": name, "is_normal": True} for study, name in declared.items()]
    write(cohort / "studies.parquet", rows, truth_tables.LINKED_STUDIES)
    splits, _, _ = run(cohort)
    assert (splits["s0"], splits["s1"], splits["s2"]) == ("test", "test", "test_shifted")
    assert {splits["s3"], splits["s4"]} == {"train", "validation"}


def test_pairs_of_one_sequence_need_that_sequence(cohort: Path) -> None:
    pairs = [("s0", "T1"), ("s0", "FLAIR"), ("s3", "T1C"), ("s2", "FLAIR"), ("s4", "T2")]
    rows = [{"study_id": s, "sequence": q, "text_id": number} for number, (s, q) in enumerate(pairs)]
    write(cohort / "pairs.parquet", rows, report_tables.PAIRS)
    splits, flow, _ = run(cohort)
    assert list(splits) == ["s0", "s2", "s4"]
    assert flow[("pairs", "sequence_not_acquired")] == 1
    assert flow[("pairs", "withheld_sequence")] == 1


def test_nothing_to_split_stops_with_what_is_missing(cohort: Path) -> None:
    write(cohort / "pairs.parquet", [], report_tables.PAIRS)
    with pytest.raises(ValueError, match=r"no_text 7.*compare the accession numbers"):
        run(cohort)
