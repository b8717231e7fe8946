import itertools
import re
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from stages.simulation.grammar import Grammar
from stages.simulation.narration import write_report
from stages.simulation.perception import NarrationParams, hedging_probability, perceive
from stages.simulation.phrases import LANGUAGES, load_phrasebook
from stages.simulation.readers import americanise, load_readers, load_stationery
from stages.simulation.truth import Lesion, Study

LEXICON = Path(__file__).parents[2] / "stages/reports/lexicon/head_mri"
SEQUENCES = ("T1", "T2", "FLAIR", "DWI", "ADC", "T1C")
SIDES = (None, "left", "right", "bilateral", "midline")
SITES = tuple(load_phrasebook("en").sites)
SIGNALS = {"T1": "low", "T2": "high", "FLAIR": "high", "DWI": "high", "ADC": "low", "T1C": "mixed"}
# Each as the simulator names it, and findings without a telling subtype.
KINDS = [(kind.finding, " ".join(kind.subtype[:1])) for kind in load_phrasebook("en").kinds.values()]

INFORMATIVE = NarrationParams(uninformative_share=0, omitted_share=0, misplaced_share=0, history_share=0)


def _lesion(finding="infarct", subtype="acute infarct", **changes):
    return replace(Lesion(finding, subtype, "frontal_lobe", "left", 22.0, 3.0, SIGNALS, 0.9), **changes)


def _study(*lesions, sequences=SEQUENCES, reader=0, set_="development"):
    shown = tuple(replace(one, signals={k: v for k, v in one.signals.items() if k in sequences}) for one in lesions)
    return Study(
        accession_number="A77120931",
        patient_name="OKONKWO^HENRIETTA",
        patient_number="H5530218",
        birth_date=date(1951, 2, 3),
        sex="F",
        age_years=68.4,
        study_date=date(2019, 11, 23),
        set=set_,
        vendor="siemens",
        sequences=sequences,
        reader=reader,
        lesions=shown,
    )


def _reports(study, num, params=INFORMATIVE, language=None, seed=0):
    if language is not None:
        params = params.model_copy(update={"chinese_share": float(language == "zh")})
    return [write_report(study, np.random.default_rng([seed, index]), params)[0] for index in range(num)]


def test_the_same_stream_gives_the_same_report():
    study = _study(_lesion(), _lesion("mass", "glioma"))
    assert _reports(study, 20, NarrationParams()) == _reports(study, 20, NarrationParams())
    assert len(set(_reports(study, 20))) == 20


def test_every_code_of_the_lexicon_has_words():
    yaml = YAML(typ="safe")
    findings = set(yaml.load((LEXICON / "findings.yaml").read_text(encoding="utf-8"))["findings"])
    sites = set(yaml.load((LEXICON / "sites.yaml").read_text(encoding="utf-8"))["sites"])
    for language in LANGUAGES:
        book = load_phrasebook(language)
        assert {kind.finding for kind in book.kinds.values()} == findings - {"normal"}
        assert set(book.sites) <= sites
        assert len(book.sites) == 23


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_site_and_side_can_be_told(language):
    rng = np.random.default_rng(3)
    for index, (kind, site, side) in enumerate(itertools.product(KINDS, (None, *SITES), SIDES)):
        lesion = _lesion(*kind, site=site, side=side, size_mm=float(rng.uniform(0, 40)), conspicuity=index % 2)
        study = _study(lesion, reader=index % 6, set_="test")
        (report,) = _reports(study, 1, INFORMATIVE, language, seed=index)
        assert len(report) > 20
        assert not re.search(r"[{}\[\]|]|\.\.|,,|。。|\ba [aei]", report), report


def test_every_paraphrase_family_is_wide():
    for language in LANGUAGES:
        book = load_phrasebook(language)
        for name, kind in book.kinds.items():
            rules = book.grammar(kind, 0.0).rules
            assert len(rules["sentence"]) >= 6, (language, name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sequence_that_was_not_acquired_is_not_mentioned(language):
    rng = np.random.default_rng(4)
    for index in range(600):
        sequences = tuple(name for name in SEQUENCES if rng.random() < 0.5)
        lesions = [_lesion(*KINDS[rng.integers(len(KINDS))]) for _ in range(rng.integers(3))]
        study = _study(*lesions, sequences=sequences, reader=index % 6, set_="shifted")
        (report,) = _reports(study, 1, INFORMATIVE, language, seed=index)
        text = report.replace("T2-FLAIR", "FLAIR").replace("post-contrast T1", "").replace("T1WI增强", "")
        for name in {*SEQUENCES, "SWI", "PD"} - set(sequences):
            assert not re.search(rf"{name}(?!\w*\d)", re.sub(r"\b[AH]\d+", "", text)), (name, report)
        if "T1C" not in sequences:
            assert not re.search(r"enhanc|强化|gadolinium", text), report
        if "DWI" not in sequences:
            assert not re.search(r"diffusion|弥散|扩散", text), report


@pytest.mark.parametrize(
    ("signals", "said", "unsaid"),
    [
        ({"T2": "high"}, r"hyperintense|high|bright|increased", r"hypointense|\blow\b|\bdark\b|isointense"),
        ({"T2": "low"}, r"hypointense|low|dark|decreased", r"hyperintense|\bhigh\b|\bbright\b|isointense"),
        ({"T2": "iso"}, r"isointense|intermediate", r"hyperintense|hypointense|\bhigh\b"),
        ({"T1C": "high"}, r"enhancement", r"without (contrast )?enhancement|no abnormal enh|No .*enhancement"),
        (
            {"DWI": "iso"},
            r"with no diffusion|without (restricted )?diffusion",
            r"(with|showing) (restr|diffusion restr)",
        ),
        ({"DWI": "high", "ADC": "low"}, r"restrict|high (DWI )?signal", r"(No|no|without) (restr|diffusion restr)"),
    ],
)
def test_signal_words_agree_with_truth(signals, said, unsaid):
    study = _study(_lesion("signal_abnormality", "", signals=signals, conspicuity=1.0), sequences=tuple(signals))
    params = INFORMATIVE.model_copy(update={"hedging_clear": 0.0})
    findings = [_findings(text) for text in _reports(study, 200, params, "en")]
    assert sum(bool(re.search(said, text)) for text in findings) > 50
    assert not [text for text in findings if re.search(unsaid, text)]


def test_errors_of_perception_come_as_often_as_their_parameters_say():
    params = NarrationParams()
    small, large = _lesion(size_mm=6.0), _lesion(size_mm=25.0)
    rng = np.random.default_rng(5)
    seen = [perceive(_study(small, large), rng, params) for _ in range(4000)]
    statements = [one for perception in seen for one in perception.statements]
    sizes = Counter(one.lesion.size_mm for one in statements)
    assert sizes[25.0] == len(seen)
    assert 1 - sizes[6.0] / len(seen) == pytest.approx(params.omitted_share, abs=0.02)
    wrong = [(one.lesion.site, one.lesion.side) != ("frontal_lobe", "left") for one in statements]
    assert np.mean(wrong) == pytest.approx(params.misplaced_share, abs=0.01)
    assert wrong == [one.is_misplaced for one in statements]
    assert np.mean([one.is_uninformative for one in seen]) == pytest.approx(params.uninformative_share, abs=0.015)


def test_doubt_grows_as_the_lesion_fades():
    params = NarrationParams()
    rng = np.random.default_rng(6)
    for conspicuity in (0.0, 0.5, 1.0):
        study = _study(_lesion(conspicuity=conspicuity))
        hedged = [perceive(study, rng, params).statements[0].is_hedged for _ in range(2000)]
        assert np.mean(hedged) == pytest.approx(hedging_probability(conspicuity, params), abs=0.035)


def test_nothing_is_denied_that_is_reported():
    lesions = [_lesion("midline_shift", "", site=None), _lesion("haemorrhage", "", signals={"T1": "high"})]
    for text in _reports(_study(*lesions, reader=1), 300, INFORMATIVE, "en"):
        assert not re.search(
            r"(No|no|of|for)\b[^.]*(?<!parenchymal )(hemorrhage|midline shift)[^.]*\.", _denials(text)
        ), text


def _denials(text):
    return " ".join(re.findall(r"(?:No|There is no|Negative for|There is no evidence of) [^.]*\.", text))


def test_what_cannot_be_seen_is_not_reported():
    study = _study(_lesion("enhancement", ""), _lesion("restricted_diffusion", ""), sequences=("T1", "T2"))
    assert not perceive(study, np.random.default_rng(0), INFORMATIVE).statements


def test_languages_and_held_out_templates_are_shared_out():
    rng = np.random.default_rng(7)
    development = [write_report(_study(_lesion()), rng) for _ in range(1500)]
    assert np.mean([language == "zh" for _, language in development]) == pytest.approx(0.18, abs=0.03)
    tested = [write_report(_study(_lesion(), set_="test"), rng)[0] for _ in range(500)]
    held_out = re.compile("Attention is drawn|has been identified within|Centred on|Imaging shows")
    assert not [text for text, _ in development if held_out.search(text)]
    assert sum(bool(held_out.search(text)) for text in tested) > 80


def test_abnormal_reports_differ_and_normal_ones_repeat():
    rng = np.random.default_rng(8)
    params = INFORMATIVE.model_copy(update={"chinese_share": 0.0})
    kinds = [KINDS[index] for index in rng.integers(len(KINDS), size=400)]
    abnormal = [_study(_lesion(*kinds[i]), _lesion(*kinds[i - 1]), reader=i % 3) for i in range(400)]
    assert len({_findings(write_report(study, rng, params)[0]) for study in abnormal}) > 0.97 * len(abnormal)
    normal = Counter(_findings(write_report(_study(reader=index % 3), rng, params)[0]) for index in range(400))
    assert len(normal) < 200
    assert normal.most_common(1)[0][1] > 10


def _findings(report):
    return re.search(r"(?:Findings|FINDINGS|Report):\s(.*?)\n(?:Conclusion|IMPRESSION|Opinion)", report, re.DOTALL)[1]


def test_letterheads_hold_what_scrubbing_must_find():
    texts = [text for reader in range(6) for text in _reports(_study(reader=reader), 40, NarrationParams())]
    planted = ("A77120931", "H5530218", "OKONKWO^HENRIETTA", "Henrietta Okonkwo", "03/02/1951", "1951-02-03", "姓名")
    for pattern in planted:
        assert any(pattern in text for text in texts), pattern


def test_readers_differ_in_titles_spelling_and_layout():
    assert len(load_readers()) == 6
    titles = {tuple(reader.en.sections.values()) for reader in load_readers()}
    assert len(titles) == 6
    assert americanise("Haemorrhage with oedema in the grey matter") == "Hemorrhage with edema in the gray matter"
    assert "FINDINGS\nBrain parenchyma: " in _reports(_study(_lesion(), reader=5, set_="test"), 1, language="en")[0]


def test_zero_shot_prompts_are_not_used_verbatim():
    prompts = YAML(typ="safe").load((LEXICON / "prompts.yaml").read_text(encoding="utf-8"))
    wordings = [
        text for entry in prompts.values() for key in ("positive", "negative", "queries") for text in entry[key]
    ]
    study = _study(*[_lesion(*kind) for kind in KINDS[:8]])
    text = " ".join(_reports(study, 200, language="en")).lower()
    assert not [wording for wording in wordings if wording.lower() in text]


def test_category_queries_share_no_four_words_with_any_phrase():
    prompts = YAML(typ="safe").load((LEXICON / "prompts.yaml").read_text(encoding="utf-8"))
    files = sorted((LEXICON.parents[2] / "simulation").glob("*.yaml"))
    phrases = " ".join(file.read_text(encoding="utf-8").lower() for file in files)
    words = re.findall(r"[a-z]+", phrases)
    known = {tuple(words[place : place + 4]) for place in range(len(words) - 3)}
    for entry in prompts.values():
        for query in entry["queries"]:
            asked = re.findall(r"[a-z]+", query.lower())
            assert query.lower() not in phrases
            assert not known & {tuple(asked[place : place + 4]) for place in range(len(asked) - 3)}, query


def test_stock_texts_exist_for_every_reader():
    for language in LANGUAGES:
        rules = load_stationery(language).rules
        assert all(f"{rule}_{reader}" in rules for rule in ("normal", "normal_impression") for reader in range(6))


def test_grammar_fills_only_what_it_has():
    grammar = Grammar({"tail": ["{size} wide", "round"]})
    rng = np.random.default_rng(0)
    texts = {grammar.write("a [big|] {tail}", {"size": None}, rng) for _ in range(30)}
    assert texts == {"a big round", "a  round"}
    with pytest.raises(ValueError, match="no alternative can be filled"):
        grammar.write("{size} wide", {"size": None}, rng)
    with pytest.raises(ValueError, match="neither a value nor a rule"):
        grammar.write("{colour}", {}, rng)
    with pytest.raises(ValueError, match="unbalanced brackets"):
        grammar.write("a]", {}, rng)
