"""AdamW with warm-up and cosine decay, as pure functions of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from pydantic import Field
from torch import nn

from stages.params import Params


class OptimiserParams(Params):
    """AdamW and its schedule.

    Attributes:
        learning_rate: at its peak.
        weight_decay: of weights; biases, norms, embeddings and scales have none.
        warmup_fraction: share of the updates over which the rate rises.
        max_gradient_norm: larger gradients are scaled down to it.
    """

    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    warmup_fraction: float = Field(default=0.1, ge=0, le=1)
    max_gradient_norm: float = Field(default=1.0, gt=0)


def build_optimiser(params: OptimiserParams, modules: Iterable[nn.Module]) -> torch.optim.AdamW:
    """Build the optimiser of everything trainable in the modules."""
    trained = [
        (name.rsplit(".", 1)[-1], parameter)
        for module in modules
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]
    groups = [
        {"params": [p for name, p in trained if _decays(name, p)], "weight_decay": params.weight_decay},
        {"params": [p for name, p in trained if not _decays(name, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=params.learning_rate, foreach=True)


def learning_rate(params: OptimiserParams, step: int, num_steps: int) -> float:
    """Rate of update ``step`` (from 0): linear warm-up, then cosine decay to zero."""
    warmup = max(1, round(params.warmup_fraction * num_steps))
    if step < warmup:
        return params.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, num_steps - warmup)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _decays(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim > 1 and name not in {"position", "queries", "sequence_embedding"}
