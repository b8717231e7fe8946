"""Where lesions lie among the regions of the atlas."""

import numpy as np
import pytest
from region_atlas import REGIONS

from stages.evaluation.region_truth import place_lesions
from stages.imaging.region_store import Region
from stages.pretraining.region_labels import ABSENT, PRESENT, UNKNOWN

PLACES = [*REGIONS[:4], Region(8, "brainstem", "brainstem", None)]


def lesion(finding="infarct", site=None, side=None, study="a"):
    return {"study_id": study, "finding": finding, "site": site, "side": side}


def place(*lesions):
    return place_lesions(lesions, ["a", "b"], ["infarct", "cyst"], PLACES)


@pytest.mark.parametrize(
    ("lesions", "infarct"),
    [
        ([], [ABSENT] * 5),
        ([lesion(site="frontal_lobe", side="left")], [PRESENT, ABSENT, ABSENT, ABSENT, ABSENT]),
        ([lesion(site="parietal_lobe", side="right")], [ABSENT, ABSENT, ABSENT, PRESENT, ABSENT]),
        ([lesion(site="frontal_lobe", side="bilateral")], [PRESENT, PRESENT, ABSENT, ABSENT, ABSENT]),
        ([lesion(site="frontal_lobe", side="midline")], [PRESENT, PRESENT, ABSENT, ABSENT, ABSENT]),
        ([lesion(site="frontal_lobe")], [PRESENT, PRESENT, ABSENT, ABSENT, ABSENT]),
        ([lesion(site="brainstem", side="left")], [ABSENT, ABSENT, ABSENT, ABSENT, PRESENT]),
        ([lesion(site="whole_brain")], [UNKNOWN] * 5),
        ([lesion(side="left")], [UNKNOWN] * 5),
        ([lesion(), lesion(site="brainstem")], [UNKNOWN] * 5),
        ([lesion(site="brainstem"), lesion()], [UNKNOWN] * 5),
        ([lesion("glioma", "brainstem")], [ABSENT] * 5),
        ([lesion(site="brainstem", study="c")], [ABSENT] * 5),
    ],
)
def test_a_lesion_lies_in_the_regions_of_its_site_and_side(lesions, infarct):
    assert place(*lesions)[0, 0].tolist() == infarct


def test_other_findings_and_studies_are_not_touched():
    placed = place(lesion(site="brainstem"), lesion())
    assert (placed[1] == ABSENT).all()
    assert (placed[:, 1] == ABSENT).all()
    assert placed.dtype == np.int8
