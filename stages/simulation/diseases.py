"""Which diseases the cohort knows: where they sit, how large they grow and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stages.imaging.atlas import LOBES


@dataclass(frozen=True)
class Layer:
    """Matter between two distances from the centre, in lesion radii."""

    matter: str
    inner: float
    outer: float


@dataclass(frozen=True)
class Recipe:
    """One kind of focal lesion.

    Attributes:
        finding: finding code of the lexicon.
        subtype: what it is, for truth and relevance.
        sites: site codes to draw from; a repeated site is as much more frequent.
        diameter_mm: range, drawn uniformly on a log scale.
        layers: from the centre outwards.
        confined_to: parenchyma, white (matter), head or anywhere.
        foci: range of the number of foci that make one lesion.
        growth: displacement of the surroundings per mm of diameter.
        oedema_reach: outer radius of the surrounding oedema in lesion radii; 0 for none.
    """

    finding: str
    subtype: str
    sites: tuple[str, ...]
    diameter_mm: tuple[float, float]
    layers: tuple[Layer, ...]
    confined_to: str = "parenchyma"
    foci: tuple[int, int] = (1, 1)
    growth: float = 0.0
    oedema_reach: float = 0.0


_DEEP = ("basal_ganglia", "basal_ganglia", "thalamus", "internal_capsule")
_INFARCT_SITES = (*LOBES, *_DEEP, "insula", "corona_radiata", "corona_radiata", "cerebellum", "brainstem")
_BLEED_SITES = (*LOBES, *_DEEP, "cerebellum", "brainstem")
_MASS_SITES = (*LOBES, *LOBES, "insula", "thalamus", "corpus_callosum")
_PATCH_SITES = ("periventricular_white_matter", "periventricular_white_matter", "deep_white_matter")

RECIPES: Mapping[str, Recipe] = {
    "acute_infarct": Recipe("infarct", "acute infarct", _INFARCT_SITES, (16, 70), (Layer("acute_infarct", 0, 1),)),
    "chronic_infarct": Recipe(
        "infarct", "chronic infarct", _INFARCT_SITES, (16, 70), (Layer("cavity", 0, 0.6), Layer("gliosis", 0.6, 1))
    ),
    "acute_haemorrhage": Recipe(
        "haemorrhage", "acute haemorrhage", _BLEED_SITES, (16, 65), (Layer("acute_blood", 0, 1),), growth=0.04
    ),
    "subacute_haemorrhage": Recipe(
        "haemorrhage",
        "subacute haemorrhage",
        _BLEED_SITES,
        (16, 65),
        (Layer("subacute_blood", 0, 0.85), Layer("haemosiderin", 0.85, 1)),
    ),
    "chronic_haemorrhage": Recipe(
        "haemorrhage",
        "chronic haemorrhage",
        _BLEED_SITES,
        (16, 65),
        (Layer("cavity", 0, 0.45), Layer("haemosiderin", 0.45, 1)),
    ),
    "high_grade_glioma": Recipe(
        "mass",
        "glioma",
        _MASS_SITES,
        (24, 62),
        (Layer("necrosis", 0, 0.5), Layer("tumour_rim", 0.5, 0.85), Layer("tumour", 0.85, 1)),
        growth=0.10,
        oedema_reach=1.7,
    ),
    "low_grade_glioma": Recipe("mass", "glioma", _MASS_SITES, (22, 55), (Layer("tumour", 0, 1),), growth=0.08),
    "meningioma": Recipe(
        "mass",
        "meningioma",
        ("extra_axial",),
        (20, 58),
        (Layer("meningioma", 0, 1),),
        confined_to="head",
        growth=0.12,
        oedema_reach=1.4,
    ),
    "metastasis": Recipe(
        "mass",
        "metastasis",
        (*LOBES, "cerebellum", "subcortical_white_matter"),
        (11, 34),
        (Layer("necrosis", 0, 0.35), Layer("metastasis", 0.35, 1)),
        growth=0.04,
        oedema_reach=2.0,
    ),
    "small_vessel_disease": Recipe(
        "white_matter_lesion",
        "small vessel disease",
        (*_PATCH_SITES, "subcortical_white_matter", "centrum_semiovale", "corona_radiata"),
        (6, 16),
        (Layer("gliosis", 0, 1),),
        confined_to="white",
        foci=(8, 30),
    ),
    "demyelination": Recipe(
        "white_matter_lesion",
        "demyelination",
        (*_PATCH_SITES, "corpus_callosum", "subcortical_white_matter"),
        (7, 18),
        (Layer("demyelination", 0, 1),),
        confined_to="white",
        foci=(6, 18),
    ),
    "encephalomalacia": Recipe(
        "encephalomalacia",
        "encephalomalacia",
        LOBES,
        (24, 60),
        (Layer("cavity", 0, 0.8), Layer("gliosis", 0.8, 1.1)),
    ),
    "arachnoid_cyst": Recipe(
        "cyst", "arachnoid cyst", ("extra_axial",), (30, 65), (Layer("csf", 0, 1),), confined_to="head", growth=0.06
    ),
    "pineal_cyst": Recipe(
        "cyst", "pineal cyst", ("pineal",), (15, 26), (Layer("cavity", 0, 1),), confined_to="anywhere"
    ),
    "sellar_cyst": Recipe(
        "cyst", "sellar cyst", ("sella",), (14, 26), (Layer("cavity", 0, 1),), confined_to="anywhere"
    ),
}

#: disease → recipes, one of which is drawn
DISEASES: Mapping[str, tuple[str, ...]] = {
    "acute_infarct": ("acute_infarct",),
    "chronic_infarct": ("chronic_infarct",),
    "haemorrhage": ("acute_haemorrhage", "subacute_haemorrhage", "chronic_haemorrhage"),
    "glioma": ("high_grade_glioma", "high_grade_glioma", "low_grade_glioma"),
    "meningioma": ("meningioma",),
    "metastases": ("metastasis",),
    "white_matter_lesions": ("small_vessel_disease", "small_vessel_disease", "demyelination"),
    "encephalomalacia": ("encephalomalacia",),
    "cyst": ("arachnoid_cyst", "arachnoid_cyst", "pineal_cyst", "sellar_cyst"),
    "ventriculomegaly": (),
    "atrophy": (),
}

#: disease → how many lesions of its recipe a patient has
NUM_LESIONS: Mapping[str, tuple[int, int]] = {"metastases": (2, 5), "white_matter_lesions": (1, 2)}

#: what a lesion has become at the next visit; others stay
EVOLUTION: Mapping[str, str] = {
    "acute_infarct": "chronic_infarct",
    "acute_haemorrhage": "chronic_haemorrhage",
    "subacute_haemorrhage": "chronic_haemorrhage",
}

MIDLINE_SITES = frozenset({"corpus_callosum", "third_ventricle", "fourth_ventricle", "sella", "pineal"})
