"""Thresholded positives: every text more similar than a threshold is as good a match as the own one.

The hard counterpart of SeLIP's soft targets, as in supervised contrastive learning (Khosla et al.,
arXiv 2004.11362) with similarity in place of classes. Shape suffixes: B images, U unique texts.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    matching_loss,
    required,
    targets_of_pairs,
)


class Thresholded(nn.Module):
    """L = ½[mean_i CE(Z_i, T_i) + Σ_u (n_u/B)·CE(Zᵀ_u, R_u)], targets uniform over a text's positives."""

    class Params(BaseParams):
        """Values of the formulas.

        Attributes:
            threshold: similarity from which a text is a positive.
            temperature: at the start.
            is_temperature_learnable: whether the temperature is learned.
        """

        threshold: float = Field(default=0.8, gt=0, le=1)
        temperature: float = Field(default=0.07, gt=0)
        is_temperature_learnable: bool = True

    aligns_text = True
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.threshold = params.threshold
        self.scale = LogitScale(params.temperature, is_learnable=params.is_temperature_learnable)

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Similarity."""
        return frozenset({"similarity"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the loss terms of both directions, and how soft the targets are."""
        return matching_loss(batch, self._blend(batch), self.scale())

    def matching_targets(self, batch: Batch) -> Tensor:
        """The positives share the target equally. Shape (B, B)."""
        return targets_of_pairs(self._blend(batch), batch.text_index_B)

    def _blend(self, batch: Batch) -> Tensor:
        positive_UU = (required(batch.similarity_UU) >= self.threshold).float().fill_diagonal_(1)
        return positive_UU / positive_UU.sum(dim=1, keepdim=True)


OBJECTIVE = Thresholded
