"""CLIP (Radford et al., arXiv 2103.00020): each image against its own text, the rest of the batch as negatives."""

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
    own_pairs,
    paired_texts,
)


class Clip(nn.Module):
    """L = ½[CE(Z, I) + CE(Zᵀ, I)] with a learnable temperature.

    A text that two images of the batch share counts as a negative, as published; batches of
    distinct texts (``pretrain.batching``) avoid it.
    """

    class Params(BaseParams):
        """Temperature at the start, and whether it is learned."""

        temperature: float = Field(default=0.07, gt=0)
        is_temperature_learnable: bool = True

    aligns_text = True
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.scale = LogitScale(params.temperature, is_learnable=params.is_temperature_learnable)

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Nothing beyond embeddings."""
        return frozenset()

    def forward(self, batch: Batch) -> Outcome:
        """Return the loss terms of both directions."""
        scale = self.scale()
        logits_BB = cosine_logits(batch.image_BD, paired_texts(batch), scale)
        return Outcome(contrast_losses(logits_BB), {"logit_scale": scale.detach()})

    def matching_targets(self, batch: Batch) -> Tensor:
        """Each image has one positive, its own pair. Shape (B, B)."""
        return own_pairs(batch)


OBJECTIVE = Clip
