import time

import pytest
import report_layouts as layouts
from hypothesis import given
from hypothesis import strategies as st

from stages.reports.lexicon import Lexicon
from stages.reports.sections import BODY, SectionReader, detect_language

READER = SectionReader(Lexicon.load("head_mri"))
WORDS = Lexicon.load("head_mri").languages
LINES = st.lists(
    st.sampled_from(
        ["FINDINGS: ", "Impression", "[History]", "Patient: A B", "影像所见:", "诊断意见：", "\n", " ", "x. "]
    )
    | st.text(max_size=12)
).map("".join)


def names(text, language="en"):
    return [(section.name, section.text) for section in READER.read(text, language)]


@pytest.mark.parametrize(("text", "expected"), layouts.ENGLISH, ids=range(len(layouts.ENGLISH)))
def test_english_layouts(text, expected):
    assert names(text) == expected


@pytest.mark.parametrize(("text", "expected"), layouts.CHINESE, ids=range(len(layouts.CHINESE)))
def test_chinese_layouts(text, expected):
    assert names(text, "zh") == expected


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_header_that_is_listed_is_found(language):
    for name, terms in WORDS[language]["sections"].items():
        for term in terms:
            for text in (f"{term}: x.", f"{term.upper()}:\nx.", f"{term}\nx."):
                assert names(text, language) == [(name, "x.")], term


@pytest.mark.parametrize(
    "words", ["FINDINGS AND ", "ADDENDUM #1 ", "MRI ", "A b ", "\n= ", "\n===\n", "\n", "=", " ", "(FINDINGS "]
)
def test_sections_take_linear_time(words):
    start = time.process_time()
    READER.read(words * (40000 // len(words)), "en")
    assert time.process_time() - start < 3


def test_no_header_is_body():
    assert names("Normal brain.") == [(BODY, "Normal brain.")]


def test_lines_about_persons_are_dropped():
    text = "Patient: Mary White   DOB: 01/02/1960\nReferring: Dr. Grey\nFINDINGS: Normal."
    assert names(text) == [("findings", "Normal.")]
    assert names("姓名:张三 性别:女\n影像所见:正常。", "zh") == [("findings", "正常。")]


@pytest.mark.parametrize(
    "tail",
    [
        "\nReported by: Dr A. White, consultant radiologist",
        " Dictated by Dr White on 3 May",
        "\nElectronically signed: A. White",
        "\nDr. A. White",
        "\nAnn B. White, MD, Consultant Neuroradiologist",
        "\nAccession No: 123\nMRN 123\nExam date: 3 May  Referring: Dr White",
        "\nDear Dr White,",
    ],
)
def test_signatures_and_labels_are_dropped(tail):
    assert names("IMPRESSION: Normal." + tail) == [("impression", "Normal.")]


@pytest.mark.parametrize(
    "tail", [" 报告医师:甲 审核医师:乙", "报告医生：甲", "\n检查日期:2020-01-01", "\n审核医师：甲"]
)
def test_chinese_signatures_are_dropped(tail):
    assert names("印象:未见异常。" + tail, "zh") == [("impression", "未见异常。")]


@pytest.mark.parametrize(
    "text",
    [
        "The radiologist was informed.",
        "Signed off as normal.",
        "Patient moved during the examination.",
        "Dr White was told of the infarct by telephone.",
        "This was read by the radiologist on call.",
    ],
)
def test_sentences_that_name_roles_stay(text):
    assert names(f"FINDINGS: Normal. {text}") == [("findings", f"Normal. {text}")]
    assert names(f"FINDINGS: Normal.\n{text}") == [("findings", f"Normal.\n{text}")]


def test_headers_of_several_words():
    text = "EXAM: MRI head\nCLINICAL HISTORY: Pain.\nClinical  information: Fall.\nFINDINGS: Normal."
    assert names(text) == [("exam", "MRI head"), ("history", "Pain."), ("history", "Fall."), ("findings", "Normal.")]
    dropped = "Date of birth: 01/02/1960\nReferring physician: Dr. Grey\nElectronically signed by Dr. White\n"
    assert names(dropped + "FINDINGS: Normal.") == [("findings", "Normal.")]


def test_language():
    assert detect_language("左侧额叶T2WI高信号") == "zh"
    assert detect_language("Normal brain") == "en"
    assert detect_language("") == "en"


@given(text=LINES, language=st.sampled_from(["en", "zh"]))
def test_sections_lie_in_the_report(text, language):
    end = 0
    for section in READER.read(text, language):
        assert text[section.start : section.start + len(section.text)] == section.text
        assert section.text.strip() == section.text != ""
        assert section.start >= end
        end = section.start + len(section.text)
