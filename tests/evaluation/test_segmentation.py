"""Draws, thresholds and verdicts of segmentation."""

import numpy as np
import pytest

from stages.evaluation.masks import MaskedCohort
from stages.evaluation.overlap import dice
from stages.evaluation.segmentation import choose_threshold, draw_studies, judge

SHAPE = (4, 4, 4)


def cohort_of(has_lesion, patients=None, split="train"):
    size = len(has_lesion)
    labels = [np.zeros(SHAPE, np.uint8) for _ in range(size)]
    for own, is_lesion in zip(labels, has_lesion, strict=True):
        own[1, 1, 1] = own[1, 1, 2] = is_lesion
    return MaskedCohort(
        study_ids=[f"s{n}" for n in range(size)],
        patient_ids=list(patients or (f"p{n}" for n in range(size))),
        splits=np.array([split] * size),
        rows=[[n] for n in range(size)],
        labels=labels,
        findings=[["infarct", "oedema"] if is_lesion else [] for is_lesion in has_lesion],
        spacing_mm=np.array([6.0, 6.0, 6.0]),
    )


def test_draws_are_nested_whole_patients_with_two_lesions():
    rng = np.random.default_rng(0)
    cohort = cohort_of(rng.random(200) < 0.6, [f"p{n // 2}" for n in range(200)])
    for draw in range(20):
        few, some, every = (draw_studies(cohort, f, draw=draw, draw_seed=5) for f in (0.01, 0.1, 1.0))
        assert set(few) <= set(some) <= set(every) == set(range(200))
        owners = {cohort.patient_ids[study] for study in few}
        assert set(few) == {study for study in range(200) if cohort.patient_ids[study] in owners}
        assert len({cohort.patient_ids[study] for study in few if cohort.has_lesion(study)}) >= 2
        assert len({cohort.patient_ids[study] for study in some}) == 10


def test_draws_differ_and_depend_on_no_id():
    cohort = cohort_of([True, False] * 30)
    renamed = cohort_of([True, False] * 30, [f"{59 - n:03d}" for n in range(60)])
    draws = [draw_studies(cohort, 0.1, draw=draw, draw_seed=5).tolist() for draw in range(4)]
    assert len({tuple(draw) for draw in draws}) == 4
    assert draws[0] == draw_studies(renamed, 0.1, draw=0, draw_seed=5).tolist()


def test_without_a_lesion_nothing_is_drawn():
    assert len(draw_studies(cohort_of([False] * 5), 1.0, draw=0, draw_seed=5)) == 0


def test_one_patient_with_a_lesion_is_drawn_where_there_are_no_two():
    assert 3 in draw_studies(cohort_of([False, False, False, True]), 0.01, draw=0, draw_seed=5)


def test_the_threshold_is_the_best_over_studies_with_a_lesion():
    cohort = cohort_of([True, True, False], split="validation")
    probability = np.full(SHAPE, 0.2)
    probability[1, 1, 1:3] = 0.7
    noisy = np.full(SHAPE, 0.95)
    predictions = [(0, probability), (1, probability), (2, noisy)]
    assert choose_threshold(cohort, predictions, [0.9, 0.1, 0.5]) == (0.5, 1.0)


def test_without_a_validation_lesion_the_middle_threshold_stands():
    assert choose_threshold(cohort_of([False]), [(0, np.zeros(SHAPE))], [0.9, 0.1, 0.4]) == (0.4, None)


def test_a_study_is_judged_whole_and_under_each_of_its_findings():
    cohort = cohort_of([True, False])
    predicted = np.zeros(SHAPE, bool)
    predicted[1, 1, 2:4] = True
    found = {(metric, name): value for _, metric, name, value in judge(cohort, 0, predicted)}
    expected = dice(predicted, cohort.is_lesion(0))
    for name in ("all", "infarct", "oedema"):
        assert found[("dice", name)] == pytest.approx(expected) == pytest.approx(0.5)
        assert found[("hd95_mm", name)] == pytest.approx(5.7)  # 0.95 of the way between distances 0 and 6 mm
    assert len(found) == 6
    assert list(judge(cohort, 1, predicted)) == [(1, "lesion_free", "all", 0.0)]
    assert list(judge(cohort, 1, np.zeros(SHAPE, bool))) == [(1, "lesion_free", "all", 1.0)]
