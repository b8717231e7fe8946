"""Image-only reference: what was hidden of an image is to be told from the embedding of the rest.

Masked image modelling (He et al., arXiv 2111.06377; Xie et al., arXiv 2111.09886) through the image
embedding, so that it trains what evaluations use and asks of an encoder no more than every other
objective does: the mean intensity of each hidden patch in each sequence is predicted.
"""

from __future__ import annotations

from pydantic import Field
from torch import autocast, nn

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import Outcome, counted_mean


class MaskedImage(nn.Module):
    """Mean squared error over the hidden patches of the head, in deviations from the usual."""

    class Params(BaseParams):
        """Size of the decoder.

        Attributes:
            hidden_width: width of its one hidden layer.
        """

        hidden_width: int = Field(default=256, ge=1)

    aligns_text = False
    label_head = None

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.patches_shape = facts.patches_shape
        num_outputs = facts.patches_shape[0] * facts.patches_shape[1]
        self.decoder = nn.Sequential(
            nn.Linear(facts.embedding_dim, params.hidden_width), nn.GELU(), nn.Linear(params.hidden_width, num_outputs)
        )

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Patches, some of them hidden from the encoder."""
        return frozenset({"hidden_patches"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the mean squared error of the hidden patches.

        Raises:
            ValueError: if no patches were hidden.
        """
        if batch.patches_BPS is None or batch.is_hidden_BPS is None:
            raise ValueError("hidden patches: expected tensors, got None; the loop hides them for who needs them")
        with autocast(batch.image_BD.device.type, enabled=False):
            told_BPS = self.decoder(batch.image_BD.float()).unflatten(1, self.patches_shape)
            return Outcome({"hidden_patches": counted_mean((told_BPS - batch.patches_BPS) ** 2, batch.is_hidden_BPS)})

    def matching_targets(self, batch: Batch) -> None:
        """No image is matched with a text."""


OBJECTIVE = MaskedImage
