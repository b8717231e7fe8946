"""What a training computes, and how much of a device's peak it reaches."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# Of a training step over its forward pass: the backward pass costs twice as much again.
_STEP_OVER_FORWARD = 3
# Dense bfloat16 peak of data-centre GPUs in FLOP/s (vendor data sheets), by a part of their name.
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}


def flops_per_row(tower: nn.Module, inputs: dict[str, Tensor]) -> float:
    """Floating-point operations that one row of a batch costs in a training step.

    Products and convolutions are counted over one forward pass and taken three times; passes that
    gradient caching repeats do not count (Chowdhery et al., arXiv 2204.02311, appendix B).

    Args:
        tower: called with the inputs as keyword arguments.
        inputs: tensors with one row a sample.
    """
    num_rows = len(next(iter(inputs.values())))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        tower(**inputs)
    return _STEP_OVER_FORWARD * counter.get_total_flops() / num_rows


def peak_flops(device: torch.device) -> float | None:
    """Peak of a device in FLOP/s at bfloat16, None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
