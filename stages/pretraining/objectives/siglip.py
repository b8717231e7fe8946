"""SigLIP (Zhai et al., arXiv 2303.15343) with soft labels: each image–text pair is judged by itself.

Shape suffixes: B images of the batch, U unique texts of the batch.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    cosine_logits,
    required,
    required_quantile,
)


class SoftSiglip(nn.Module):
    """L = mean_i Σ_u BCE(σ(s·cos(v_i, t_u) + b), y_iu) (equation 1 of SigLIP).

    Labels are y = 1 for an image's own text and w·K_uv for other texts, with SeLIP's
    K_uv = clip((S_uv − s₀)/(1 − s₀), 0, 1); w = 0 is SigLIP over unique texts.
    """

    class Params(BaseParams):
        """Values of the formulas.

        Attributes:
            weight: w, the largest label of a text that is not the own one.
            floor_quantile: s₀ is this quantile of off-diagonal similarity over training texts.
            temperature: 1/s at the start; s is learned.
            bias: b at the start; learned.
        """

        weight: float = Field(default=0.5, ge=0, le=1)
        floor_quantile: float = Field(default=0.95, ge=0, lt=1)
        temperature: float = Field(default=0.1, gt=0)
        bias: float = -10.0

    aligns_text = True
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.weight = params.weight
        self.floor = required_quantile(facts, params.floor_quantile, "soft SigLIP") if params.weight else 0.0
        self.scale = LogitScale(params.temperature)
        self.bias = nn.Parameter(torch.tensor(params.bias))

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Similarity, unless its weight is 0."""
        return frozenset({"similarity"} if params.weight else ())

    def forward(self, batch: Batch) -> Outcome:
        """Return the one term of the loss."""
        scale = self.scale()
        logits_BU = cosine_logits(batch.image_BD, batch.text_UD, scale) + self.bias.float()
        labels_BU = self._labels(batch)[batch.text_index_B]
        loss_BU = functional.binary_cross_entropy_with_logits(logits_BU, labels_BU, reduction="none")
        logged = {"logit_scale": scale.detach(), "bias": self.bias.detach().clone()}
        return Outcome({"pairs": loss_BU.sum(dim=1).mean()}, logged)

    def matching_targets(self, batch: Batch) -> Tensor:
        """Labels of all pairs, scaled so that the rows sum to 1. Shape (B, B)."""
        labels_BB = self._labels(batch)[batch.text_index_B][:, batch.text_index_B]
        return labels_BB / labels_BB.sum(dim=1, keepdim=True)

    def _labels(self, batch: Batch) -> Tensor:
        num_texts = len(batch.text_UD)
        if not self.weight:
            return torch.eye(num_texts, device=batch.text_UD.device)
        excess_UU = (required(batch.similarity_UU).float() - self.floor) / max(1.0 - self.floor, math.ulp(1.0))
        return (self.weight * excess_UU.clamp(0, 1)).fill_diagonal_(1)


OBJECTIVE = SoftSiglip
