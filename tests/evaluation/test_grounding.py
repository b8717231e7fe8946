import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from stages.evaluation import grounding
from stages.evaluation.grounding import PatchGrid, Target

GRID = PatchGrid((4, 6, 4), (2, 3, 2))


def target(inside, total=None):
    inside = np.array(inside)
    return Target(np.arange(len(inside)), inside, np.full(len(inside), 8) if total is None else np.array(total))


def random_case(rng):
    mask = np.zeros(GRID.shape, dtype=bool)
    corner = [rng.integers(0, size - 1) for size in GRID.shape]
    mask[tuple(slice(c, c + rng.integers(1, 4)) for c in corner)] = True
    head = rng.random(GRID.shape) < 0.08
    return mask, Target.of(mask, head, GRID)


@pytest.mark.parametrize("corner", list(itertools.product((0, 1), (0, 1, 2), (0, 1))))
def test_a_lesion_lights_its_own_patch_in_row_major_order(corner):
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[tuple(2 * place for place in corner)] = True
    expected = np.zeros((2, 3, 2), dtype=int)
    expected[corner] = 1
    assert GRID.count(mask).tolist() == expected.ravel().tolist()
    assert np.argwhere(GRID.paint(expected.ravel()))[0].tolist() == [2 * place for place in corner]


def test_painting_repeats_the_value_of_a_patch_in_all_its_voxels():
    values = np.arange(12.0)
    expected = values.reshape(2, 3, 2).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    assert np.array_equal(GRID.paint(values), expected)


def test_a_grid_that_does_not_divide_the_volume_still_covers_it():
    grid = PatchGrid((5, 7), (2, 3))
    assert grid.count(np.ones((5, 7), dtype=bool)).sum() == 35
    assert grid.count(np.ones((5, 7), dtype=bool)).all()
    assert grid.patch_of_voxel[0, 0] == 0
    assert grid.patch_of_voxel[-1, -1] == 5


def test_only_patches_of_the_head_count_and_those_of_the_lesion_always_do():
    mask, head = np.zeros(GRID.shape, dtype=bool), np.zeros(GRID.shape, dtype=bool)
    mask[0, 0, 0] = True
    head[3, 5, 3] = True
    found = Target.of(mask, head, GRID)
    assert found.patches_P.tolist() == [0, 11]
    assert found.inside_P.tolist() == [1, 0]
    assert found.total_P.tolist() == [8, 8]


def test_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="at least one voxel, got none"):
        Target.of(np.zeros(GRID.shape, dtype=bool), np.ones(GRID.shape, dtype=bool), GRID)


def test_a_patch_is_positive_from_the_declared_share_and_the_most_covered_always():
    assert target([0, 1, 2, 8]).is_positive(0.25).tolist() == [False, False, True, True]
    assert target([0, 1, 1, 0]).is_positive(0.25).tolist() == [False, True, True, False]


def test_pointing_takes_the_expectation_over_ties():
    is_positive = np.array([True, False, False])
    assert grounding.pointing_game(np.array([3.0, 1.0, 2.0]), is_positive) == 1.0
    assert grounding.pointing_game(np.array([1.0, 3.0, 2.0]), is_positive) == 0.0
    assert grounding.pointing_game(np.array([3.0, 3.0, 2.0]), is_positive) == 0.5


def test_average_precision_is_that_of_scikit_learn_without_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        is_positive = rng.random(40) < 0.2
        is_positive[rng.integers(40)] = True
        scores = rng.permutation(40).astype(float)
        expected = average_precision_score(is_positive, scores)
        assert grounding.average_precision(scores, is_positive) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("scores", "positive"),
    [([1, 1, 1, 1], [1, 0, 0, 1]), ([2, 1, 1, 1, 0], [0, 1, 0, 1, 1]), ([2, 2, 1, 1], [1, 0, 0, 1]), ([5], [1])],
)
def test_average_precision_is_the_mean_over_all_orders_of_tied_patches(scores, positive):
    scores, positive = np.array(scores, dtype=float), np.array(positive, dtype=bool)
    values = []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            hits = positive[list(order)]
            values.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    assert grounding.average_precision(scores, positive) == pytest.approx(np.mean(values))


def test_average_precision_by_hand():
    # ranks 1 and 3 are positive: (1/1 + 2/3) / 2
    value = grounding.average_precision(np.array([0.9, 0.5, 0.4]), np.array([True, False, True]))
    assert value == pytest.approx(5 / 6)


def test_contrast_to_noise_by_hand():
    # lesion voxels see 1 and 3 (mean 2, variance 1), the rest 0 and 0 (mean 0, variance 0)
    found = target([2, 2, 0, 0], total=[2, 2, 4, 4])
    assert grounding.contrast_to_noise(np.array([1.0, 3.0, 0.0, 0.0]), found) == pytest.approx(2.0)
    assert grounding.contrast_to_noise(np.array([-1.0, -3.0, 0.0, 0.0]), found) == pytest.approx(-2.0)
    assert grounding.contrast_to_noise(np.ones(4), found) == 0.0
    assert grounding.contrast_to_noise(np.array([1.0]), target([8])) == 0.0


def test_voxel_metrics_are_those_of_the_map_painted_on_voxels():
    rng = np.random.default_rng(1)
    for _ in range(10):
        mask, found = random_case(rng)
        scores = rng.normal(size=len(found.patches_P))
        everywhere = np.full(12, np.nan)
        everywhere[found.patches_P] = scores
        painted = GRID.paint(everywhere)
        inside, outside = painted[mask], painted[~mask & ~np.isnan(painted)]
        contrast = (inside.mean() - outside.mean()) / np.sqrt(inside.var() + outside.var())
        assert grounding.contrast_to_noise(scores, found) == pytest.approx(contrast)
        thresholds = np.array([-9.0, -0.5, 0.0, 0.7, scores.max(), 9.0])
        expected = [(mask & (painted >= t)).sum() / (mask | (painted >= t)).sum() for t in thresholds]
        assert grounding.iou_curve(scores, found, thresholds) == pytest.approx(expected)


def test_standardised_maps_have_no_level_and_no_range():
    scores = np.array([1.0, 2.0, 6.0])
    assert grounding.standardise(3 * scores + 5) == pytest.approx(grounding.standardise(scores))
    assert grounding.standardise(np.full(3, 2.0)).tolist() == [0.0, 0.0, 0.0]


def test_the_best_threshold_maximises_the_mean_overlap():
    rng = np.random.default_rng(2)
    cases = [random_case(rng)[1] for _ in range(6)]
    maps = [rng.normal(size=len(found.patches_P)) + 2 * found.covered for found in cases]
    best = grounding.best_threshold(maps, cases)

    def mean_iou(threshold):
        return np.mean(
            [
                grounding.iou_curve(scores, found, np.array([threshold]))[0]
                for scores, found in zip(maps, cases, strict=True)
            ]
        )

    every = max(mean_iou(threshold) for threshold in np.concatenate(maps))
    assert mean_iou(best) == pytest.approx(every)
    assert grounding.best_threshold([], []) is None


def test_chance_is_the_mean_of_random_maps():
    rng = np.random.default_rng(3)
    _, found = random_case(rng)
    is_positive = found.is_positive(0.25)
    maps = rng.normal(size=(4000, len(is_positive)))
    expected = grounding.chance(found, 0.25)
    pointing = np.mean([grounding.pointing_game(scores, is_positive) for scores in maps])
    precision = np.mean([grounding.average_precision(scores, is_positive) for scores in maps])
    contrast = np.mean([grounding.contrast_to_noise(scores, found) for scores in maps])
    assert expected[grounding.POINTING] == pytest.approx(pointing, abs=0.03)
    assert expected[grounding.PRECISION] == pytest.approx(precision, abs=0.02)
    assert expected[grounding.CONTRAST] == pytest.approx(contrast, abs=0.05)


def test_chance_overlap_is_what_the_best_threshold_of_random_maps_gives():
    rng = np.random.default_rng(4)
    found = target(rng.integers(0, 3, 30))
    maps = [rng.normal(size=30) for _ in range(400)]
    threshold = grounding.best_threshold(maps, [found] * len(maps))
    overlap = np.mean([grounding.iou_curve(scores, found, np.array([threshold]))[0] for scores in maps])
    assert overlap == pytest.approx(grounding.chance(found, 0.25)[grounding.IOU], abs=0.01)


def test_no_set_of_patches_overlaps_more_than_the_oracle():
    rng = np.random.default_rng(5)
    for _ in range(10):
        found = target(rng.integers(0, 9, 7), total=[8, 8, 8, 9, 9, 10, 10])
        best = max(
            found.inside_P[list(chosen)].sum()
            / (found.inside_P.sum() + (found.total_P - found.inside_P)[list(chosen)].sum())
            for size in range(1, 8)
            for chosen in itertools.combinations(range(7), size)
        )
        assert grounding.oracle(found)[grounding.IOU] == pytest.approx(best)


def test_the_oracle_points_at_the_lesion_and_is_held_back_by_large_patches_only():
    small = grounding.oracle(target([1, 0, 0, 0]))
    assert small[grounding.POINTING] == small[grounding.PRECISION] == 1.0
    assert small[grounding.IOU] == pytest.approx(1 / 8)
    whole = target([8, 8, 0, 0])
    assert grounding.oracle(whole)[grounding.IOU] == 1.0
    rng = np.random.default_rng(6)
    _, found = random_case(rng)
    scores, is_positive = found.covered, found.is_positive(0.25)
    assert grounding.pointing_game(scores, is_positive) == 1.0
    assert grounding.average_precision(scores, is_positive) == 1.0
