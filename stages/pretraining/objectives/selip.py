"""SeLIP (arXiv 2503.19801): report similarity softens the targets of image-text matching.

Shape suffixes: B images of the batch, U unique texts of the batch.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    contrast_losses,
    cosine_logits,
    entropy,
    matching_loss,
    own_pairs,
    paired_texts,
    required,
    required_quantile,
    targets_of_pairs,
)

_BISECTIONS = 30


class Selip(nn.Module):
    """Matching against targets that share a text's mass with similar texts.

    ``form: ours`` is L = ½[mean_i CE(Z_i, T_i) + Σ_u (n_u/B)·CE(Zᵀ_u, R_u)] with the targets of
    ``soft_targets``; weight 0 makes it multi-positive CLIP. ``form: released`` adds the KL
    divergence to row-normalised similarity to CLIP, as the public code does.
    """

    class Params(BaseParams):
        """Values of the formulas.

        Attributes:
            form: ``ours`` or the ``released`` rule.
            weight: w, the most target mass that a text gives to others.
            power: p, sharpening of similarity above the floor.
            floor_quantile: s₀ is this quantile of off-diagonal similarity over training texts.
            targets: ``similarity``, or ``uniform`` smoothing of equal mean entropy (a control).
            temperature: at the start; the released form keeps it.
            is_temperature_learnable: whether the temperature is learned.
        """

        form: Literal["ours", "released"] = "ours"
        weight: float = Field(default=0.5, ge=0, lt=1)
        power: float = Field(default=1.0, gt=0)
        floor_quantile: float = Field(default=0.95, ge=0, lt=1)
        targets: Literal["similarity", "uniform"] = "similarity"
        temperature: float = Field(default=0.07, gt=0)
        is_temperature_learnable: bool = True

    aligns_text = True
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.params = params
        is_released = params.form == "released"
        self.scale = LogitScale(params.temperature, is_learnable=params.is_temperature_learnable and not is_released)
        has_floor = bool(self.needs(params)) and not is_released
        self.floor = required_quantile(facts, params.floor_quantile, "SeLIP") if has_floor else 0.0

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Similarity, unless its weight is 0."""
        return frozenset({"similarity"} if params.weight or params.form == "released" else ())

    def forward(self, batch: Batch) -> Outcome:
        """Return the loss terms of both directions, and how soft the targets are."""
        if self.params.form == "released":
            return self._released(batch)
        return matching_loss(batch, self._blend(batch), self.scale())

    def matching_targets(self, batch: Batch) -> Tensor:
        """Equal and similar texts share the target. Shape (B, B)."""
        if self.params.form == "released":
            # The sum of both losses has the mean of their targets.
            return (own_pairs(batch) + self._released_targets(batch)) / 2
        return targets_of_pairs(self._blend(batch), batch.text_index_B)

    def _blend(self, batch: Batch) -> Tensor:
        num_texts = len(batch.text_UD)
        if not self.params.weight:
            return torch.eye(num_texts, device=batch.text_UD.device)
        similarity_UU = required(batch.similarity_UU)
        blend_UU = blend_similar(similarity_UU, weight=self.params.weight, power=self.params.power, floor=self.floor)
        if self.params.targets == "similarity":
            return blend_UU
        share_U = torch.bincount(batch.text_index_B, minlength=num_texts) / len(batch.text_index_B)
        return smooth_uniformly(blend_UU, share_U)

    def _released(self, batch: Batch) -> Outcome:
        logits_BB = cosine_logits(batch.image_BD, paired_texts(batch), self.scale())
        targets_BB = self._released_targets(batch)
        contrast = contrast_losses(logits_BB)
        divergence = [
            functional.kl_div(logits.log_softmax(dim=-1), targets_BB, reduction="batchmean") / 2
            for logits in (logits_BB, logits_BB.T)
        ]
        return Outcome(
            contrast | {"image_to_text_similarity": divergence[0], "text_to_image_similarity": divergence[1]},
            {"effective_targets": entropy(targets_BB).mean().exp(), "own_mass": targets_BB.diagonal().mean()},
        )

    def _released_targets(self, batch: Batch) -> Tensor:
        index_B = batch.text_index_B
        similarity_BB = required(batch.similarity_UU)[index_B][:, index_B].float()
        return similarity_BB / similarity_BB.sum(dim=1, keepdim=True)


def blend_similar(similarity_UU: Tensor, *, weight: float, power: float, floor: float) -> Tensor:
    """Give part of each text's mass to the texts that are more similar to it than chance.

    K_uv = clip((S_uv − s₀)/(1 − s₀), 0, 1)^p with K_uu = 0; N_u = Σ_v K_uv; w_u = w·min(1, N_u);
    A_uu = 1 − w_u and A_uv = w_u·K_uv/N_u (A = I where N_u = 0). The share that leaves a text is
    bounded, so neither hub texts nor large batches dilute its own mass.

    Args:
        similarity_UU: report similarity in [0, 1].
        weight: w, the most mass that a text gives away, in [0, 1).
        power: p, sharpening exponent, > 0.
        floor: s₀, similarity that counts as none.

    Returns:
        A, rows sum to 1. Shape (U, U).
    """
    excess_UU = (similarity_UU.float() - floor) / max(1.0 - floor, torch.finfo(torch.float32).eps)
    kernel_UU = excess_UU.clamp(0, 1).pow(power).fill_diagonal_(0)
    mass_U1 = kernel_UU.sum(dim=1, keepdim=True)
    given_U1 = weight * mass_U1.clamp(max=1)
    shared_UU = given_U1 * kernel_UU / mass_U1.clamp(min=torch.finfo(torch.float32).tiny)
    return shared_UU + torch.diag(1 - given_U1.squeeze(1))


def smooth_uniformly(blend_UU: Tensor, share_U: Tensor) -> Tensor:
    """Uniform label smoothing whose mean row entropy equals that of the given rows.

    One smoothing for the whole batch, found by bisection: h(ε) + ε·log(U−1) grows up to the
    uniform row. A control: as soft as the similarity targets, without knowing any similarity.

    Args:
        blend_UU: rows that sum to 1.
        share_U: share of each row in the mean.

    Returns:
        1 − ε on the diagonal, ε/(U−1) elsewhere. Shape (U, U).
    """
    num_texts = len(blend_UU)
    others = max(num_texts - 1, 1)
    wanted = float((share_U * entropy(blend_UU)).sum())
    low, high = 0.0, (num_texts - 1) / num_texts
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _smoothed_entropy(middle, others) < wanted:
            low = middle
        else:
            high = middle
    identity_UU = torch.eye(num_texts, device=blend_UU.device)
    return (1 - low) * identity_UU + low / others * (1 - identity_UU)


def _smoothed_entropy(smoothing: float, others: int) -> float:
    own = 1 - smoothing
    spread = -smoothing * math.log(smoothing / others) if smoothing else 0.0
    return spread - own * math.log(own)


OBJECTIVE = Selip
