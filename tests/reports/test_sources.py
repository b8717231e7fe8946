import base64
import csv
import gzip
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from report_exports import REPORTS, WRITERS, message, pdf, resource

from stages.reports.inputs import format_of, read_reports
from stages.reports.sources import hl7
from stages.reports.sources.base import Columns, Source, version_of
from stages.reports.sources.encodings import decode
from stages.reports.sources.fhir_report import Linked, ReportResource
from stages.reports.sources.files import Export
from stages.reports.sources.markup import plain_text, text_of

TEXT = "FINDINGS: Acute infarct in the left thalamus."
RTF = r"{\rtf1\ansi\ansicpg1252 FINDINGS: Acute infarct\par in the left thalamus.}"
NOVAK = ("Novak", "Mary")


def read(path, columns=None, **source):
    return list(read_reports(path, columns or Columns(), Source(**source)))


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_reports_and_is_told_by_its_content(tmp_path, name):
    path = WRITERS[name](tmp_path)
    assert format_of(Export.of(path), Columns(), Source()) == name
    reports = read(path)
    assert [report.row for report in reports] == [0, 1, 2]
    assert [(report.accession_number, report.text) for report in reports] == [report[:2] for report in REPORTS]
    assert all(report.problem is None for report in reports)


@pytest.mark.parametrize("name", ["parquet", "json_lines", "hl7", "fhir"])
def test_a_folder_of_files_is_read_in_the_order_of_their_paths(tmp_path, name):
    for folder in ("b", "a", ".hidden"):
        (tmp_path / folder).mkdir()
        WRITERS[name](tmp_path / folder)
    reports = read(tmp_path)
    assert [report.accession_number for report in reports] == ["A1", "A2", "A3"] * 2
    assert [report.row for report in reports] == list(range(6))


def test_a_folder_that_links_to_itself_is_read_once(tmp_path):
    WRITERS["text_folder"](tmp_path)
    (tmp_path / "texts" / "loop").symlink_to(tmp_path / "texts")
    assert len(read(tmp_path / "texts")) == 3


def test_a_missing_export_and_an_empty_folder_say_so(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileNotFoundError, match="set cohort.reports"):
            read(path)


@pytest.mark.parametrize(
    "values",
    [{"accession_pattern": "("}, {"accession_pattern": "x"}, {"hl7_accession": ["OBR18"]}, {"encoding": "klingon"}],
)
def test_parameters_that_say_nothing_are_refused(values):
    with pytest.raises(ValidationError, match="expected|regular expression"):
        Source(**values)


# CSV


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_the_delimiter_is_told_by_the_header(tmp_path, delimiter):
    lines = [["id, as given", "accession_number", "report_text"], ["1", "A1", f"{TEXT}\n{delimiter}"]]
    with (tmp_path / "r.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(lines)
    assert [(r.accession_number, r.text) for r in read(tmp_path / "r.csv")] == [("A1", lines[1][2])]
    assert read(tmp_path / "r.csv", delimiter=delimiter)[0].accession_number == "A1"


def test_an_encoding_that_cannot_be_told_is_named(tmp_path):
    path = write(
        tmp_path / "r.csv", "accession_number,report_text\nA1,Œdème du thalamus gauche à l’IRM\n".encode("cp1252")
    )
    assert read(path)[0].text is None
    assert read(path, encoding="cp1252")[0].text == "Œdème du thalamus gauche à l’IRM"


def table(tmp_path, *lines, header="accession_number,report_text", **source):
    path = write(tmp_path / "r.csv", "\n".join([header, *lines]) + "\n")
    return [(r.accession_number, r.text) if r.problem is None else r.problem for r in read(path, **source)]


def test_a_quote_that_is_never_closed_costs_its_row(tmp_path, monkeypatch):
    last = [("A2", "Mass, 3 cm."), ("A3", "Infarct.")]
    assert table(tmp_path, 'A1,"Normal.', 'A2,"Mass, 3 cm."', "A3,Infarct.") == ["unreadable", *last]
    assert table(tmp_path, 'A1,"Normal.', "A2,Mass.", "A3,Infarct.") == ["unreadable", ("A2", "Mass."), last[1]]
    assert table(tmp_path, 'A1,"Normal.', "A2,Mass.", 'A3,Infarct."') == [
        *("unreadable", ("A2", "Mass."), ("A3", 'Infarct."'))
    ]
    monkeypatch.setattr("stages.reports.sources.csv_file._MAX_FIELD", 1000)
    assert table(tmp_path, f"A1,{TEXT}", f'A2,"{"x" * 1200}', f"A3,{TEXT}") == [
        ("A1", TEXT),
        "unreadable",
        ("A3", TEXT),
    ]


def test_lines_of_a_broken_text_are_no_records(tmp_path):
    lines = ['ACC1,"FINDINGS', 'A "dark" mass, bright on T2.', "T2, dark", 'IMPRESSION, 1 mass."', "ACC2,Cyst."]
    assert table(tmp_path, *lines) == ["unreadable", ("ACC2", "Cyst.")]
    assert table(tmp_path, "ACC0,Cyst.", 'x,"FINDINGS', 'A "b" c', "12,13 cm", "ACC2,Cyst.") == [
        *(("ACC0", "Cyst."), "unreadable", ("ACC2", "Cyst."))
    ]
    assert table(tmp_path, 'a,"One', "b,Two.") == ["unreadable", ("b", "Two.")]


def test_texts_of_several_lines_that_look_like_cells_are_whole(tmp_path):
    texts = ["T1, dark\nT2, bright", "A2, an artery\nA1, another", "2020-01-02, 7\n", 'a ""sign""\n\nB2,']
    rows = [f'A{number},"{text}"' for number, text in enumerate(texts)]
    assert table(tmp_path, *rows) == [(f"A{n}", text.replace('""', '"')) for n, text in enumerate(texts)]


def test_a_row_with_more_cells_than_columns_is_broken_unless_they_are_empty(tmp_path):
    assert table(tmp_path, "A1,No infarct, but a mass", "A2,Cyst.,,", "A3", ",") == [
        *("unreadable", ("A2", "Cyst."), ("A3", ""), ("", ""))
    ]


def test_a_folder_of_csv_parts_is_numbered_through(tmp_path):
    header = "accession_number,report_text\n"
    write(tmp_path / "part-0", f"{header}A0,{TEXT}\nA1,{TEXT}\n")
    write(tmp_path / "part-1.csv.gz", gzip.compress(f"{header}A2,{TEXT}\n".encode()))
    write(tmp_path / "part-2", "")
    write(tmp_path / "part-3", gzip.compress(f"{header}{TEXT}".encode() * 9000)[:-50])
    write(tmp_path / "_SUCCESS", "")
    write(tmp_path / "_committed_1", '{"added": []}')
    reports = read(tmp_path)
    assert [report.row for report in reports] == list(range(len(reports)))
    assert [report.accession_number for report in reports[:3]] == ["A0", "A1", "A2"]
    assert reports[-1].problem == "unreadable"
    write(tmp_path / "part-0", "x,y\n1,2\n")
    with pytest.raises(ValueError, match="part-0: no column"):
        read(tmp_path, format="csv")


def test_optional_columns_give_version_time_identity_and_names(tmp_path):
    header = "acc,text,id,state,time,who"
    path = write(tmp_path / "r.csv", f"{header}\nA1,{TEXT},7,Verified,2020-01-02,Mary Novak\n")
    columns = Columns(accession_number="acc", report_text="text", language=None, report_id="id", report_status="state")
    columns = columns.model_copy(update={"report_time": "time", "names": ("who",)})
    (report,) = read(path, columns)
    assert (report.report_id, report.version, report.issued, report.names) == (
        "7",
        "final",
        "2020-01-02",
        ("Mary Novak",),
    )
    with pytest.raises(ValueError, match=r"no column \['patient'\]"):
        read(path, columns.model_copy(update={"names": ("patient",)}))


# Encodings


@pytest.mark.parametrize(
    "text",
    ["Müller", "Bär", "MÜLLER", "Größe", "élève", "Ödem", "Die Größe der Ventrikel", "Señal en la sustancia", "it’s"],
)
def test_latin_text_is_not_taken_for_chinese_unless_its_encoding_is_named(text):
    assert decode(text.encode("cp1252")) is None
    assert decode(text.encode("cp1252"), "cp1252") == text


@pytest.mark.parametrize(
    "text",
    [
        "呈长T1长T2信号",
        "T1WI及T2WI",
        "dwi及flair序列呈高信号",
        "行CT及MRI检查",
        "右侧Meckel腔",
        "頭部病灶約3cm，長T1信號",
    ],
)
def test_chinese_text_may_touch_latin_letters(text):
    assert decode(text.encode("gb18030")) == text


def test_chinese_passages_of_the_gold_are_read_as_gb18030():
    for path in Path(__file__).parents[1].glob("gold/*_zh.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["text"]
            assert decode(text.encode("gb18030")) == text


def test_a_page_break_is_text():
    assert decode(b"Page 1\x0cPage\x0b2") == "Page 1\x0cPage\x0b2"
    assert decode("影像所见\x0c未见异常".encode("gb18030")) == "影像所见\x0c未见异常"


# Parquet and JSON lines


def test_parquet_of_other_types(tmp_path):
    table = pa.table(
        {
            "accession_number": pa.array([7.0, None, 9.0]),
            "report_text": pa.array([TEXT.encode(), "左侧额叶脑梗死".encode("gb18030"), b"caf\xe9 \xff\xfe"]),
            "other": pa.array([1, 2, 3]),
        }
    )
    pq.write_table(table, tmp_path / "r.parquet")
    assert [(report.accession_number, report.text) for report in read(tmp_path / "r.parquet")] == [
        *(("7", TEXT), ("", "左侧额叶脑梗死"), ("9", None))
    ]


def test_what_programs_leave_beside_tables_is_no_report(tmp_path):
    WRITERS["parquet"](tmp_path)
    write(tmp_path / "_SUCCESS", "x")
    assert [report.problem for report in read(tmp_path)] == [None] * 3
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts" / "_A1.txt", TEXT)
    assert [report.accession_number for report in read(tmp_path / "texts")] == ["_A1"]


def test_a_broken_parquet_file_of_a_folder_is_one_row(tmp_path):
    WRITERS["parquet"](tmp_path)
    write(tmp_path / "part-2.parquet", b"PAR1 broken")
    assert [report.problem for report in read(tmp_path)] == ["unreadable", None, None, None]


def test_a_parquet_file_without_the_column_says_so(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "r.parquet")
    with pytest.raises(ValueError, match="set extract_findings.columns"):
        read(tmp_path / "r.parquet")


def test_values_within_values_are_named_with_dots(tmp_path):
    columns = Columns(accession_number="exam.accession", report_text=("report.findings", "report.impression"))
    rows = [{"exam": {"accession": 12}, "report": {"findings": "No mass.", "impression": ["Normal", "brain."]}}]
    write(tmp_path / "r.jsonl", json.dumps(rows[0]))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    for name in ("r.jsonl", "r.parquet"):
        (report,) = read(tmp_path / name, columns)
        assert report.accession_number == "12"
        assert report.text == "FINDINGS: No mass.\nIMPRESSION: Normal\nbrain."


def test_a_broken_line_costs_its_row(tmp_path):
    good = json.dumps({"accession_number": "A1", "report_text": TEXT})
    nested = '{"a":' * 3000
    path = write(tmp_path / "r.jsonl", f'{good}\n{{"accession_number": "A2", "repo\n\n[1]\n{nested}\n{good}\n')
    assert [report.problem for report in read(path, format="json_lines")] == [None, *["unreadable"] * 3, None]


def test_json_lines_may_be_packed_or_one_list(tmp_path):
    records = [{"accession_number": "A1", "report_text": TEXT}]
    write(tmp_path / "list.json", json.dumps(records, indent=1))
    write(tmp_path / "lines.jsonl.gz", gzip.compress(json.dumps(records[0]).encode()))
    for name in ("list.json", "lines.jsonl.gz"):
        assert [(report.accession_number, report.text) for report in read(tmp_path / name)] == [("A1", TEXT)]


@pytest.mark.parametrize("form", ["lines", "list", "indented"])
def test_a_character_that_is_no_text_costs_its_report(tmp_path, form):
    texts = ["a\ufffdb", "a\x85b", "a\u2028b", TEXT]
    records = [{"accession_number": f"A{number}", "report_text": text} for number, text in enumerate(texts)]
    forms = {"lines": "\n".join(json.dumps(one, ensure_ascii=False) for one in records)}
    forms |= {"list": json.dumps(records, ensure_ascii=False)}
    forms |= {"indented": json.dumps(records, ensure_ascii=False, indent=1)}
    assert [report.text for report in read(write(tmp_path / "r.json", forms[form]))] == [None, None, *texts[2:]]


def test_texts_of_other_encodings_in_a_json_list_are_decoded_one_by_one(tmp_path):
    entries = [
        b'{"accession_number": "A%d", "report_text": "%s"}' % pair
        for pair in enumerate(
            [b"No mass.", "caf\xe9 au lait".encode("latin-1"), "影像所见".encode(), "未见异常".encode("gb18030")]
        )
    ]
    path = write(tmp_path / "r.json", b"[%s]" % b",".join(entries))
    assert [report.text for report in read(path)] == ["No mass.", None, "影像所见", "未见异常"]


def test_a_document_that_is_too_large_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("stages.reports.sources.files.MAX_FILE_BYTES", 1000)
    monkeypatch.setattr("stages.reports.sources.hl7.MAX_FILE_BYTES", 1000)
    monkeypatch.setattr("stages.reports.sources.hl7._BLOCK_BYTES", 300)
    records = [{"accession_number": "A1", "report_text": TEXT}] * 30
    lines = write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, records)))
    assert len(read(lines)) == 30
    messages = write(tmp_path / "m.hl7", "\r".join([message("A1", TEXT, NOVAK)] * 5))
    assert [(report.accession_number, report.text) for report in read(messages)] == [("A1", TEXT)] * 5
    large = [
        json.dumps(records),
        json.dumps({"resourceType": "Bundle", "entry": records}),
        message("A", "x" * 2000, NOVAK),
    ]
    for data in large:
        with pytest.raises(ValueError, match=r"large: \d+ bytes .* limit of 1000 bytes; split it .*NDJSON"):
            read(write(tmp_path / "large", data))
    assert read(write(tmp_path / "large", "x" * 2000), format="text_folder")[0].problem == "unreadable"


def test_json_without_the_key_says_so(tmp_path):
    path = write(tmp_path / "r.jsonl", '{"accession_number": "A1", "words": "x"}')
    with pytest.raises(ValueError, match=r"no line has \['report_text'\]"):
        read(path)


# Text files and what texts are wrapped in


def test_files_of_texts_are_named_by_a_pattern(tmp_path):
    for name in ("MR_2020_A1.txt", "sub/MR_2021_A2.rtf", "odd.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, RTF if name.endswith("rtf") else TEXT)
    reports = read(tmp_path, format="text_folder", accession_pattern=r"MR_\d{4}_(?P<accession>\w+)\.")
    assert [report.accession_number for report in reports] == ["A1", "", "A2"]
    assert reports[2].text == "FINDINGS: Acute infarct\nin the left thalamus."


@pytest.mark.parametrize(
    ("data", "text", "problem"),
    [
        (TEXT.encode("utf-16"), TEXT, None),
        (b"\xef\xbb\xbf" + TEXT.encode(), TEXT, None),
        (f"<html><head><title>x</title></head><body><p>{TEXT}</p></body></html>".encode(), TEXT, None),
        (RTF.encode(), "FINDINGS: Acute infarct\nin the left thalamus.", None),
        (pdf(TEXT), TEXT, None),
        (pdf(""), None, "unreadable"),
        (b"%PDF-1.7 cut", None, "unreadable"),
        (b"caf\xe9 \xff\xfe", None, None),
        (b"", "", None),
        (b" \n", "", None),
    ],
    ids=["utf-16", "mark", "html", "rtf", "pdf", "scan", "cut", "unknown", "empty", "blank"],
)
def test_what_a_text_file_holds(tmp_path, data, text, problem):
    (report,) = read(write(tmp_path / "A1.dat", data), format="text_folder")
    assert (report.accession_number, (report.text or "").strip() or report.text, report.problem) == (
        "A1",
        text,
        problem,
    )


def test_names_of_files_may_be_in_another_encoding(tmp_path):
    for name in ("检查_A1.txt".encode("gb18030"), "检查_A2.txt".encode(), b"M\xfcller_A3.txt", b"\xff_A4.txt"):
        (tmp_path / os.fsdecode(name)).write_text(TEXT)
    reports = read(tmp_path, accession_pattern=r"(?P<accession>[^/]+)\.txt")
    assert {report.accession_number for report in reports} == {"检查_A1", "检查_A2", r"M\xfcller_A3", r"\xff_A4"}


def test_a_file_that_cannot_be_opened_is_one_row(tmp_path):
    (tmp_path / "A1.txt").symlink_to(tmp_path / "nowhere")
    write(tmp_path / "A2.txt", TEXT)
    assert [report.problem for report in read(tmp_path, format="text_folder")] == ["unreadable", None]


def test_markup_is_taken_off_and_signs_of_size_stay():
    assert (
        plain_text("<b>FINDINGS:</b><br/>No&nbsp;mass &gt; 5&nbsp;mm.<script>x</script>")
        == "FINDINGS:\nNo mass > 5 mm."
    )
    assert plain_text("A focus <5 mm and >2 mm, b<c.") == "A focus <5 mm and >2 mm, b<c."
    assert plain_text("a\r\nb\rc\x0cd") == "a\nb\nc\nd"
    assert plain_text(None) is None


# HL7


def test_an_observation_a_line_and_sections_by_their_codes(tmp_path):
    rows = [
        *("OBX|1|TX|70553&GDT^MRI||Acute infarct in the left", "OBX|2|TX|70553&GDT^MRI||thalamus.||||||F"),
        *("OBX|3|FT|19005-8^Impression^LN||Infarct.~Second line.", "OBX|4|TX|70553&ADT||Seen by two."),
    ]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, obx=rows)))
    assert report.text == (
        "FINDINGS:\nAcute infarct in the left\nthalamus.\nIMPRESSION:\nInfarct.\nSecond line.\nADDENDUM:\nSeen by two."
    )


def test_withdrawn_observations_are_left_out_and_notes_read_where_there_is_no_other_text(tmp_path):
    rows = ["OBX|1|TX|1||Wrong patient.||||||W", "OBX|2|TX|1||Deleted.||||||D", "NTE|1||No mass."]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, obx=rows)))
    assert report.text == "No mass."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (r"a\.br\b\.sp2\c", "a\nb\n\nc"),
        (r"1 \T\ 2 \F\ 3 \S\ 4 \R\ 5 \E\ 6", r"1 & 2 | 3 ^ 4 ~ 5 \ 6"),
        (r"\H\bold\N\ and\or w\o contrast\.br\end", "bold and\\or w\\o contrast\nend"),
        (r"\X0D0A\x\XE5B7A6\\XE4BEA7\y", "\nx左侧y"),
        (r"\.in+4\indented\.sk3\x\.ce\y", "indented   x\ny"),
        ("\\C2842\\z\\Zabc\\", "z"),
        ("raw ^ caret & and ~ tilde", "raw ^ caret & and \n tilde"),
    ],
)
def test_escapes(tmp_path, value, text):
    rows = [f"OBX|1|FT|1||{value}||||||F"]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, obx=rows)))
    assert plain_text(report.text) == text


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [("UNICODE UTF-8", "utf-8"), ("GB 18030-2000", "gb18030"), ("", "gb18030"), ("", "utf-8"), ("BIG-5", "big5")],
)
def test_character_sets(tmp_path, charset, encoding):
    text = "影像所見" if encoding == "big5" else "影像所见：左侧额叶脑梗死。"
    path = write(tmp_path / "m.hl7", message("A1", text, ("張", "三"), charset=charset).encode(encoding))
    assert read(path)[0].text == text


def test_latin_letters_of_the_named_set(tmp_path):
    path = write(tmp_path / "m.hl7", message("A1", "Œdema é", NOVAK, charset="8859/15").encode("iso8859_15"))
    assert read(path)[0].text == "Œdema é"
    path = write(tmp_path / "m.hl7", message("A1", "café au lait", NOVAK, charset="").encode("latin-1"))
    assert [report.problem for report in read(path)] == ["unreadable_encoding"]


def test_frames_batches_and_all_kinds_of_line_ends(tmp_path):
    one, two = message("A1", TEXT, NOVAK), message("A2", TEXT, NOVAK)
    framed = f"\x0b{one}\r\x1c\r\x0b{two}\r\x1c\r"
    batch = f"FHS|^~\\&|x\rBHS|^~\\&|x\r{one}\r{two}\rBTS|2\rFTS|1\r"
    for data in (framed, batch, f"{one}\n{two}".replace("\r", "\n"), f"{one}\r\n{two}".replace("\r", "\r\n")):
        reports = read(write(tmp_path / "m.hl7", data))
        assert [(report.accession_number, report.text) for report in reports] == [("A1", TEXT), ("A2", TEXT)]


def test_a_line_break_within_a_text_parts_no_segments(tmp_path):
    raw = message("A1", "@", NOVAK).replace("@", "FINDINGS:\nNo mass.\n\nIMPRESSION:\nMRI normal.")
    assert read(write(tmp_path / "m.hl7", raw))[0].text == "FINDINGS:\nNo mass.\n\nIMPRESSION:\nMRI normal."


def test_several_reports_in_a_message_and_several_studies_in_a_report(tmp_path):
    orders = ["OBR|1|p|F1|||||||||||||||A1", "OBX|1|TX|1||One.", "OBR|2|p|F2|||||||||||||||A2", "NTE|1||Said so."]
    joint = ["ORC|RE", "OBR|3|p|F3|||||||||||||||A3", "ORC|RE", "OBR|4|p|F4|||||||||||||||A4", "OBX|1|TX|1||Two."]
    header = message("A1", "", NOVAK).split("\rORC")[0]
    reports = read(write(tmp_path / "m.hl7", "\r".join([header, *orders, *joint, "OBR|5|p|F5|||||||||||||||A5"])))
    assert [(r.accession_number, r.other_accessions, r.text) for r in reports] == [
        *(("A1", (), "One."), ("A2", (), "Said so."), ("A3", ("A4",), "Two."), ("A5", (), ""))
    ]
    assert [report.report_id for report in reports] == ["F1", "F2", "F4", "F5"]


def test_the_accession_number_is_where_parameters_say(tmp_path):
    path = write(tmp_path / "m.hl7", message("A1", TEXT, NOVAK))
    assert read(path, hl7_accession=["OBR-3"])[0].accession_number == "F1-A1"
    assert read(path, hl7_accession=["OBR-20", "ORC-2", "OBR-18"])[0].accession_number == "A1P"
    assert read(path, hl7_accession=["PID-3.5"])[0].accession_number == ""


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        (TEXT.encode(), "Base64", TEXT),
        (RTF.encode(), "Base64", "FINDINGS: Acute infarct\nin the left thalamus."),
        (pdf(TEXT), "Base64", TEXT),
        (TEXT.encode(), "Hex", TEXT),
        (pdf(""), "Base64", None),
    ],
    ids=["text", "rtf", "pdf", "hex", "scan"],
)
def test_attachments(tmp_path, data, kind, text):
    coded = base64.b64encode(data).decode() if kind == "Base64" else data.hex()
    rows = [f"OBX|1|ED|PDF||RIS^AP^PDF^{kind}^{coded}||||||F"]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, obx=rows)))
    assert (report.text.strip() if report.text else None, report.problem) == (text, None if text else "unreadable")


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        *(("8859/15", "iso8859_15", "Œdème"), ("8859/15", "utf-8", "Œdème"), ("BIG-5", "big5", "影像所見")),
        *(("UNICODE UTF-8", "gb18030", "影像所见"), ("", "cp1252", None)),
    ],
)
def test_an_attachment_is_in_the_encoding_of_its_message(tmp_path, charset, encoding, text):
    coded = base64.b64encode((text or "Ödem").encode(encoding)).decode()
    rows = [f"OBX|1|ED|TXT||RIS^AP^TXT^Base64^{coded}||||||F"]
    path = write(tmp_path / "m.hl7", message("A1", "", NOVAK, obx=rows, charset=charset))
    (report,) = read(path)
    assert (report.text, report.problem) == (text, None if text else "unreadable_encoding")
    assert read(path, encoding=encoding)[0].text == (text or "Ödem")


@pytest.mark.parametrize(
    ("status", "obx", "version"),
    [
        ("P", "P", "preliminary"),
        *(("F", "F", "final"), ("C", "F", "corrected"), ("F", "C", "corrected"), ("X", "F", "cancelled")),
        *(
            ("A", "F", "preliminary"),
            ("", "P", "preliminary"),
            ("", "F", "final"),
            ("", "", None),
            ("R", "R", "preliminary"),
        ),
    ],
)
def test_versions_of_messages(tmp_path, status, obx, version):
    rows = [f"OBX|1|TX|1||No mass.||||||{obx}"]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, status=status, time="20200102", obx=rows)))
    assert (report.version, report.issued) == (version, "20200102")


@pytest.mark.parametrize(
    ("status", "observed", "version"),
    [("", "DW", "cancelled"), ("", "XX", "cancelled"), ("C", "WW", "cancelled"), ("C", "WF", "corrected")],
)
def test_a_message_without_an_observation_that_stands_is_withdrawn(tmp_path, status, observed, version):
    rows = [f"OBX|{number}|TX|1||No mass.||||||{said}" for number, said in enumerate(observed)]
    (report,) = read(write(tmp_path / "m.hl7", message("A1", "", NOVAK, status=status, obx=rows)))
    assert report.version == version


def test_persons_of_a_message_go_with_its_report(tmp_path):
    (report,) = read(write(tmp_path / "m.hl7", message("A1", TEXT, NOVAK)))
    assert {"Novak^Mary", "Okafor^John", "Castellan^R", "Whitcombe^Susan", "19600102", "PA19"} <= set(report.names)


@pytest.mark.parametrize(
    "data", ["ADT", "MSH|^~\\&", "MSH|", "no message", "MSH|^~\\&|a\rOBX|1|ED|x||a^b^c^Base64^%%%"]
)
def test_a_message_that_is_no_report_costs_one_row(tmp_path, data):
    adt = message("A0", TEXT, NOVAK).replace("ORU^R01^ORU_R01", "ADT^A08")
    path = write(tmp_path / "b.hl7", adt if data == "ADT" else data)
    write(tmp_path / "a.hl7", message("A1", TEXT, NOVAK))
    reports = read(tmp_path, format="hl7")
    assert len(reports) == 2, path
    assert reports[0].problem is None
    expected = {"ADT": "not_report", "MSH|^~\\&": None}.get(data, "unreadable")
    assert reports[1].problem == expected or not reports[1].text


@settings(deadline=None, max_examples=40)
@given(noise=st.binary(max_size=60), place=st.integers(0, 600))
def test_any_noise_in_a_message_ends_as_rows(noise, place):
    data = message("A1", TEXT, NOVAK).encode()
    for broken in (data[:place] + noise + data[place:], data[:place], noise):
        for text in hl7._messages(broken):
            assert len(hl7._reports(text, 0, Source())) >= 1


# FHIR


def test_what_a_report_refers_to_is_found_in_other_files(tmp_path):
    acsn = [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A1"}]
    report = resource("", TEXT, NOVAK, identifier=[], subject={"reference": "Patient/p"})
    report |= {"basedOn": [{"reference": "ServiceRequest/s"}], "resultsInterpreter": [{"reference": "Practitioner/d"}]}
    others = [
        {"resourceType": "ServiceRequest", "id": "s", "identifier": acsn},
        {
            "resourceType": "Patient",
            "id": "p",
            "name": [{"family": "Novak", "given": ["Mary", "J"]}],
            "birthDate": "1960-01-02",
        },
        {
            "resourceType": "Practitioner",
            "id": "d",
            "name": [{"text": "Dr John Okafor"}],
            "identifier": [{"value": "77123"}],
        },
    ]
    write(tmp_path / "DiagnosticReport.ndjson", json.dumps(report) + "\n")
    write(tmp_path / "Others.ndjson", "\n".join(map(json.dumps, others)))
    (read_one,) = read(tmp_path)
    assert (read_one.accession_number, read_one.text) == ("A1", TEXT)
    assert {"Novak^Mary^J", "1960-01-02", "Dr John Okafor", "77123"} <= set(read_one.names)


def test_studies_of_a_resource(tmp_path):
    def study(name, identifiers):
        return {"fullUrl": f"urn:uuid:{name}", "resource": {"resourceType": "ImagingStudy", "identifier": identifiers}}

    uid = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    entries = [study("a", [uid, {"type": {"coding": [{"code": "ACSN"}]}, "value": "A1"}]), study("b", [uid])]
    report = resource(
        "", TEXT, NOVAK, identifier=[], imagingStudy=[{"reference": "urn:uuid:a"}, {"reference": "urn:uuid:b"}]
    )
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [*entries, {"resource": report}]}
    (found,) = read(write(tmp_path / "b.json", json.dumps(bundle)))
    assert (found.accession_number, found.other_accessions) == ("A1", ("1.2.3",))


def test_the_system_of_accession_numbers(tmp_path):
    identifiers = [{"system": "urn:other", "value": "X"}, {"system": "urn:acc", "value": "A7"}]
    path = write(tmp_path / "r.json", json.dumps(resource("A1", TEXT, NOVAK, identifier=identifiers)))
    assert read(path, fhir_accession_system="urn:acc")[0].accession_number == "A7"
    assert read(path)[0].accession_number == ""


def test_text_of_observations_conclusion_and_narrative(tmp_path):
    observation = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "Findings"}}
    observation |= {"valueString": "Acute infarct in the left thalamus."}
    report = resource("A1", "", NOVAK, presentedForm=[], contained=[observation], result=[{"reference": "#o"}])
    (one,) = read(write(tmp_path / "r.json", json.dumps(report | {"conclusion": "Infarct."})))
    assert one.text == "Findings:\nAcute infarct in the left thalamus.\nIMPRESSION:\nInfarct."
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>No mass.</p></div>'
    told = resource("A1", "", NOVAK, presentedForm=[]) | {"text": {"status": "generated", "div": div}}
    (one,) = read(write(tmp_path / "r.json", json.dumps(told)))
    assert one.text == "No mass."


def test_the_form_that_is_read_most_easily_is_taken(tmp_path):
    forms = [
        {"contentType": kind, "data": base64.b64encode(data).decode()}
        for kind, data in (("application/pdf", pdf("From the PDF.")), ("text/html", b"<p>From the page.</p>"))
    ]
    assert (
        read(write(tmp_path / "r.json", json.dumps(resource("A1", "", NOVAK, presentedForm=forms))))[0].text
        == "From the page."
    )
    forms[1]["data"] = ""
    assert (
        read(write(tmp_path / "r.json", json.dumps(resource("A1", "", NOVAK, presentedForm=forms))))[0].text
        == "From the PDF."
    )
    scan = [{"contentType": "application/pdf", "data": base64.b64encode(pdf("")).decode()}]
    assert (
        read(write(tmp_path / "r.json", json.dumps(resource("A1", "", NOVAK, presentedForm=scan))))[0].problem
        == "unreadable"
    )


@pytest.mark.parametrize(
    ("kind", "encoding", "named", "text"),
    [
        *(("text/plain; charset=windows-1252", "cp1252", None, "Ödem"), ("text/plain", "cp1252", "cp1252", "Ödem")),
        *(("text/plain", "cp1252", None, None), ("text/plain; charset=gb2312", "gb18030", "cp1252", "未见异常")),
        *(
            ('text/plain; charset="utf-8"', "gb18030", None, "未见异常"),
            ("text/plain; charset=zip", "utf-8", None, "é"),
        ),
    ],
)
def test_an_attachment_is_in_the_encoding_that_it_names(tmp_path, kind, encoding, named, text):
    form = {"contentType": kind, "data": base64.b64encode((text or "Ödem").encode(encoding)).decode()}
    path = write(tmp_path / "r.json", json.dumps(resource("A1", "", NOVAK, presentedForm=[form])))
    (report,) = read(path, encoding=named)
    assert (report.text, report.problem) == (text, None if text else "unreadable_encoding")


@pytest.mark.parametrize("form", ["lines", "bundle"])
def test_a_character_that_is_no_text_costs_its_resource(tmp_path, form):
    texts = ["a\ufffdb", "a\x85b", "a\ud800b", "a\u2028b", TEXT]
    reports = [resource("A1", "", NOVAK, presentedForm=[], conclusion=text) for text in texts]
    data = [json.dumps(one, ensure_ascii="\ud800" in one["conclusion"]) for one in reports]
    entries = ",".join(f'{{"resource": {one}}}' for one in data)
    bundle = f'{{"resourceType": "Bundle", "entry": [{entries}]}}'
    found = read(write(tmp_path / "r.txt", bundle if form == "bundle" else "\n".join(data)))
    assert [report.text for report in found] == [None, None, None, "a\nb", TEXT]
    assert [report.problem for report in found] == [*["unreadable_encoding"] * 3, None, None]


def test_resources_may_lie_in_files_of_any_name(tmp_path):
    write(tmp_path / "a.txt", json.dumps(resource("A1", TEXT, NOVAK), indent=1))
    write(tmp_path / "b.dat", "{broken\n" + json.dumps(resource("A2", TEXT, NOVAK)))
    assert [report.accession_number for report in read(tmp_path)] == ["A1", "", "A2"]


def test_faults_beside_the_text_cost_nothing_and_broken_resources_one_row(tmp_path):
    faulty = resource("A1", TEXT, NOVAK, issued="yesterday", effectiveDateTime="2020-01-02", extension=[{"odd": 1}])
    faulty.pop("code")
    lines = [json.dumps(faulty), "{broken", '{"resourceType": 7}', '{"x": 1}', '{"resourceType": "Patient"}']
    reports = read(write(tmp_path / "r.ndjson", "\n".join(lines)))
    assert [(report.problem, report.text) for report in reports] == [(None, TEXT), *[("unreadable", None)] * 3]
    assert reports[0].issued == "2020-01-02"


_ODD = st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=5), st.just([None]), st.just({"value": 7}))


@settings(deadline=None, max_examples=40)
@given(name=st.sampled_from([*resource("A1", TEXT, NOVAK), "contained", "basedOn", "result", "text"]), value=_ODD)
def test_any_value_in_a_resource_ends_as_a_row(name, value):
    for linked in ({}, {"Patient/p": Linked()}):
        report = ReportResource(linked, None).report(
            3, resource("A1", TEXT, NOVAK) | {name: value, "resourceType": "x"}
        )
        assert report.row == 3


@pytest.mark.parametrize(
    ("status", "version"),
    [
        *(
            ("registered", "preliminary"),
            ("partial", "preliminary"),
            ("preliminary", "preliminary"),
            ("final", "final"),
        ),
        *(("amended", "corrected"), ("corrected", "corrected"), ("appended", "corrected"), ("cancelled", "cancelled")),
        *(("entered-in-error", "cancelled"), ("unknown", None)),
    ],
)
def test_versions_of_resources(tmp_path, status, version):
    elements = {"status": status, "issued": "2020-01-02T10:00:00+08:00"}
    (report,) = read(write(tmp_path / "r.json", json.dumps(resource("A1", TEXT, NOVAK, **elements))))
    assert (report.version, report.issued) == (version, "2020-01-02T02:00:00+00:00")


@pytest.mark.parametrize(
    ("word", "version"),
    [("Final", "final"), (" 已审核 ", "final"), ("初步", "preliminary"), ("Wet read", "preliminary"), ("?", None)],
)
def test_words_of_versions(word, version):
    assert version_of(word) == version


def test_a_file_without_permission_is_one_row(tmp_path, monkeypatch):
    write(tmp_path / "A1.txt", TEXT)
    monkeypatch.setattr("pathlib.Path.open", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
    assert [report.problem for report in read(tmp_path / "A1.txt", format="text_folder")] == ["unreadable"]


def test_bytes_that_are_no_text():
    assert text_of(b"\x00\x01\x02\x03\xff") is None


def test_a_packed_file_that_breaks_off_costs_what_is_lost(tmp_path):
    line = json.dumps({"accession_number": "A1", "report_text": TEXT}).encode() + b"\n"
    packed = gzip.compress(b"".join(line.replace(b"A1", b"A%d" % number) for number in range(5000)))
    reports = read(write(tmp_path / "r.jsonl.gz", packed[: len(packed) // 2]))
    assert [report.problem for report in reports[-2:]] == [None, "unreadable"]
    damaged = bytearray(packed)
    damaged[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    assert read(write(tmp_path / "r.jsonl.gz", bytes(damaged)))[-1].problem == "unreadable"
