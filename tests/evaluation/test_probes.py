import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stages.evaluation import probes


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(80, 12))
    logits = features @ rng.normal(size=(12, 4)) - 0.7
    return features, (logits + rng.normal(size=logits.shape) > 0).astype(float)


@pytest.mark.parametrize("penalty", probes.PENALTIES)
def test_fits_are_those_of_scikit_learn(data, penalty):
    features, labels = data
    members = (np.random.default_rng(1).random(labels.shape) < 0.7).astype(float)
    ours = probes.fit_logistic(features, labels, members, np.full(4, penalty))
    for column in range(4):
        chosen = members[:, column] > 0
        theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=5000)
        theirs.fit(features[chosen], labels[chosen, column])
        np.testing.assert_allclose(ours.logits(features)[:, column], theirs.decision_function(features), atol=2e-3)


def test_more_features_than_rows(data):
    features, labels = data
    wide = np.hstack([features] * 10)[:20]
    fitted = probes.fit_logistic(wide, labels[:20], np.ones((20, 4)), np.full(4, 10.0))
    assert np.isfinite(fitted.logits(wide)).all()


def test_draws_are_nested_and_hold_both_labels():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 6)) < 0.04).astype(float)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    labels[:2] = [[1.0] * 6, [0.0] * 6]
    groups = np.arange(200) // 2
    small, large, full = (
        probes.draw_members(labels, groups, fraction=fraction, seed=3, draw=1)[0] for fraction in (0.01, 0.1, 1.0)
    )
    assert (small <= large).all()
    assert (large <= full).all()
    assert (full == ~np.isnan(labels)).all()
    for column in range(6):
        drawn = labels[small[:, column] > 0, column]
        assert {0.0, 1.0} <= set(drawn)


def test_draws_differ_from_one_another_and_repeat():
    labels = (np.random.default_rng(0).random((100, 3)) < 0.3).astype(float)
    draws = [probes.draw_members(labels, np.arange(100), fraction=0.1, seed=3, draw=draw)[0] for draw in (0, 1, 0)]
    assert (draws[0] == draws[2]).all()
    assert (draws[0] != draws[1]).any()


def test_a_patient_is_drawn_whole_and_stays_in_one_fold():
    labels = (np.random.default_rng(0).random((60, 2)) < 0.4).astype(float)
    groups = np.arange(60) // 3
    folds = probes.draw_members(labels, groups, fraction=0.5, seed=0, draw=0)[1]
    for group in range(20):
        assert len(set(folds[groups == group, 0])) == 1


def test_the_penalty_is_the_one_with_the_lowest_held_out_loss(data):
    features, labels = data
    members, folds = probes.draw_members(labels, np.arange(80), fraction=1.0, seed=0, draw=0)
    losses = []
    for penalty in probes.PENALTIES:
        loss = 0.0
        for fold in range(probes.NUM_FOLDS):
            for column in range(4):
                fit, held = (folds[:, column] != fold), (folds[:, column] == fold)
                model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000).fit(
                    features[fit], labels[fit, column]
                )
                logits = model.decision_function(features[held]).clip(-7, 7)
                loss += np.logaddexp(0, np.where(labels[held, column] > 0, -logits, logits)).sum()
        losses.append(loss)
    assert probes._choose_penalty(features, labels, folds) == probes.PENALTIES[int(np.argmin(losses))]
    assert members.all()


def test_a_class_with_one_label_is_told_apart(data):
    features, labels = data
    labels = labels.copy()
    labels[:, 1] = 0.0
    members, folds = probes.draw_members(labels, np.arange(80), fraction=0.1, seed=0, draw=0)
    fitted, is_fitted = probes.probe(features, labels, members, folds)
    assert is_fitted.tolist() == [True, False, True, True]
    assert np.isfinite(fitted.logits(features)).all()


def make_visits():
    """Labels of 240 studies of 120 patients, some unknown, classes of different prevalence."""
    rng = np.random.default_rng(4)
    labels = (rng.random((240, 3)) < [0.05, 0.3, 0.6]).astype(float)
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return labels, np.arange(240) // 2


def patients_by_label(labels, groups, members, column):
    """Positive and negative patients among the members, by a loop."""
    drawn = set(groups[members[:, column] > 0].tolist())
    positive = {g for g in drawn if any(labels[n, column] == 1 for n in np.flatnonzero(groups == g))}
    return positive, drawn - positive


@pytest.mark.parametrize("shots", [1, 5])
def test_shots_count_the_patients_of_each_label(shots):
    labels, groups = make_visits()
    for draw in range(3):
        members, folds = probes.draw_shots(labels, groups, shots=shots, seed=3, draw=draw)
        for column in range(3):
            positive, negative = patients_by_label(labels, groups, members, column)
            assert (len(positive), len(negative)) == (shots, shots)
        assert not members[np.isnan(labels)].any()
        assert ((folds >= 0) == (members > 0)).all()


def test_shots_are_nested_shared_and_drawn_anew():
    labels, groups = make_visits()
    one, five, twenty = (probes.draw_shots(labels, groups, shots=k, seed=3, draw=1)[0] for k in (1, 5, 20))
    assert (one <= five).all()
    assert (five <= twenty).all()
    assert (probes.draw_shots(labels, groups, shots=5, seed=3, draw=1)[0] == five).all()
    assert (probes.draw_shots(labels, groups, shots=5, seed=3, draw=2)[0] != five).any()
    # A class is drawn by itself: another one beside it changes nothing.
    assert (probes.draw_shots(labels[:, :1], groups, shots=5, seed=3, draw=1)[0] == five[:, :1]).all()


def test_shots_take_the_first_patients_of_the_order_of_the_draw():
    labels, groups = make_visits()
    order = np.random.default_rng([3, 2]).permutation(120)
    members, _ = probes.draw_shots(labels, groups, shots=4, seed=3, draw=2)
    positive, negative = patients_by_label(labels, groups, members, 1)
    known = [g for g in order if not np.isnan(labels[groups == g, 1]).all()]
    with_it = [g for g in known if (labels[groups == g, 1] == 1).any()]
    assert positive == set(with_it[:4])
    assert negative == set([g for g in known if g not in with_it][:4])


def test_more_shots_than_patients_are_all_patients():
    labels = np.array([[1.0], [0.0], [0.0], [0.0], [np.nan]])
    members, folds = probes.draw_shots(labels, np.arange(5), shots=3, seed=0, draw=0)
    assert members.ravel().tolist() == [1, 1, 1, 1, 0]
    assert sorted(folds[1:4, 0]) == [0, 1, 2]


def test_folds_of_shots_hold_both_labels():
    labels, groups = make_visits()
    _, folds = probes.draw_shots(labels, groups, shots=6, seed=0, draw=0)
    for fold in range(probes.NUM_FOLDS):
        assert {0.0, 1.0} <= set(labels[folds[:, 1] == fold, 1])


def test_a_budget_draws_by_count_or_by_share():
    labels, groups = make_visits()
    for budget, expected in (
        (probes.Budget(shots=5), probes.draw_shots(labels, groups, shots=5, seed=1, draw=2)),
        (probes.Budget(label_fraction=0.1), probes.draw_members(labels, groups, fraction=0.1, seed=1, draw=2)),
        (probes.Budget(label_fraction=1.0), probes.draw_members(labels, groups, fraction=1.0, seed=1, draw=2)),
    ):
        for ours, theirs in zip(budget.draw(labels, groups, seed=1, draw=2), expected, strict=True):
            assert (ours == theirs).all()
    assert [budget.is_whole for budget in probes.list_budgets([0.1, 1.0], [5])] == [False, False, True]
