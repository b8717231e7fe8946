"""ConVIRT (Zhang et al., arXiv 2010.00747): weighted two-way InfoNCE against one sentence of each report."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    cosine_logits,
    matching_losses,
    own_pairs,
    paired_texts,
)


class ConVIRT(nn.Module):
    """L = mean_i[λ·ℓ(v→u) + (1−λ)·ℓ(u→v)] (equations 2 to 4), fixed temperature.

    The sentence of each report is drawn by the loop; the non-linear heads are the towers'
    projections (``projection: mlp``).
    """

    class Params(BaseParams):
        """λ and τ of the paper."""

        image_weight: float = Field(default=0.75, ge=0, le=1)
        temperature: float = Field(default=0.1, gt=0)

    aligns_text = True
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.image_weight = params.image_weight
        self.scale = LogitScale(params.temperature, is_learnable=False)

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """One sentence a report in place of the whole text."""
        return frozenset({"sentences"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the weighted terms of both directions."""
        logits_BB = cosine_logits(batch.image_BD, paired_texts(batch), self.scale())
        image_to_text_B, text_to_image_B = matching_losses(logits_BB)
        return Outcome(
            {
                "image_to_text": self.image_weight * image_to_text_B.mean(),
                "text_to_image": (1 - self.image_weight) * text_to_image_B.mean(),
            }
        )

    def matching_targets(self, batch: Batch) -> Tensor:
        """Each image has one positive, its own pair. Shape (B, B)."""
        return own_pairs(batch)


OBJECTIVE = ConVIRT
