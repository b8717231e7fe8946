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
from stages.pretraining.objectives.base import (
    Batch,
    Facts,
    LogitScale,
    Need,
    Outcome,
    cosine_logits,
    entropy,
    matching_losses,
    paired_texts,
    soft_cross_entropy,
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
        if has_floor and facts.similarity_quantile is None:
            raise ValueError("similarity: expected one for SeLIP, got none; name a file in objectives.*.similarity")
        self.floor = facts.similarity_quantile(params.floor_quantile) if has_floor else 0.0  # type: ignore[misc]

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Similarity, unless its weight is 0."""
        return frozenset({"similarity"} if params.weight or params.form == "released" else ())

    def forward(self, batch: Batch) -> Outcome:
        """Return the loss terms of both directions, and how soft the targets are."""
        return self._released(batch) if self.params.form == "released" else self._ours(batch)

    def _ours(self, batch: Batch) -> Outcome:
        scale = self.scale()
        logits_BU = cosine_logits(batch.image_BD, batch.text_UD, scale)
        num_texts = len(batch.text_UD)
        count_U = torch.bincount(batch.text_index_B, minlength=num_texts).float()
        share_U = count_U / len(batch.image_BD)
        blend_UU = self._blend(batch, share_U)
        image_targets_BU, text_targets_UB = soft_targets(blend_UU, batch.text_index_B, count_U)
        image_to_text_B = soft_cross_entropy(logits_BU, image_targets_BU)
        text_to_image_U = soft_cross_entropy(logits_BU.T, text_targets_UB)
        loss = (image_to_text_B.mean() + (share_U * text_to_image_U).sum()) / 2
        target_entropy = (entropy(image_targets_BU).mean() + (share_U * entropy(text_targets_UB)).sum()) / 2
        return Outcome(
            {
                "image_to_text": image_to_text_B.mean() / 2,
                "text_to_image": (share_U * text_to_image_U).sum() / 2,
            },
            {
                "logit_scale": scale.detach(),
                "excess": (loss - target_entropy).detach(),
                "effective_targets": entropy(image_targets_BU).mean().exp(),
                "own_mass": (share_U * blend_UU.diagonal()).sum(),
            },
        )

    def _blend(self, batch: Batch, share_U: Tensor) -> Tensor:
        if not self.params.weight:
            return torch.eye(len(share_U), device=share_U.device)
        similarity_UU = _required(batch.similarity_UU)
        blend_UU = blend_similar(similarity_UU, weight=self.params.weight, power=self.params.power, floor=self.floor)
        return blend_UU if self.params.targets == "similarity" else smooth_uniformly(blend_UU, share_U)

    def _released(self, batch: Batch) -> Outcome:
        index_B = batch.text_index_B
        logits_BB = cosine_logits(batch.image_BD, paired_texts(batch), self.scale())
        similarity_BB = _required(batch.similarity_UU)[index_B][:, index_B].float()
        targets_BB = similarity_BB / similarity_BB.sum(dim=1, keepdim=True)
        image_to_text_B, text_to_image_B = matching_losses(logits_BB)
        divergence = [
            functional.kl_div(logits.log_softmax(dim=-1), targets_BB, reduction="batchmean") / 2
            for logits in (logits_BB, logits_BB.T)
        ]
        return Outcome(
            {
                "image_to_text": image_to_text_B.mean() / 2,
                "text_to_image": text_to_image_B.mean() / 2,
                "image_to_text_similarity": divergence[0],
                "text_to_image_similarity": divergence[1],
            },
            {"effective_targets": entropy(targets_BB).mean().exp(), "own_mass": targets_BB.diagonal().mean()},
        )


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


def soft_targets(blend_UU: Tensor, text_index_B: Tensor, count_U: Tensor) -> tuple[Tensor, Tensor]:
    """Targets of both directions for images that may share texts.

    Args:
        blend_UU: A, mass that text u gives to text v; rows sum to 1.
        text_index_B: text of each image.
        count_U: n_u, images of each text, at least 1.

    Returns:
        T = P·A over texts, shape (B, U), and R_ui = Σ_v A_uv·P_iv/n_v over images, shape (U, B).
        The rows of both sum to 1.
    """
    return blend_UU[text_index_B], (blend_UU / count_U)[:, text_index_B]


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


def _required(similarity_UU: Tensor | None) -> Tensor:
    if similarity_UU is None:
        raise ValueError("similarity: expected a tensor, got None; name a file in objectives.*.similarity")
    return similarity_UU


OBJECTIVE = Selip
