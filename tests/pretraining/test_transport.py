import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.pretraining.transport import partial_transport

DUST_COST, REGULARISATION, NUM_ITERATIONS = 0.5, 0.05, 20


def transport(cost, source, target, **values):
    options = {"dust_cost": DUST_COST, "regularisation": REGULARISATION, "num_iterations": NUM_ITERATIONS}
    return partial_transport(cost, source, target, **(options | values))


def random_problems(num_problems=3, num_sources=4, num_targets=6, seed=0):
    random = torch.Generator().manual_seed(seed)
    cost = 2 * torch.rand(num_problems, num_sources, num_targets, generator=random)
    source = 0.1 + torch.rand(num_problems, num_sources, generator=random)
    target = 0.1 + torch.rand(num_problems, num_targets, generator=random)
    return cost, source, target


def with_dust(cost, source, target):
    """One problem with its dust, as lists."""
    rows = [[*row, DUST_COST] for row in cost.tolist()]
    rows.append([DUST_COST] * cost.shape[1] + [0.0])
    return rows, [*source.tolist(), float(target.sum())], [*target.tolist(), float(source.sum())]


def slow_plan(cost, source, target):
    """Sinkhorn's updates of one problem, number by number, without dust at the end."""
    costs, sources, targets = with_dust(cost, source, target)
    rows, columns = range(len(sources)), range(len(targets))
    gibbs = [[math.exp(-costs[r][c] / REGULARISATION) for c in columns] for r in rows]
    left, right = [1.0 for _ in rows], [1.0 for _ in columns]
    for _ in range(NUM_ITERATIONS):
        for c in columns:
            right[c] = targets[c] / sum(gibbs[r][c] * left[r] for r in rows)
        for r in rows:
            left[r] = sources[r] / sum(gibbs[r][c] * right[c] for c in columns)
    return torch.tensor([[left[r] * gibbs[r][c] * right[c] for c in columns[:-1]] for r in rows[:-1]])


def test_every_problem_of_a_batch_is_the_slow_loop():
    problems = random_problems()
    for plan, *problem in zip(transport(*problems), *problems, strict=True):
        torch.testing.assert_close(plan, slow_plan(*problem), rtol=1e-4, atol=1e-6)


def test_one_pair_by_hand():
    # Both hold 1, all costs are 0: the product of the masses, 1 each of the source and its dust, over a total of 2.
    plan = transport(torch.zeros(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1), dust_cost=0.0)
    assert plan.item() == pytest.approx(0.5)
    # With a gain of 2ξ = 1 over dust and ε = 1/2, the matched share m has m / (1 - m) = exp(1 / 2ε).
    plan = transport(torch.zeros(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1), regularisation=0.5)
    assert plan.item() == pytest.approx(math.e / (1 + math.e))


@pytest.mark.parametrize("iterations", [1, 20, 2000])
def test_it_is_the_plan_of_pot(iterations):
    cost, source, target = random_problems()
    plans = transport(cost, source, target, num_iterations=iterations)
    for plan, *problem in zip(plans, cost, source, target, strict=True):
        costs, sources, targets = (np.array(part) for part in with_dust(*problem))
        expected = ot.sinkhorn(
            sources, targets, costs, REGULARISATION, "sinkhorn_log",
            numItermax=iterations, stopThr=0, warn=False,
        )  # fmt: skip
        torch.testing.assert_close(plan.double(), torch.from_numpy(expected)[:-1, :-1], rtol=1e-3, atol=1e-5)


def test_with_little_entropy_it_is_the_exact_partial_plan_of_pot():
    cost, source, target = random_problems(1)
    plan = transport(cost, source, target, regularisation=2e-3, num_iterations=5000)[0]
    expected = ot.emd(*(np.array(part) for part in reversed(with_dust(cost[0], source[0], target[0])[1:])), _cost(cost))
    torch.testing.assert_close(plan.double(), torch.from_numpy(expected.T)[:-1, :-1], rtol=0, atol=5e-3)


def _cost(cost):
    costs = np.array(with_dust(cost[0], torch.ones(cost.shape[1]), torch.ones(cost.shape[2]))[0])
    return np.ascontiguousarray(costs.T)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), num_sources=st.integers(1, 6), num_targets=st.integers(1, 9))
def test_nothing_gives_more_than_it_holds_or_takes_more_than_it_can(seed, num_sources, num_targets):
    cost, source, target = random_problems(2, num_sources, num_targets, seed)
    plan = transport(cost, source, target, num_iterations=500)
    assert (plan >= 0).all()
    assert (plan.sum(dim=2) <= source * (1 + 1e-4)).all()
    assert (plan.sum(dim=1) <= target * (1 + 1e-3)).all()


def test_sources_give_no_more_than_they_hold_after_any_number_of_iterations():
    cost, source, target = random_problems()
    assert (transport(cost, source, 10 * target, num_iterations=1).sum(dim=2) <= source * (1 + 1e-5)).all()


def test_pairs_that_cost_more_than_dust_are_left():
    cost = torch.tensor([[[0.2, 1.8], [1.8, 1.8]]])
    plan = transport(cost, torch.ones(1, 2), torch.ones(1, 2), regularisation=0.02)
    torch.testing.assert_close(plan, torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), rtol=0, atol=1e-3)


def test_padding_changes_nothing_and_gets_nothing_whatever_stands_in_it():
    cost, source, target = random_problems()
    padded_cost = torch.full((3, 6, 9), float("nan"))
    padded_cost[:, 1:5, 2:8] = cost
    padded_source, padded_target = torch.zeros(3, 6), torch.zeros(3, 9)
    padded_source[:, 1:5], padded_target[:, 2:8] = source, target
    plan = transport(padded_cost, padded_source, padded_target)
    torch.testing.assert_close(plan[:, 1:5, 2:8], transport(cost, source, target))
    plan[:, 1:5, 2:8] = 0
    assert not plan.any()


@pytest.mark.parametrize(("num_sources", "num_targets"), [(0, 3), (2, 0), (0, 0)])
def test_a_problem_without_sources_or_targets_moves_nothing(num_sources, num_targets):
    cost, source, target = random_problems(2, 2, 3)
    source[0, num_sources:], target[0, num_targets:] = 0, 0
    plan = transport(cost, source, target)
    assert not plan[0].any()
    torch.testing.assert_close(plan[1:], transport(cost[1:], source[1:], target[1:]))


def test_the_order_of_sources_and_targets_does_not_matter():
    cost, source, target = random_problems()
    rows, columns = torch.tensor([2, 0, 3, 1]), torch.tensor([5, 1, 0, 4, 2, 3])
    moved = transport(cost[:, rows][:, :, columns], source[:, rows], target[:, columns])
    torch.testing.assert_close(moved, transport(cost, source, target)[:, rows][:, :, columns])


def test_a_batch_of_one_is_a_row_of_many():
    cost, source, target = random_problems(5)
    whole = transport(cost, source, target)
    for row in range(5):
        one = slice(row, row + 1)
        torch.testing.assert_close(transport(cost[one], source[one], target[one]), whole[one])


def test_half_precision_and_extreme_costs_give_a_finite_float32_plan_without_a_gradient():
    cost, source, target = random_problems()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plan = transport(cost.bfloat16().requires_grad_(), source.bfloat16(), target.bfloat16())
    assert plan.dtype == torch.float32
    assert not plan.requires_grad
    torch.testing.assert_close(
        plan, transport(cost.bfloat16().float(), source.bfloat16().float(), target.bfloat16().float())
    )
    for scale in (1e4, -1e4):
        assert torch.isfinite(transport(cost * scale, source, target)).all()


def test_what_does_not_fit_together_is_refused():
    cost, source, target = random_problems()
    with pytest.raises(ValueError, match=r"expect a cost of shape \(3, 4, 5\).*got \(3, 4, 6\); pad with mass 0"):
        transport(cost, source, target[:, :5])
    with pytest.raises(ValueError, match=r"one row a problem"):
        transport(cost, source, target[:2])
    with pytest.raises(ValueError, match=r"regularisation > 0 and at least 1 iteration, got 0.0 and 20"):
        transport(cost, source, target, regularisation=0.0)
    with pytest.raises(ValueError, match=r"at least 1 iteration, got 0.05 and 0"):
        transport(cost, source, target, num_iterations=0)
