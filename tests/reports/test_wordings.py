import re

from stages.reports.lexicon import Lexicon
from stages.reports.wordings import alternatives, compounds, spellings

LEXICON = Lexicon.load("head_mri")


def test_alternatives():
    assert list(alternatives("(acute|recent|) infarct")) == ["acute infarct", "recent infarct", "infarct"]
    assert list(alternatives("(弥散|扩散)(明显|)受限")) == ["弥散明显受限", "弥散受限", "扩散明显受限", "扩散受限"]
    assert list(alternatives("mass (a)")) == ["mass (a)"]


def test_the_lexicon_is_spelled_out():
    """No term is left that never matches: with choices, or with a mark of regular expressions after a character."""
    assert not [term for term in LEXICON.vocabulary() if "|" in term or re.search(r"[一-鿿)][?]", term)]


def test_spellings():
    english = LEXICON.languages["en"]
    assert {"tumour", "tumor", "tumours", "tumors"} <= spellings("tumour", english)
    assert "nonhaemorrhagic" in spellings("non haemorrhagic", english)
    assert spellings("tumour", english, is_name=False) == {"tumour", "tumor"}


def test_compounds():
    found = dict(compounds({"fronto": "frontal_lobe", "temporo": "temporal_lobe"}, {"parietal": "parietal_lobe"}))
    assert found["frontoparietal"] == ("frontal_lobe", "parietal_lobe")
    assert found["fronto temporo parietal"] == ("frontal_lobe", "temporal_lobe", "parietal_lobe")
