import pytest

from stages.reports.lexicon import Lexicon
from stages.reports.sections import SectionReader
from stages.reports.studies import ExaminationReader

LEXICON = Lexicon.load("head_mri")
SECTIONS = SectionReader(LEXICON)
READERS = {language: ExaminationReader(LEXICON, language) for language in ("en", "zh")}


def marked(text, language="en"):
    return [(section.name, section.text) for section in READERS[language].mark(SECTIONS.read(text, language))]


def own(text, language="en"):
    return [(name, words) for name, words in marked(text, language) if name not in {"other_study", "exam"}]


HEAD = "FINDINGS: Infarct.\nIMPRESSION: Infarct."
NECK = "FINDINGS: Disc.\nIMPRESSION: Disc."
HEAD_AND_NECK = [
    f"EXAM: MRI BRAIN\n{HEAD}\nEXAM: MRI CERVICAL SPINE\n{NECK}",
    f"EXAM: MRI CERVICAL SPINE\n{NECK}\nEXAM: MRI BRAIN\n{HEAD}",
    f"MRI BRAIN\n{HEAD}\n\nMRI CERVICAL SPINE\n{NECK}",
    f"1) MRI head without contrast:\n{HEAD}\n2) MRI of the C-spine:\n{NECK}",
]
HEADINGS = [
    "FINDINGS:\nBRAIN: Infarct.\nCERVICAL SPINE: Disc.\nIMPRESSION:\nBrain: Infarct.\nCervical spine: Disc.",
    "EXAM: MRI BRAIN AND CERVICAL SPINE\nFINDINGS:\n[MRI CERVICAL SPINE] - Disc.\n[MRI BRAIN] - Infarct.\nIMPRESSION:\n"
    "1. Brain: Infarct.\n2. Cervical spine: Disc.",
]


@pytest.mark.parametrize("text", HEAD_AND_NECK)
def test_the_part_of_another_examination_is_told(text):
    assert [pair for pair in own(text) if "Infarct" in pair[1]] == [
        ("findings", "Infarct."),
        ("impression", "Infarct."),
    ]
    assert not [words for _, words in own(text) if "Disc" in words]
    assert [words for name, words in marked(text) if name == "other_study"]


@pytest.mark.parametrize("text", HEADINGS)
def test_headings_within_a_section_hold_to_its_end(text):
    assert [name for name, words in own(text)] == ["findings", "impression"]
    assert all("Infarct." in words and "Disc" not in words for _, words in own(text))
    assert sum("Disc" in words for name, words in marked(text) if name == "other_study") == 2


@pytest.mark.parametrize(
    "text",
    [
        "检查项目：颅脑MRI平扫\n影像所见：脑梗死。\n诊断意见：脑梗死。\n检查项目：颈椎MRI平扫\n影像所见：椎间盘。\n诊断意见：椎间盘。",
        "影像所见：\n颅脑：脑梗死。\n颈椎：椎间盘。\n诊断意见：\n1、颅脑MRI：脑梗死。\n2、颈椎MRI平扫：椎间盘。",
        "头颅MRI平扫\n影像所见：脑梗死。\n诊断意见：脑梗死。\n颈椎MR平扫+增强\n影像所见：椎间盘。\n诊断意见：椎间盘。",
    ],
)
def test_chinese_parts(text):
    kept = own(text, "zh")
    assert sum("脑梗死" in words for _, words in kept) == 2
    assert not [words for _, words in kept if "椎间盘" in words]


def test_history_that_all_parts_share_stays():
    text = f"HISTORY: Fall.\n{HEAD_AND_NECK[0]}"
    assert own(text)[0] == ("history", "Fall.")


@pytest.mark.parametrize(
    "text",
    [
        "EXAM: MRI brain\nFINDINGS: Infarct. Degenerative change of the cervical spine.",
        "EXAM: MRI\nFINDINGS: Infarct.\nThe cervical cord is normal.",
        "FINDINGS: Infarct.\nVisualised upper cervical spine is normal: no stenosis.",
        "FINDINGS: Orbits: normal.\nIMPRESSION: Normal.",
        "EXAM: MRI BRAIN AND CERVICAL SPINE\nFINDINGS: Infarct.",
        "CLINICAL HISTORY: Spine surgery.\nFINDINGS: Infarct.",
    ],
)
def test_sentences_that_name_other_parts_stay(text):
    assert marked(text) == [(section.name, section.text) for section in SECTIONS.read(text, "en")]


def test_a_report_of_another_examination_alone_has_no_part_of_its_own():
    assert own("EXAM: MRI LUMBAR SPINE\nFINDINGS: Disc.\nIMPRESSION: Disc.") == []


def test_parts_lie_in_the_report():
    for text in (*HEAD_AND_NECK, *HEADINGS):
        for section in READERS["en"].mark(SECTIONS.read(text, "en")):
            assert text[section.start : section.start + len(section.text)] == section.text
