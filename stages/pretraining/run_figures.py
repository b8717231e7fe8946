"""Speed, memory and cost of a training."""

from __future__ import annotations

import resource

import torch

from stages.pretraining.flops import peak_flops

_MIB = 2**20
_KIB_PER_MIB = 1024
_GIGA = 1e9


def run_figures(
    device: torch.device, num_devices: int, num_images: int, seconds: float, flops_per_image: float
) -> dict[str, float]:
    """Describe what a training cost.

    Args:
        device: where it ran.
        num_devices: how many of them.
        num_images: images that it met, repeated ones counted.
        seconds: how long it took.
        flops_per_image: floating-point operations of the towers for one image and its texts.

    Returns:
        Seconds, images per second, peak memory, cost of an image, and on a known GPU its utilisation.
    """
    is_gpu = device.type == "cuda"
    peak_mib = (
        torch.cuda.max_memory_allocated() / _MIB
        if is_gpu
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB
    )
    images_per_second = num_images / seconds
    peak = peak_flops(device)
    utilisation = {"model_flop_utilisation": flops_per_image * images_per_second / (peak * num_devices)} if peak else {}
    return {
        "seconds": round(seconds, 2),
        "images_per_second": round(images_per_second, 1),
        "peak_memory_mib": round(peak_mib, 1),
        "gigaflops_per_image": round(flops_per_image / _GIGA, 4),
        **utilisation,
    }
