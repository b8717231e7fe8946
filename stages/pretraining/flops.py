"""What a training computes, and how much of a device's peak it reaches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

# Of a training step over its forward pass: the backward pass costs twice as much again.
STEP_OVER_FORWARD = 3
# Dense bfloat16 peak of data-centre GPUs in FLOP/s (vendor data sheets), by a part of their name.
_PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12}


def count_flops(run: Callable[[], object]) -> float:
    """Floating-point operations of products and convolutions in what a function computes, without gradients.

    A training step takes ``STEP_OVER_FORWARD`` times those of the forward pass; passes that gradient caching
    repeats do not count (Chowdhery et al., arXiv 2204.02311, appendix B).
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return float(counter.get_total_flops())


def peak_flops(device: torch.device) -> float | None:
    """Peak of a device in FLOP/s at bfloat16, None where it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
