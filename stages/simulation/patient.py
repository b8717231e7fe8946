"""One patient at one visit: the head, what is wrong with it, and what only looks wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.simulation.anatomy import Head, Template, draw_head, push_away
from stages.simulation.cohort import CohortParams, Visit, stream
from stages.simulation.diseases import DISEASES, EVOLUTION, NUM_LESIONS, RECIPES
from stages.simulation.lesions import DrawnLesion, Paint, ball, draw_consequences, draw_lesion, midline_shift_mm

_HYDROCEPHALUS_MM = (4.0, 8.0)
_ATROPHY = (0.45, 0.95)

# Normal variants that no report mentions: MNI mm, radius mm, matter, share.
_VARIANTS: tuple[tuple[tuple[tuple[float, float, float], float, str, float], ...], ...] = (
    (((0, 10, 13), 5, "csf", 0.9),),  # cavum septi pellucidi
    (((0, -80, -48), 11, "csf", 0.8),),  # large cisterna magna
    tuple(((x, y, -5), 2.4, "csf", 0.8) for x in (-24, -20, 21, 25) for y in (-2, 6)),  # perivascular spaces
    tuple(((x, 32, 6), 4, "gliosis", 0.5) for x in (-17, 17)),  # caps of the frontal horns
    (((-30, -14, 38), 2.2, "gliosis", 0.8), ((27, 20, 26), 2.0, "gliosis", 0.8)),  # single white matter spots
    tuple(((x, 70, 18), 6, "bone", 0.9) for x in (-14, 14)),  # thick frontal bone
)
# Artefacts that mimic disease in one sequence.
_ARTEFACTS: tuple[tuple[tuple[float, float, float], float, str, float, str], ...] = (
    ((0, -42, -32), 7, "oedema", 0.6, "FLAIR"),  # fluid flowing into the fourth ventricle
    ((6, 2, 12), 6, "oedema", 0.5, "FLAIR"),  # and through the foramen of Monro
    ((-16, 40, -22), 9, "acute_infarct", 0.7, "DWI"),  # air of the frontal sinuses
    ((46, -24, -26), 8, "acute_infarct", 0.7, "DWI"),  # air of the temporal bone
    ((0, 56, -30), 12, "bone", 0.8, "SWI"),
    ((-40, 50, 10), 6, "bone", 0.6, "T1"),  # surface coil drop-out
)


@dataclass(frozen=True)
class Patient:
    """A head and its lesions, in the order in which truth numbers them."""

    head: Head
    lesions: tuple[DrawnLesion, ...]
    variants: tuple[Paint, ...]

    def paints(self) -> list[Paint]:
        """Everything laid over the template, the first lesion on top."""
        return [*self.variants, *(paint for lesion in reversed(self.lesions) for paint in lesion.paints)]


def draw_patient(params: CohortParams, template: Template, visit: Visit) -> Patient:
    """Draw the head and the lesions of a visit; second visits show the same head and aged lesions."""
    rng = stream(params, visit.key.set, "lesions", visit.patient_index)
    lesions: list[DrawnLesion] = []
    ventricles_mm, atrophy = rng.normal(0.0, 0.5), max(0.0, rng.normal(0.03, 0.03))
    for disease in visit.diseases:
        if disease == "ventriculomegaly":
            widened_mm = rng.uniform(*_HYDROCEPHALUS_MM)
            ventricles_mm += widened_mm
            lesions.append(_diffuse(template, disease, "hydrocephalus", "lateral_ventricle", widened_mm / 8))
        elif disease == "atrophy":
            lost = rng.uniform(*_ATROPHY)
            atrophy, ventricles_mm = atrophy + lost, ventricles_mm + 2.5 * lost
            lesions.append(_diffuse(template, disease, "generalised atrophy", "whole_brain", lost))
        else:
            lesions += _draw_disease(params, template, disease, visit.number, rng)
    ageing = float(np.clip((visit.age_years - 45) / 40, 0, 1))
    anatomy = stream(params, visit.key.set, "anatomy", visit.patient_index)
    head = draw_head(template, anatomy, ventricles_mm + 1.2 * ageing, atrophy + 0.15 * ageing)
    variants = tuple(_draw_variants(params, anatomy))
    for lesion in lesions:
        if lesion.finding in ("mass", "haemorrhage", "cyst"):
            head = _displace(head, lesion)
    return Patient(head, tuple(lesions), variants)


def draw_artefacts(params: CohortParams, rng: np.random.Generator) -> list[Paint]:
    """Draw blobs that one sequence shows and nothing explains."""
    chosen = rng.random(len(_ARTEFACTS)) < params.artefact_share
    return [ball(*artefact) for artefact, is_chosen in zip(_ARTEFACTS, chosen, strict=True) if is_chosen]


def _draw_disease(
    params: CohortParams, template: Template, disease: str, visit_number: int, rng: np.random.Generator
) -> list[DrawnLesion]:
    low, high = NUM_LESIONS.get(disease, (1, 1))
    options = DISEASES[disease]
    name = options[rng.integers(len(options))]
    recipe = RECIPES[EVOLUTION.get(name, name) if visit_number else name]
    share = rng.uniform(*params.lesion_share)
    lesions: list[DrawnLesion] = []
    for _ in range(int(rng.integers(low, high + 1))):
        lesion = draw_lesion(template, recipe, rng, share)
        if any(known.finding == lesion.finding and (known.voxels & lesion.voxels).any() for known in lesions):
            continue
        lesions += [lesion, *draw_consequences(template, recipe, lesion, rng, share)]
    return lesions


def _draw_variants(params: CohortParams, rng: np.random.Generator) -> list[Paint]:
    chosen = rng.random(len(_VARIANTS)) < params.variant_share
    return [
        ball(*spot, None) for spots, is_chosen in zip(_VARIANTS, chosen, strict=True) if is_chosen for spot in spots
    ]


def _displace(head: Head, lesion: DrawnLesion) -> Head:
    growth = next(recipe.growth for recipe in RECIPES.values() if recipe.subtype == lesion.subtype)
    if not growth:
        return head
    reach_mm = 12 + lesion.diameter_mm / 2
    shift_mm = midline_shift_mm(lesion) if lesion.finding == "mass" else 0.0
    return push_away(head, lesion.centre_mm, growth * lesion.diameter_mm, shift_mm, reach_mm)


def _diffuse(template: Template, finding: str, subtype: str, site: str, severity: float) -> DrawnLesion:
    voxels = template.regions[site]
    return DrawnLesion(finding, subtype, site, "bilateral", 0.0, (), voxels, np.zeros(3), min(1.0, severity))
