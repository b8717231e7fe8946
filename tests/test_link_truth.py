"""Truth keyed by study; labels mined where there is none."""

from pathlib import Path

import pytest

from stages.artifacts import report_tables, tables, truth_tables
from stages.artifacts.identity import SiteKey, write_new_key
from stages.link_truth import main

STATEMENTS = {
    0: [("infarct", "present"), ("infarct", "absent"), ("mass", "absent"), ("normal", "present")],
    1: [("normal", "present"), ("haemorrhage", "absent"), ("mass", "uncertain")],
    2: [("mass", "present")],
}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    folder = tmp_path / "reports"
    statuses = ["used", "used", "duplicate"]
    rows = [
        {"row": row, "study_id": f"mined{row}", "status": status, "sections": [], "num_masked": 0}
        for row, status in enumerate(statuses)
    ]
    tables.write(folder / "reports.parquet", tables.from_rows(report_tables.REPORTS, rows), report_tables.REPORTS)
    statements = [
        {
            "row": row, "study_id": f"mined{row}", "statement": number, "section": "findings", "sentence": 0,
            "start": 0, "end": 1, "finding": finding, "assertion": assertion, "language": "en", "text": "x",
            "signals": [],
        }
        for row, items in STATEMENTS.items()
        for number, (finding, assertion) in enumerate(items)
    ]  # fmt: skip
    tables.write(
        folder / "findings.parquet", tables.from_rows(report_tables.FINDINGS, statements), report_tables.FINDINGS
    )
    return folder


def labels_of(out: Path) -> dict[tuple[str, str], tuple[int | None, str]]:
    rows = tables.read(out / "labels.parquet", truth_tables.LABELS).to_pylist()
    return {(row["study_id"], row["finding"]): (row["label"], row["source"]) for row in rows}


def test_without_truth_labels_come_from_the_reports(tmp_path: Path, reports: Path) -> None:
    (tmp_path / "none").mkdir()
    main(tmp_path / "none", reports, tmp_path / "no.key", tmp_path / "out")
    assert labels_of(tmp_path / "out") == {
        ("mined0", "haemorrhage"): (None, "mined"),
        ("mined0", "infarct"): (1, "mined"),
        ("mined0", "mass"): (0, "mined"),
        ("mined0", "normal"): (0, "mined"),
        ("mined1", "haemorrhage"): (0, "mined"),
        ("mined1", "infarct"): (None, "mined"),
        ("mined1", "mass"): (None, "mined"),
        ("mined1", "normal"): (1, "mined"),
    }
    assert len(tables.read(tmp_path / "out" / "studies.parquet", truth_tables.LINKED_STUDIES)) == 0
    assert len(tables.read(tmp_path / "out" / "lesions.parquet", truth_tables.LINKED_LESIONS)) == 0


def test_truth_is_keyed_by_study_and_outranks_the_report(tmp_path: Path, reports: Path) -> None:
    write_new_key(tmp_path / "site.key")
    key = SiteKey.load(tmp_path / "site.key")
    truth = tmp_path / "truth"
    studies = [{"accession_number": "A1", "set": "test", "is_normal": False, "reader": "r1"}] * 2
    tables.write(
        truth / "studies.parquet", tables.from_rows(truth_tables.TRUTH_STUDIES, studies), truth_tables.TRUTH_STUDIES
    )
    lesion = {
        "accession_number": "A1", "lesion": 0, "finding": "mass", "subtype": "meningioma", "site": "extra_axial",
        "side": "left", "size_mm": 20.0, "volume_ml": 4.0, "signals": [{"sequence": "T1", "signal": "iso"}],
        "template_voxels": [3, 4], "template_shape": [4, 4, 4],
    }  # fmt: skip
    tables.write(
        truth / "lesions.parquet", tables.from_rows(truth_tables.TRUTH_LESIONS, [lesion]), truth_tables.TRUTH_LESIONS
    )
    labels = [{"accession_number": "A1", "finding": "mass", "label": 1}]
    tables.write(
        truth / "labels.parquet", tables.from_rows(truth_tables.TRUTH_LABELS, labels), truth_tables.TRUTH_LABELS
    )

    main(truth, reports, tmp_path / "site.key", tmp_path / "out")

    [study] = tables.read(tmp_path / "out" / "studies.parquet", truth_tables.LINKED_STUDIES).to_pylist()
    assert study == {"study_id": key.study_id("A1"), "set": "test", "is_normal": False, "reader": "r1"}
    [linked] = tables.read(tmp_path / "out" / "lesions.parquet", truth_tables.LINKED_LESIONS).to_pylist()
    assert linked["template_voxels"] == [3, 4]
    found = labels_of(tmp_path / "out")
    assert found[(key.study_id("A1"), "mass")] == (1, "truth")
    assert found[("mined0", "infarct")] == (1, "mined")


def test_truth_without_a_key_stops_with_the_remedy(tmp_path: Path, reports: Path) -> None:
    tables.write(
        tmp_path / "truth" / "labels.parquet",
        tables.from_rows(truth_tables.TRUTH_LABELS, []),
        truth_tables.TRUTH_LABELS,
    )
    with pytest.raises(FileNotFoundError, match="make site-key"):
        main(tmp_path / "truth", reports, tmp_path / "no.key", tmp_path / "out")
