import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reports.lexicon import Lexicon
from stages.reports.texts import TextBuilder, normalise, sentence_spans

PROPERTY = settings(deadline=None, derandomize=True)
LEXICON = Lexicon.load("head_mri")


def finding(row, start, code, *, side=None, sequence=None, assertion="present"):
    signals = [{"sequence": sequence, "signal": "high"}] if sequence else []
    return {
        "row": row, "section": "findings", "start": start, "finding": code, "site": None, "side": side,
        "assertion": assertion, "size_mm": None, "end": start, "text": "", "sequence": sequence, "signals": signals,
    }  # fmt: skip


def report(row, text, language="en", status="used", study="s"):
    sections = [{"name": "history", "text": "Fall. Left arm weak."}, {"name": "findings", "text": text}]
    return {"row": row, "study_id": f"{study}{row}", "status": status, "language": language, "sections": sections}


def build(reports, findings=(), unit="study", readable=("en",)):
    return TextBuilder(list(findings), LEXICON, unit, readable).build(reports)


def rows(texts, unit="study"):
    return list(texts.rows(unit))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Mass of 3.2 cm. No oedema!  Normal?", ["Mass of 3.2 cm.", "No oedema!", "Normal?"]),
        ("1. Left infarct. 2. No mass.", ["Left infarct.", "No mass."]),
        ("左侧梗死。未见出血；右侧正常", ["左侧梗死。", "未见出血；", "右侧正常"]),
        ("No stop at the end\nSecond line", ["No stop at the end", "Second line"]),
        ("Date: 3 May\nA cyst", ["Date: 3 May", "A cyst"]),
        ("A wrapped\nline of 3\nmm", ["A wrapped line of 3 mm"]),
        ("Brain:\n- infarct\n- cyst", ["Brain:", "infarct", "cyst"]),
        ("", []),
        (" . 3 .", []),
    ],
)
def test_sentences(text, sentences):
    assert [normalise(text[start:end]) for start, end in sentence_spans(text)] == sentences


@PROPERTY
@given(st.text(st.sampled_from("ab左。. 1\n"), max_size=40))
def test_sentences_follow_one_another(text):
    spans = sentence_spans(text)
    assert all(end == start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert all(text[start:end].strip() for start, end in spans)


def test_equal_texts_are_one_and_other_sections_stay_out():
    texts = build([report(0, "Normal   brain."), report(1, "Mass."), report(2, "Normal\tbrain.")])
    first, second = rows(texts)
    assert (first["text"], first["num_studies"], second["text"], second["num_studies"]) == (
        "Normal brain.",
        2,
        "Mass.",
        1,
    )
    assert [pair["text_id"] for pair in texts.pairs] == [0, 1, 0]


def test_letterhead_stays_out_and_statements_before_the_first_header_stay_in():
    sections = [
        {"name": "body", "text": "Dear colleague. Left infarct."},
        {"name": "body", "text": "Seen on ___. Images were sent."},
        {"name": "findings", "text": "1. Cyst.\n2. Orbits normal. Reported by ___."},
    ]
    before = {**finding(0, 16, "infarct", side="left"), "section": "body", "end": 29, "text": "Left infarct."}
    texts = build([{**report(0, ""), "sections": sections}], [before])
    assert rows(texts)[0]["text"] == "Left infarct.\nCyst.\nOrbits normal."
    assert [line.statements for line in texts.drafts[0].lines] == [(0,), (), ()]


def test_reports_that_are_set_aside_give_no_text():
    assert [row["row"] for row in rows(build([report(0, "Mass.", status="duplicate"), report(1, "Cyst.")]))] == [1]


def test_flipped_twins_are_linked_both_ways_and_appended_once():
    reports = [report(0, "Left infarct."), report(1, "Right mass."), report(2, "Left mass."), report(3, "Normal.")]
    links = [
        (row["text"], row["flipped_text_id"], row["is_flipped"], row["num_studies"]) for row in rows(build(reports))
    ]
    assert links == [
        ("Left infarct.", 4, False, 1),
        ("Right mass.", 2, False, 1),
        ("Left mass.", 1, False, 1),
        ("Normal.", 3, False, 1),
        ("Right infarct.", 0, True, 0),
    ]


def test_a_language_that_the_encoder_does_not_read_is_rendered():
    texts = build([report(0, "左侧梗死。骨质正常。", "zh")], [finding(0, 0, "infarct", side="left")])
    first, twin = rows(texts)
    assert first["text"] == "左侧梗死。\n骨质正常。"
    assert first["english_text"] == LEXICON.render({"finding": "infarct", "side": "left", "assertion": "present"})
    assert twin["text"] == "右侧梗死。\n骨质正常。"
    assert twin["english_text"] == LEXICON.render({"finding": "infarct", "side": "right", "assertion": "present"})
    assert texts.drafts[0].english[0][0] == 0


def test_nothing_to_render_is_counted_not_hidden():
    texts = build([report(0, "骨质正常。", "zh"), report(1, "Normal.")])
    assert (len(texts.drafts), texts.num_unreadable) == (1, 1)
    assert build([report(0, "骨质正常。", "zh")], readable=("en", "zh")).drafts[0].text == "骨质正常。"


def test_unit_sequence_takes_what_names_it_and_what_names_none():
    text = "Bright on DWI. Dark on T1. No mass."
    findings = [
        finding(0, 0, "infarct", sequence="DWI"),
        finding(0, 15, "infarct", sequence="T1"),
        finding(0, 27, "mass", assertion="absent"),
    ]
    texts = build([report(0, text)], findings, unit="sequence")
    by_sequence = {pair["sequence"]: rows(texts, "sequence")[pair["text_id"]] for pair in texts.pairs}
    assert by_sequence["DWI"]["text"] == "Bright on DWI.\nNo mass."
    assert by_sequence["T1"]["text"] == "Dark on T1.\nNo mass."
    assert by_sequence["T1"]["sequence"] == "T1"
    assert by_sequence["PD"]["text"] == "No mass."
    assert by_sequence["PD"]["sequence"] is None
    assert by_sequence["PD"] == by_sequence["SWI"]
    assert by_sequence["PD"]["num_studies"] == 1


def test_unit_sequence_leaves_out_a_sequence_nothing_is_said_of():
    texts = build([report(0, "Bright on DWI.")], [finding(0, 0, "infarct", sequence="DWI")], unit="sequence")
    assert [pair["sequence"] for pair in texts.pairs] == ["DWI"]
