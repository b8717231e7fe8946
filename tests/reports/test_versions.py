import itertools

import pytest

from stages.artifacts.identity import SiteKey
from stages.reports.arrival import arrange
from stages.reports.lexicon import Lexicon
from stages.reports.persons import person_ngrams
from stages.reports.sections import SectionReader
from stages.reports.sources.base import RawReport, Source
from stages.reports.versions import choose_versions

LEXICON = Lexicon.load("head_mri")
SECTIONS = SectionReader(LEXICON)
KEY = SiteKey.ephemeral()
BODY = "FINDINGS: No mass."


def report(row, version=None, text=BODY, issued="", number="A1", **more):
    return RawReport(row, number, text, None, version=version, issued=issued, **more)


def problems(*reports):
    return [one.problem for one in choose_versions(reports, SECTIONS)]


def test_a_corrected_report_replaces_a_final_one_and_that_a_preliminary_one():
    versions = [report(0, "preliminary", "a"), report(1, "final", "b"), report(2, "corrected", "c")]
    for order in itertools.permutations(versions):
        chosen = choose_versions(order, SECTIONS)
        assert {one.text: one.problem for one in chosen} == {"a": "superseded", "b": "superseded", "c": None}


def test_of_equal_versions_the_latest_counts_and_without_times_the_last():
    assert problems(report(0, "final", issued="2020-01-03"), report(1, "final", issued="2020-01-02")) == [
        None,
        "superseded",
    ]
    assert problems(report(0, "final"), report(1, "final")) == ["superseded", None]


def test_a_preliminary_report_alone_counts():
    assert problems(report(0, "preliminary"), report(1, "final", number="A2")) == [None, None]


def test_unreadable_and_empty_versions_replace_nothing():
    broken = report(1, "corrected", None, problem="unreadable")
    assert problems(report(0, "final"), broken, report(2, "corrected", " ")) == [None, "unreadable", None]


@pytest.mark.parametrize("text", [BODY, "", None])
def test_a_withdrawal_takes_back_all_before_it_and_nothing_after_it(text):
    taken_back = [report(0, "preliminary"), report(1, "corrected"), report(2, "cancelled", text)]
    assert problems(*taken_back) == ["superseded", "superseded", "cancelled"]
    assert problems(*taken_back, report(3, "preliminary")) == ["superseded", "superseded", "cancelled", None]
    assert problems(report(0), report(1, "cancelled", text)) == ["superseded", "cancelled"]
    assert problems(report(0, "cancelled", text)) == ["cancelled"]
    other = [report(0, "final", report_id="x"), report(1, "cancelled", text, report_id="y")]
    assert problems(*other) == [None, "cancelled"]


def test_a_withdrawal_is_late_by_its_time_or_where_one_is_missing_by_its_place():
    assert problems(report(0, "cancelled", issued="2"), report(1, "final", issued="1")) == ["cancelled", "superseded"]
    assert problems(report(0, "final", issued="1"), report(1, "cancelled")) == ["superseded", "cancelled"]


def test_reports_that_do_not_say_what_they_are_or_have_other_names_are_no_versions():
    assert problems(report(0, text="a"), report(1, text="b")) == [None, None]
    assert problems(report(0, "final", report_id="x"), report(1, "final", report_id="y")) == [None, None]
    assert problems(report(0, "final", number=""), report(1, "final", number="")) == [None, None]


@pytest.mark.parametrize(
    ("version", "text"),
    [("addendum", "Old infarct."), ("corrected", "ADDENDUM: Old infarct."), ("final", "Addendum #1: Old infarct.")],
)
def test_an_addendum_alone_is_appended(version, text):
    reports = [report(0, "final", issued="1", names=("Novak",)), report(1, version, text, "2", names=("White",))]
    for order in (reports, reports[::-1]):
        chosen = sorted(choose_versions(order, SECTIONS), key=lambda one: one.row)
        assert [one.problem for one in chosen] == [None, "appended"]
        assert [s.name for s in SECTIONS.read(chosen[0].text, "en")] == ["findings", "addendum"]
        assert chosen[0].names == ("Novak", "White")


def test_an_addendum_to_an_older_version_is_not_appended():
    reports = [
        report(0, "final"),
        report(1, "addendum", "Old infarct."),
        report(2, "corrected", text="FINDINGS: Cyst."),
    ]
    chosen = choose_versions([*reports, report(3, "addendum", "Old bleed.")], SECTIONS)
    assert [one.problem for one in chosen] == ["superseded", "superseded", None, "appended"]
    assert chosen[2].text == "FINDINGS: Cyst.\nADDENDUM:\nOld bleed."


def test_a_whole_report_that_is_called_an_addendum_replaces_the_one_before():
    assert problems(report(0, "final"), report(1, "addendum", f"{BODY}\nADDENDUM: Old infarct.")) == [
        "superseded",
        None,
    ]


def arranged(*reports, studies=None):
    known = None if studies is None else frozenset(map(KEY.study_id, studies))
    return arrange(reports, KEY, known, LEXICON, Source())


def test_a_report_of_several_studies_is_a_row_for_each_that_has_images():
    joint = report(0, number="A1", other_accessions=("A2", "A3"))
    alone = report(1, number="A4")
    found = arranged(joint, alone, studies=["A1", "A3", "A4"])
    assert [(one.row, one.record, one.accession_number) for one in found] == [(0, 0, "A1"), (1, 0, "A3"), (2, 1, "A4")]
    assert [one.accession_number for one in arranged(joint, alone)] == ["A1", "A2", "A3", "A4"]
    assert [one.accession_number for one in arranged(joint, studies=["B"])] == ["A1"]


@pytest.mark.parametrize("number", ["A1, A2/A3", "A1;A2;A3", "A1 A2 A3", "A1、A2，A3", "A1|A2|A3"])
def test_a_list_of_accession_numbers_is_one_only_where_its_studies_exist(number):
    assert [one.accession_number for one in arranged(report(0, number=number), studies=["A1", "A3"])] == ["A1", "A3"]
    assert [one.accession_number for one in arranged(report(0, number=number), studies=[number])] == [number]
    assert [one.accession_number for one in arranged(report(0, number=number), studies=["B"])] == [number]
    assert [one.accession_number for one in arranged(report(0, number=number))] == [number]


def test_markup_is_taken_off_and_what_cannot_be_is_a_row():
    found = arranged(report(0, text="<p>No mass.</p>"), report(1, text="{\\rtf1 {\\*\\bin9"), report(2, text=None))
    assert found[0].text == "No mass."
    assert (found[2].text, found[2].problem) == (None, None)


def test_long_stretches_of_blank_lines_are_cut_and_what_is_no_report_is_not_read():
    blank = report(0, text="FINDINGS: No mass." + "\n \t" * 500_000 + "." * 9000 + "\nIMPRESSION: Normal.")
    found = arranged(blank, report(1, text="No mass. " * 200_000), report(2, text="a\n\n\n  b"))
    assert [one.text for one in found] == ["FINDINGS: No mass.\n\n\n \t...\nIMPRESSION: Normal.", None, "a\n\n\n  b"]
    assert [one.problem for one in found] == [None, "unreadable", None]


def test_names_and_numbers_are_cut_into_what_a_report_may_say():
    assert {("novak",), ("mary",), ("mary", "novak"), ("novak", "mary")} <= person_ngrams("Novak^Mary")
    assert {("mary", "novak"), ("novak",)} <= person_ngrams("Dr Mary Jane Novak")
    assert ("dr",) not in person_ngrams("Dr Mary Novak")
    assert ("张", "伟") in person_ngrams("张^伟")
    assert {("1960", "01", "02"), ("19600102",)} <= person_ngrams("1960-01-02") & person_ngrams("19600102")
    assert person_ngrams("12") == person_ngrams("") == person_ngrams("J") == set()
