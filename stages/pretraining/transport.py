"""Entropic partial optimal transport of many small problems at once.

Shape suffixes: B problems, N sources, P targets, R sources and dust, C targets and dust.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# In place of log 0: -inf would make NaN of a problem without any mass.
_LOG_NOTHING = -1e30


@torch.no_grad()
def partial_transport(
    cost_BNP: Tensor,
    source_mass_BN: Tensor,
    target_mass_BP: Tensor,
    *,
    dust_cost: float,
    regularisation: float,
    num_iterations: int,
) -> Tensor:
    """Move mass from sources to targets where that is cheap, and leave the rest.

    The problem is made balanced by a dust source that holds as much as all targets and a dust
    target that takes as much as all sources hold. What goes to or comes from dust costs ξ, dust to
    dust nothing: a pair is worth matching below a cost of 2ξ. Sinkhorn's iterations (Cuturi, arXiv
    1306.0895) run in the log domain and in float32 whatever the inputs are; each settles the targets
    and then the sources, so that no source gives more than it holds. The plan has no gradient.

    Args:
        cost_BNP: cost of each pair; ignored where either has no mass.
        source_mass_BN: mass of each source, at least 0; 0 in padding.
        target_mass_BP: mass that each target can take, at least 0; 0 in padding.
        dust_cost: ξ.
        regularisation: ε, weight of the entropy, > 0.
        num_iterations: Sinkhorn iterations, at least 1.

    Returns:
        The mass moved from each source to each target, dust left out. Shape (B, N, P), float32.

    Raises:
        ValueError: if shapes do not fit one another, or ε or the iterations are out of range.
    """
    _check(cost_BNP, source_mass_BN, target_mass_BP, regularisation, num_iterations)
    with torch.autocast(cost_BNP.device.type, enabled=False):
        source_BN, target_BP = source_mass_BN.float(), target_mass_BP.float()
        is_none_BNP = (source_BN == 0)[:, :, None] | (target_BP == 0)[:, None]
        kernel_BRC = _with_dust(cost_BNP.float().masked_fill(is_none_BNP, 0.0), dust_cost) / -regularisation
        log_source_BR1 = _log_mass(source_BN, target_BP)[:, :, None]
        log_target_B1C = _log_mass(target_BP, source_BN)[:, None]
        source_potential_BR1 = torch.where(log_source_BR1 > _LOG_NOTHING, 0.0, _LOG_NOTHING)
        for _ in range(num_iterations):
            target_potential_B1C = log_target_B1C - (kernel_BRC + source_potential_BR1).logsumexp(dim=1, keepdim=True)
            source_potential_BR1 = log_source_BR1 - (kernel_BRC + target_potential_B1C).logsumexp(dim=2, keepdim=True)
        return (kernel_BRC + source_potential_BR1 + target_potential_B1C).exp()[:, :-1, :-1]


def _with_dust(cost_BNP: Tensor, dust_cost: float) -> Tensor:
    cost_BRC = functional.pad(cost_BNP, (0, 1, 0, 1), value=dust_cost)
    cost_BRC[:, -1, -1] = 0.0
    return cost_BRC


def _log_mass(own: Tensor, others: Tensor) -> Tensor:
    masses = torch.cat([own, others.sum(dim=1, keepdim=True)], dim=1)
    return masses.log().clamp(min=_LOG_NOTHING)


def _check(cost: Tensor, source: Tensor, target: Tensor, regularisation: float, num_iterations: int) -> None:
    expected = (*source.shape, *target.shape[1:])
    if tuple(cost.shape) != expected or len(source) != len(target):
        raise ValueError(
            f"transport: masses of shapes {tuple(source.shape)} and {tuple(target.shape)} expect a cost of shape "
            f"{expected} and one row a problem, got {tuple(cost.shape)}; pad with mass 0"
        )
    if regularisation <= 0 or num_iterations < 1:
        raise ValueError(
            f"transport: expected regularisation > 0 and at least 1 iteration, got {regularisation} and "
            f"{num_iterations}; change objectives.*.params"
        )
