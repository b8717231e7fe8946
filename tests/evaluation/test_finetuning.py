"""Fine-tuning of a cohort: it learns, sees what it may see, and does not depend on its neighbours."""

from dataclasses import replace

import numpy as np
import pytest
from tuned_cohort import CLASSES, make_cohort, make_encoder

from stages.evaluation.finetuning import FineTuner, FineTuningParams
from stages.evaluation.probes import Budget, draw_shots
from stages.evaluation.scorings import VALIDATION, mean_auc

PARAMS = FineTuningParams(
    passes=16,
    min_updates=8,
    max_updates=96,
    batch_size=16,
    num_checkpoints=3,
    optimiser={"learning_rate": 3e-3},
    augmentation={"max_shift_voxels": 0, "sequence_dropout": 0},
    num_threads=2,
)
QUICK = PARAMS.model_copy(update={"passes": 1, "max_updates": 8})
WHOLE, FEW = Budget(label_fraction=1.0), Budget(shots=2)


@pytest.fixture(scope="module")
def data():
    return make_cohort()


def tune(data, budgets, params=QUICK, seeds=(0,), cohort=None, splits=("test",)):
    bank, own = data
    tuner = FineTuner(bank, cohort or own, splits, params, draw_seed=5)
    return tuner.run({seed: make_encoder(seed) for seed in seeds}, budgets)


def area(scoring, cohort, split="test"):
    is_asked = cohort.splits == split
    return mean_auc(scoring.scores[is_asked], cohort.labels[is_asked])


def with_labels(cohort, splits, value):
    labels = cohort.labels.copy()
    labels[np.isin(cohort.splits, splits)] = value
    return replace(cohort, labels=labels)


def test_fine_tuning_learns_what_the_images_show(data):
    few, whole = tune(data, [FEW, WHOLE], PARAMS)
    assert area(whole, data[1]) > 0.85
    assert area(few, data[1]) < area(whole, data[1])


def test_every_seed_and_budget_is_scored_in_order(data):
    scorings = tune(data, [FEW, WHOLE], seeds=(0, 4))
    assert [(s.seed, s.budget) for s in scorings] == [(seed, budget) for seed in (0, 4) for budget in (FEW, WHOLE)]
    assert {(s.protocol, s.draw) for s in scorings} == {("fine_tuning", None)}
    for scoring in scorings:
        assert scoring.classes == list(CLASSES)
        is_scored = np.isin(data[1].splits, ["test", VALIDATION])
        assert np.isfinite(scoring.scores[is_scored]).all()
        assert np.isnan(scoring.scores[~is_scored]).all()


def test_results_do_not_depend_on_what_runs_beside_them(data):
    together = tune(data, [FEW, WHOLE], seeds=(0, 4))
    alone = tune(data, [WHOLE], QUICK.model_copy(update={"num_threads": 1}), seeds=(4,))
    np.testing.assert_array_equal(together[3].scores, alone[0].scores)


def test_labels_of_the_test_studies_change_nothing(data):
    cohort = data[1]
    expected = tune(data, [FEW, WHOLE])
    for value in (0.0, 1.0, np.nan):
        found = tune(data, [FEW, WHOLE], cohort=with_labels(cohort, ["test"], value))
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one.scores, other.scores)


def test_scores_of_validation_do_not_depend_on_which_studies_are_tested(data):
    is_validation = data[1].splits == VALIDATION
    one, other = (tune(data, [WHOLE], splits=splits)[0].scores[is_validation] for splits in ((), ("test",)))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_only_drawn_labels_are_learnt(data):
    cohort = data[1]
    is_train, groups = cohort.training()
    members, _ = draw_shots(cohort.labels[is_train], groups, shots=2, seed=5, draw=0)
    lesson = FineTuner(data[0], cohort, ["test"], QUICK, draw_seed=5)._draw(0, FEW).lesson
    drawn = np.flatnonzero(is_train)[members.any(axis=1)]
    assert lesson.images.tolist() == drawn.tolist()
    assert (lesson.is_known_IC == (members[members.any(axis=1)] > 0)).all()
    assert lesson.is_known_IC.sum(axis=0).tolist() == [4, 4]


def test_a_class_without_both_labels_in_training_is_left_out(data):
    cohort = data[1]
    labels = cohort.labels.copy()
    labels[cohort.splits == "train", 0] = 0.0
    (scoring,) = tune(data, [WHOLE], cohort=replace(cohort, labels=labels))
    assert scoring.classes == ["mass"]
    assert not tune(data, [WHOLE], cohort=with_labels(cohort, ["train"], np.nan))


def test_without_validation_studies_the_last_checkpoint_is_kept(data):
    cohort = data[1]
    splits = np.where(cohort.splits == VALIDATION, "", cohort.splits)
    (scoring,) = tune(data, [WHOLE], cohort=replace(cohort, splits=splits))
    assert np.isfinite(scoring.scores[splits == "test"]).all()
