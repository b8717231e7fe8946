"""Saliency: which voxels drive the score of a finding.

Shape suffixes: B images, S sequences, D embedding; X stands for the spatial axes.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from monai.visualize.occlusion_sensitivity import OcclusionSensitivity
from torch import Tensor, nn
from torch.nn import functional

# Inputs are deviations from what training images show at the same place: 0 is the usual.
_USUAL = 0.0


class FindingScore(nn.Module):
    """The score of one finding as a function of the image alone.

    Args:
        encoder: image encoder.
        direction_D: vector whose product with the normalised embedding is the score.
        is_present_1S: sequences that the image has.
    """

    direction_D: Tensor
    is_present_1S: Tensor

    def __init__(self, encoder: nn.Module, direction_D: Tensor, is_present_1S: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("direction_D", direction_D)
        self.register_buffer("is_present_1S", is_present_1S)

    def forward(self, volumes_BSX: Tensor) -> Tensor:
        """Score images. Shape (B, 1)."""
        embedding_BD = self.encoder(volumes_BSX, self.is_present_1S.expand(len(volumes_BSX), -1))
        return functional.normalize(embedding_BD, dim=-1) @ self.direction_D[:, None]


@torch.inference_mode()
def occlude(score: FindingScore, volumes_1SX: Tensor, box: Sequence[int], batch_size: int) -> tuple[np.ndarray, float]:
    """Measure how much the score falls when the usual stands in for a box of the image (MONAI).

    Args:
        score: of a finding.
        volumes_1SX: the image.
        box: edges of the boxes in voxels, which do not overlap; all sequences are occluded at once.
        batch_size: occluded images scored at a time.

    Returns:
        The fall for the box of each voxel (shape (X); positive where the image speaks for the finding), and
        the score of the whole image.
    """
    occlusion = OcclusionSensitivity(
        score, mask_size=tuple(box), n_batch=batch_size, mode=_USUAL, overlap=0.0, activate=False, verbose=False
    )
    with warnings.catch_warnings():
        # MONAI indexes with lists, which torch will read differently one day; a test compares the result
        warnings.filterwarnings("ignore", message="Using a non-tuple sequence")
        remaining_11X, _ = occlusion(volumes_1SX)
    whole = float(score(volumes_1SX))
    return whole - np.asarray(remaining_11X.cpu())[0, 0], whole
