from dataclasses import dataclass

import numpy as np
import pytest

from stages.pretraining.region_labels import ABSENT, PRESENT, UNKNOWN, mirrored_order, region_labels


@dataclass(frozen=True)
class Region:
    site: str
    side: str | None


REGIONS = [
    Region("frontal_lobe", "left"),
    Region("frontal_lobe", "right"),
    Region("brainstem", None),
    Region("whole_brain", None),
]
FINDINGS = ["infarct", "cyst"]


def state(finding, assertion="present", site=None, side=None, study="a"):
    return {"study_id": study, "finding": finding, "assertion": assertion, "site": site, "side": side}


def labels(*statements):
    return region_labels(statements, ["a"], FINDINGS, REGIONS)[0].tolist()


@pytest.mark.parametrize(
    ("statements", "infarct"),
    [
        ([], [UNKNOWN] * 4),
        ([state("infarct", site="frontal_lobe", side="left")], [PRESENT, UNKNOWN, UNKNOWN, PRESENT]),
        ([state("infarct", site="frontal_lobe", side="bilateral")], [PRESENT, PRESENT, UNKNOWN, PRESENT]),
        ([state("infarct", site="brainstem", side="left")], [UNKNOWN, UNKNOWN, PRESENT, PRESENT]),
        ([state("infarct", site="frontal_lobe")], [UNKNOWN, UNKNOWN, UNKNOWN, PRESENT]),
        ([state("infarct")], [UNKNOWN, UNKNOWN, UNKNOWN, PRESENT]),
        ([state("infarct", "absent")], [ABSENT] * 4),
        ([state("infarct", "absent", "frontal_lobe")], [ABSENT, ABSENT, UNKNOWN, UNKNOWN]),
        ([state("infarct", "absent", "frontal_lobe", "right")], [UNKNOWN, ABSENT, UNKNOWN, UNKNOWN]),
        ([state("infarct", site="frontal_lobe", side="midline")], [PRESENT, PRESENT, UNKNOWN, PRESENT]),
        ([state("normal")], [UNKNOWN] * 4),
        ([state("infarct", "uncertain", "brainstem")], [UNKNOWN] * 4),
        ([state("cyst")], [UNKNOWN] * 4),
        ([state("glioma")], [UNKNOWN] * 4),
    ],
)
def test_one_statement_tells_of_the_regions_that_it_means(statements, infarct):
    assert labels(*statements)[0] == infarct


@pytest.mark.parametrize("is_reversed", [False, True])
def test_presence_outweighs_doubt_and_doubt_outweighs_denial_in_any_order(is_reversed):
    statements = [
        state("infarct", "absent"),
        state("infarct", "uncertain", "brainstem"),
        state("infarct", site="frontal_lobe", side="left"),
    ]
    assert labels(*(reversed(statements) if is_reversed else statements))[0] == [PRESENT, ABSENT, UNKNOWN, PRESENT]


def test_a_doubtful_place_leaves_the_whole_brain_in_doubt():
    stated = labels(state("infarct", "absent"), state("infarct", "uncertain", "brainstem"))
    assert stated[0] == [ABSENT, ABSENT, UNKNOWN, UNKNOWN]


def test_a_finding_without_a_place_undoes_a_general_denial():
    assert labels(state("infarct", "absent"), state("infarct"))[0] == [UNKNOWN, UNKNOWN, UNKNOWN, PRESENT]


def test_every_image_has_the_labels_of_its_own_study():
    made = region_labels([state("infarct", study="b"), state("cyst", study="a")], ["a", "b", "a"], FINDINGS, REGIONS)
    assert made.dtype == np.int8
    assert made[:, 0, 3].tolist() == [UNKNOWN, PRESENT, UNKNOWN]
    assert made[:, 1, 3].tolist() == [PRESENT, UNKNOWN, PRESENT]


def test_mirroring_exchanges_the_sides():
    order = mirrored_order(REGIONS)
    assert order.tolist() == [1, 0, 2, 3]
    assert order[order].tolist() == [0, 1, 2, 3]
