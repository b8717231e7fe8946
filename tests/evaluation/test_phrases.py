import numpy as np
import pytest

from stages.artifacts import report_tables, tables, tensors
from stages.evaluation.phrases import Prompts, StatedSentences


def write_prompts(folder, rows):
    rows = [
        {"prompt_id": number, "finding": finding, "polarity": polarity, "language": "en", "text": f"{number}"}
        for number, (finding, polarity) in enumerate(rows)
    ]
    tables.write(folder / "prompts.parquet", tables.from_rows(report_tables.PROMPTS, rows), report_tables.PROMPTS)


def test_prompts_are_ensembles_of_both_polarities(tmp_path):
    write_prompts(
        tmp_path,
        [("cyst", "positive"), ("cyst", "positive"), ("cyst", "negative"), ("mass", "positive"), ("cyst", "query")],
    )
    prompts = Prompts.load(tmp_path)
    assert prompts.positive == {"cyst": [0, 1]}
    assert prompts.negative == {"cyst": [2]}
    assert prompts.num_prompts == 5
    embeddings = np.array([[3.0, 0.0], [0.0, 0.5], [0.0, -2.0], [1.0, 1.0], [1.0, 1.0]])
    half = np.sqrt(0.5)
    positive = prompts.vectors(embeddings, is_difference=False)
    assert positive["cyst"] == pytest.approx([half, half])
    assert prompts.vectors(embeddings, is_difference=True)["cyst"] == pytest.approx([half, half + 1])


def test_without_prompts_there_are_no_vectors(tmp_path):
    write_prompts(tmp_path, [])
    assert Prompts.load(tmp_path).vectors(np.zeros((0, 2)), is_difference=False) == {}


def write_sentences(folder):
    """Text 0: lines 0 to 2, embedded in full. Text 1: lines 0 and 1, of which only line 1 could be rendered."""
    statements = [
        ("infarct", "present"), ("infarct", "present"), ("mass", "uncertain"), ("cyst", "present"),
        ("cyst", "present"), ("mass", "present"), ("infarct", "absent"),
    ]  # fmt: skip
    rows = [
        {
            "row": 0, "study_id": "0" * 16, "statement": n, "section": "findings", "sentence": 0, "start": 0, "end": 1,
            "finding": finding, "assertion": assertion, "signals": [], "language": "en", "text": "t",
        }
        for n, (finding, assertion) in enumerate(statements)
    ]  # fmt: skip
    tables.write(folder / "findings.parquet", tables.from_rows(report_tables.FINDINGS, rows), report_tables.FINDINGS)
    index = {
        "sentence_offsets": np.array([0, 3, 4]),
        "sentence_lines": np.array([0, 1, 2, 1], dtype=np.int32),
        "statement_offsets": np.array([0, 4, 7]),
        "statement_rows": np.array([0, 1, 2, 3, 4, 5, 6], dtype=np.int32),
        "statement_lines": np.array([0, 2, 1, 2, 0, 1, 1], dtype=np.int32),
    }
    tensors.write(folder / "embeddings.safetensors", index)


def test_sentences_are_those_that_state_a_finding_as_present(tmp_path):
    write_sentences(tmp_path)
    stated = StatedSentences.load(tmp_path, tmp_path / "findings.parquet", [0, 1])
    assert stated.of([0], "infarct") == [0, 2]
    assert stated.of([0], "cyst") == [2]
    assert stated.of([0], "mass") == [], "it is uncertain"
    assert stated.of([1], "mass") == [3], "counted among the sentences of all texts"
    assert stated.of([1], "cyst") == [], "its line was not rendered"
    assert stated.of([1], "infarct") == [], "it is absent"
    assert stated.of([0, 1, 0], "mass") == [3], "each once"
    assert stated.of([], "mass") == []
