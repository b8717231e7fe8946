"""The same invented reports written as the exports that hospitals give: tables, messages, resources, files."""

import base64
import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq

#: accession number, text, patient
REPORTS = [
    (
        "A1",
        "FINDINGS: Acute infarct in the left thalamus.\nIMPRESSION: Thalamic infarct on the left.",
        ("Novak", "Mary"),
    ),
    ("A2", "影像所见：右侧额叶占位，未见出血。\n诊断意见：右侧额叶占位。", ("张", "伟")),
    ("A3", "Findings\nNo haemorrhage | mass ^ shift & more.\nImpression\nNormal MRI of the brain.", ("White", "Ann")),
]


def write_csv(folder):
    path = folder / "reports.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = [(number, text) for number, text, _ in REPORTS]
        csv.writer(file).writerows([("accession_number", "report_text"), *rows])
    return path


def write_parquet(folder):
    path = folder / "reports.parquet"
    numbers, texts, _ = zip(*REPORTS, strict=True)
    pq.write_table(pa.table({"accession_number": pa.array(numbers).dictionary_encode(), "report_text": texts}), path)
    return path


def write_json_lines(folder):
    path = folder / "reports.jsonl"
    lines = (json.dumps({"accession_number": number, "report_text": text}) for number, text, _ in REPORTS)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def write_text_folder(folder):
    root = folder / "texts"
    root.mkdir()
    for number, text, _ in REPORTS:
        (root / f"{number}.txt").write_text(text, encoding="gb18030")
    return root


def write_hl7(folder):
    path = folder / "reports.hl7"
    path.write_bytes("\r".join(message(*report) for report in REPORTS).encode())
    return path


def write_fhir(folder):
    path = folder / "bundle.json"
    entries = [{"resource": resource(*report)} for report in REPORTS]
    path.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}), encoding="utf-8")
    return path


WRITERS = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json_lines": write_json_lines,
    "text_folder": write_text_folder,
    "hl7": write_hl7,
    "fhir": write_fhir,
}


def escaped(text):
    """Text as HL7 sends it."""
    codes = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "\n": "\\.br\\"}
    return "".join(codes.get(character, character) for character in text)


def message(number, text, patient, status="F", order="F1", time="20200102", charset="UNICODE UTF-8", obx=None):
    """One ORU message; its segments are parted by CR."""
    observations = [f"OBX|1|TX|70553^MRI||{escaped(text)}||||||{status}"] if obx is None else obx
    segments = [
        f"MSH|^~\\&|RIS|H|SELIP|H|{time}||ORU^R01^ORU_R01|1|P|2.5.1||||||{charset}",
        f"PID|1||P{number}9^^^H^MR||{'^'.join(patient)}||19600102|F|||Elm Street 7^^Town||5551234567",
        "PV1|1|O|||||77^Okafor^John^^^DR",
        f"ORC|RE|{number}P|{order}",
        f"OBR|1|{number}P|{order}-{number}|70553^MRI BRAIN|||{time}|||||||||88^Castellan^R||{number}||||{time}|||"
        f"{status}|||||||99&Whitcombe&Susan",
        *observations,
    ]
    return "\r".join(segments)


def resource(number, text, patient, **elements):
    """One DiagnosticReport resource with its text as an attachment."""
    attachment = {"contentType": "text/plain; charset=utf-8", "data": base64.b64encode(text.encode()).decode()}
    return {
        "resourceType": "DiagnosticReport",
        "id": f"r-{number}",
        "status": "final",
        "code": {"text": "MRI brain"},
        "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": number}],
        "subject": {"display": f"{patient[1]} {patient[0]}"},
        "presentedForm": [attachment],
        **elements,
    }


def pdf(text):
    """A PDF of one page with one line of text, or of an image of a page without any."""
    content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode() if text else b""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    return data + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
