import numpy as np
import pytest

from stages.imaging.template import ORIGIN_MM, SHAPE, SPACING_MM
from stages.params import load
from stages.simulation.anatomy import load_template
from stages.simulation.appearance import describe, labels
from stages.simulation.cohort import CohortParams, StudyKey, draw_visit
from stages.simulation.contrast import MATTER
from stages.simulation.diseases import DISEASES, EVOLUTION, MIDLINE_SITES, RECIPES
from stages.simulation.lesions import draw_lesion
from stages.simulation.patient import draw_patient

X_MM = ORIGIN_MM[0] + SPACING_MM * np.arange(SHAPE[0])
SITES = {site for recipe in RECIPES.values() for site in recipe.sites}


@pytest.fixture(scope="module")
def template():
    return load_template()


def test_every_site_has_both_sides_or_lies_in_the_midline(template):
    for site in SITES:
        columns = X_MM[np.argwhere(template.regions[site])[:, 0]]
        assert (columns < 0).any()
        assert (columns > 0).any()
        if site in MIDLINE_SITES:
            assert np.abs(columns).min() <= 3


@pytest.mark.parametrize(
    ("site", "point_mm"),
    [
        ("frontal_lobe", (-36, 36, 24)),
        ("parietal_lobe", (42, -57, 45)),
        ("temporal_lobe", (-57, -12, -18)),
        ("occipital_lobe", (12, -90, 6)),
        ("thalamus", (-12, -18, 9)),
        ("basal_ganglia", (27, 6, 0)),
        ("cerebellum", (-27, -63, -36)),
        ("brainstem", (0, -27, -33)),
        ("lateral_ventricle", (-6, 12, 9)),
        ("corpus_callosum", (0, 27, 6)),
        ("internal_capsule", (-24, -12, 12)),
        ("centrum_semiovale", (27, -15, 36)),
    ],
)
def test_sites_lie_where_the_atlas_of_the_reader_has_them(template, site, point_mm):
    voxel = np.round((np.array(point_mm) - ORIGIN_MM) / SPACING_MM).astype(int)
    around = tuple(slice(v - 1, v + 2) for v in voxel)
    assert template.regions[site][around].any()


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_lesions_keep_their_side(template, name):
    rng = np.random.default_rng(7)
    for _ in range(4):
        lesion = draw_lesion(template, RECIPES[name], rng, share=1.0)
        columns = X_MM[np.argwhere(lesion.voxels)[:, 0]]
        assert lesion.voxels.any()
        if lesion.side == "left":
            assert columns.max() < 0
        elif lesion.side == "right":
            assert columns.min() > 0
        assert 3 < lesion.diameter_mm < 100


def test_equal_streams_give_equal_shapes_whatever_the_stage(template):
    for before, after in EVOLUTION.items():
        first, second = (
            draw_lesion(template, RECIPES[name], np.random.default_rng(5), share=1.0) for name in (before, after)
        )
        assert (first.site, first.side) == (second.site, second.side)
        assert np.mean(first.voxels[first.voxels | second.voxels] == second.voxels[first.voxels | second.voxels]) > 0.7


def test_recipes_and_diseases_name_what_exists(template):
    assert {name for options in DISEASES.values() for name in options} == {*RECIPES} - {*EVOLUTION.values()} | {
        "chronic_infarct",
        "chronic_haemorrhage",
    }
    assert {layer.matter for recipe in RECIPES.values() for layer in recipe.layers} <= {*MATTER}
    assert {*template.regions} >= SITES


def test_labels_follow_from_lesions_and_sequences(template):
    params = load("simulate_cohort", CohortParams)
    for index in range(40):
        visit = draw_visit(params, StudyKey("development", index))
        study = describe(visit, draw_patient(params, template, visit))
        known = labels(study)
        assert known["normal"] == int(not study.lesions)
        assert (known["enhancement"] is None) == ("T1C" not in study.sequences)
        assert (known["restricted_diffusion"] is None) == ("DWI" not in study.sequences)
        assert all(known[lesion.finding] == 1 for lesion in study.lesions)
        assert all(0 <= lesion.conspicuity <= 1 for lesion in study.lesions)
        for lesion in study.lesions:
            assert set(lesion.signals) in (set(), set(study.sequences))
