"""What the reader of a simulated study notices, misplaces and doubts: the report, before its words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from stages.params import Params
from stages.simulation.truth import Lesion, Study

#: findings that are no focal lesion: never too small to see, never in a wrong place
DIFFUSE = frozenset({"atrophy", "ventriculomegaly", "mass_effect", "midline_shift"})

#: sequence without which a finding cannot be seen
_SEQUENCE_NEEDED = {"enhancement": "T1C", "restricted_diffusion": "DWI"}

_OTHER_SIDE = {"left": "right", "right": "left"}
_NEIGHBOURS: Mapping[str, tuple[str, ...]] = {
    "frontal_lobe": ("parietal_lobe", "temporal_lobe", "insula"),
    "parietal_lobe": ("frontal_lobe", "occipital_lobe", "temporal_lobe"),
    "temporal_lobe": ("parietal_lobe", "occipital_lobe", "insula"),
    "occipital_lobe": ("parietal_lobe", "temporal_lobe"),
    "insula": ("basal_ganglia", "temporal_lobe", "frontal_lobe"),
    "basal_ganglia": ("thalamus", "internal_capsule", "corona_radiata"),
    "thalamus": ("basal_ganglia", "internal_capsule"),
    "internal_capsule": ("basal_ganglia", "thalamus", "corona_radiata"),
    "corona_radiata": ("centrum_semiovale", "basal_ganglia", "periventricular_white_matter"),
    "centrum_semiovale": ("corona_radiata", "subcortical_white_matter"),
    "periventricular_white_matter": ("deep_white_matter", "subcortical_white_matter", "corona_radiata"),
    "subcortical_white_matter": ("deep_white_matter", "centrum_semiovale"),
    "deep_white_matter": ("periventricular_white_matter", "subcortical_white_matter"),
    "corpus_callosum": ("periventricular_white_matter", "lateral_ventricle"),
    "brainstem": ("cerebellum", "thalamus"),
    "cerebellum": ("brainstem", "occipital_lobe"),
    "lateral_ventricle": ("third_ventricle", "periventricular_white_matter"),
    "third_ventricle": ("lateral_ventricle", "thalamus"),
    "fourth_ventricle": ("cerebellum", "brainstem"),
    "sella": ("third_ventricle",),
    "pineal": ("third_ventricle",),
    "extra_axial": ("frontal_lobe", "parietal_lobe"),
}


class NarrationParams(Params):
    """How imperfect and how varied the simulated reports are; shares lie between 0 and 1."""

    chinese_share: float = Field(default=0.18, ge=0, le=1, description="reports written in Chinese")
    small_lesion_mm: float = Field(default=10.0, gt=0, description="lesions below this size may be overlooked")
    omitted_share: float = Field(default=0.15, ge=0, le=1, description="small lesions that the report omits")
    misplaced_share: float = Field(default=0.03, ge=0, le=1, description="lesions reported with a wrong side or site")
    hedging_clear: float = Field(default=0.03, ge=0, le=1, description="share hedged at conspicuity 1")
    hedging_faint: float = Field(default=0.70, ge=0, le=1, description="share hedged at conspicuity 0")
    uninformative_share: float = Field(default=0.07, ge=0, le=1, description="reports that say nothing of the image")
    history_share: float = Field(default=0.12, ge=0, le=1, description="reports that refer to history no image shows")
    incidental_share: float = Field(
        default=0.15, ge=0, le=1, description="reports that name something outside the brain"
    )
    normal_macro_share: float = Field(default=0.75, ge=0, le=1, description="normal reports that are a stock text")
    name_share: float = Field(default=0.10, ge=0, le=1, description="histories that name the patient")
    held_out_share: float = Field(default=0.40, ge=0, le=1, description="use of held-out templates outside development")


@dataclass(frozen=True)
class Statement:
    """One lesion as the reader reports it."""

    lesion: Lesion
    is_hedged: bool
    is_misplaced: bool


@dataclass(frozen=True)
class Perception:
    """What the reader makes of a study."""

    statements: tuple[Statement, ...]
    is_uninformative: bool


def perceive(study: Study, rng: np.random.Generator, params: NarrationParams) -> Perception:
    """Draw what the report of a study will say, errors included."""
    is_uninformative = rng.random() < params.uninformative_share
    statements = []
    for lesion in study.lesions:
        is_omitted, is_misplaced, is_hedged = rng.random(3) < (
            params.omitted_share * _is_small(lesion, params),
            params.misplaced_share * bool(_misplacements(lesion)),
            hedging_probability(lesion.conspicuity, params),
        )
        if is_omitted or not _is_shown(lesion, study):
            continue
        seen = _misplaced(lesion, rng) if is_misplaced else lesion
        statements.append(Statement(seen, bool(is_hedged), bool(is_misplaced)))
    return Perception(tuple(statements), is_uninformative)


def hedging_probability(conspicuity: float, params: NarrationParams) -> float:
    """Return how often a lesion of this conspicuity (0 to 1) is reported with doubt."""
    return float(np.interp(conspicuity, (0.0, 1.0), (params.hedging_faint, params.hedging_clear)))


def _is_small(lesion: Lesion, params: NarrationParams) -> bool:
    return lesion.size_mm < params.small_lesion_mm and lesion.finding not in DIFFUSE


def _is_shown(lesion: Lesion, study: Study) -> bool:
    needed = _SEQUENCE_NEEDED.get(lesion.finding)
    return needed is None or needed in study.sequences


def _misplaced(lesion: Lesion, rng: np.random.Generator) -> Lesion:
    options = _misplacements(lesion)
    return options[rng.integers(len(options))]


def _misplacements(lesion: Lesion) -> list[Lesion]:
    """List wrong places for a lesion: the other side (as likely as all others together), or a neighbouring site."""
    if lesion.finding in DIFFUSE:
        return []
    sites = [replace(lesion, site=site) for site in _NEIGHBOURS.get(lesion.site or "", ())]
    if lesion.side not in _OTHER_SIDE:
        return sites
    return sites + [replace(lesion, side=_OTHER_SIDE[lesion.side])] * max(1, len(sites))
