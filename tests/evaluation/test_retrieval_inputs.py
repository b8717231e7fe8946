"""What texts say once signals are left out."""

import numpy as np

from stages.artifacts import report_tables, tables, tensors
from stages.evaluation.retrieval_inputs import collapse, read_collapsed

INFARCT = ("infarct", "thalamus", "left", "present")
DENIED = ("mass", None, None, "absent")


def test_denials_and_order_make_no_difference():
    one = collapse([INFARCT, DENIED], 0)
    assert one == collapse([DENIED, INFARCT, INFARCT], 1)
    assert one != collapse([INFARCT[:3] + ("uncertain",)], 2)
    assert one != collapse([("infarct", "thalamus", "right", "present")], 2)


def test_denials_alone_are_normal_and_silence_is_like_nothing():
    assert collapse([DENIED], 0) == collapse([("normal", None, None, "present")], 1)
    assert collapse([], 0) != collapse([], 1)
    assert collapse([], 0) != collapse([DENIED], 0)


def test_texts_that_differ_in_signal_only_share_a_number(tmp_path):
    def statement(row, number, finding, signal, assertion="present"):
        return {
            "row": row, "study_id": "0" * 16, "statement": number, "section": "findings", "sentence": number,
            "start": 0, "end": 1, "finding": finding, "site": "thalamus", "side": "left", "sequence": "T2",
            "signal": signal, "signals": [{"sequence": "T2", "signal": signal}], "assertion": assertion,
            "language": "en", "text": "x",
        }  # fmt: skip

    rows = [
        statement(0, 0, "infarct", "high"),
        statement(1, 0, "infarct", "low"),
        statement(1, 1, "mass", "low", "absent"),
        statement(2, 0, "mass", "low"),
    ]
    table = tables.from_rows(report_tables.FINDINGS, rows)
    tables.write(tmp_path / "findings.parquet", table, report_tables.FINDINGS)
    index = {"statement_offsets": np.array([0, 1, 3, 3, 4]), "statement_rows": np.arange(4, dtype=np.int32)}
    tensors.write(tmp_path / "embeddings.safetensors", index)
    assert read_collapsed(tmp_path, tmp_path) == [0, 0, 1, 2]
