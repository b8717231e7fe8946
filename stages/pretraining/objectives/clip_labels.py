"""CLIP that learns from labels besides: what extra supervision alone is worth, without knowledge or regions."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    contrast_losses,
    cosine_logits,
    label_loss,
    own_pairs,
    paired_texts,
)


class ClipLabels(nn.Module):
    """L = ½[CE(Z, I) + CE(Zᵀ, I)] + λ·BCE, the last by a linear head on the image embedding."""

    class Params(BaseParams):
        """Temperature at the start, and the weight λ of the labels."""

        temperature: float = Field(default=0.07, gt=0)
        label_weight: float = Field(default=1.0, ge=0)

    aligns_text = True
    label_head: nn.Linear

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.scale = LogitScale(params.temperature)
        self.label_weight = params.label_weight
        self.label_head = nn.Linear(facts.embedding_dim, facts.num_labels)

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Labels."""
        return frozenset({"labels"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the loss terms of both directions and of the labels.

        Raises:
            ValueError: if the batch holds no labels.
        """
        scale = self.scale()
        logits_BB = cosine_logits(batch.image_BD, paired_texts(batch), scale)
        losses = contrast_losses(logits_BB) | {"labels": self.label_weight * label_loss(self.label_head, batch)}
        return Outcome(losses, {"logit_scale": scale.detach()})

    def matching_targets(self, batch: Batch) -> Tensor:
        """Each image has one positive, its own pair. Shape (B, B)."""
        return own_pairs(batch)


OBJECTIVE = ClipLabels
