"""A few reports with their statements, written as extract_findings writes them."""

from stages.artifacts import tables
from stages.artifacts.report_tables import FINDINGS, REPORTS


def statement(finding, site=None, side=None, assertion="present", signals=()):
    return {"finding": finding, "site": site, "side": side, "assertion": assertion, "signals": dict(signals)}


def write_reports(folder, reports):
    """Write reports.parquet and findings.parquet.

    A report is (study_id, language, sentences); a sentence is (text, [statements]), all in one section.
    """
    report_rows, finding_rows = [], []
    for row, (study_id, language, sentences) in enumerate(reports):
        text, number = "", 0
        for sentence, (words, statements) in enumerate(sentences):
            for said in statements:
                signals = [{"sequence": key, "signal": value} for key, value in said["signals"].items()]
                first = signals[0] if signals else {"sequence": None, "signal": None}
                place = {"row": row, "study_id": study_id, "section": "findings", "sentence": sentence}
                place |= {"statement": number, "start": len(text), "end": len(text) + len(words)}
                finding_rows.append({**said, **first, **place, "signals": signals, "language": language, "text": words})
                number += 1
            text += words + (" " if language == "en" else "")
        sections = [{"name": "history", "text": "Headache."}, {"name": "findings", "text": text}]
        report = {"row": row, "study_id": study_id, "status": "used", "language": language, "num_masked": 0}
        report_rows.append(report | {"sections": sections})
    tables.write(folder / "reports.parquet", tables.from_rows(REPORTS, report_rows), REPORTS)
    tables.write(folder / "findings.parquet", tables.from_rows(FINDINGS, finding_rows), FINDINGS)


INFARCT = statement("infarct", "thalamus", "left", signals={"DWI": "high"})
NO_BLEED = statement("haemorrhage", assertion="absent")
MASS = statement("mass", "frontal_lobe", "right")
NORMAL = statement("normal")

REPORTS_OF_COHORT = [
    ("s0", "en", [("Acute infarct in the left thalamus, bright on DWI.", [INFARCT]), ("No haemorrhage.", [NO_BLEED])]),
    ("s1", "en", [("No haemorrhage.", [NO_BLEED]), ("Acute infarct in the left thalamus, bright on DWI.", [INFARCT])]),
    ("s2", "zh", [("左侧丘脑急性梗死，DWI呈高信号。", [INFARCT]), ("未见出血。", [NO_BLEED])]),
    ("s3", "en", [("Mass in the right frontal lobe.", [MASS]), ("No haemorrhage.", [NO_BLEED])]),
    ("s4", "en", [("Normal brain.", [NORMAL])]),
    ("s5", "en", [("No haemorrhage.", [NO_BLEED])]),
    ("s6", "en", [("The orbits are included.", [])]),
    ("s7", "en", [("Normal brain.", [NORMAL])]),
    ("s8", "en", [("Mass in the left frontal lobe.", [{**MASS, "side": "left"}]), ("No haemorrhage.", [NO_BLEED])]),
]
