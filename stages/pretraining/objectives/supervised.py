"""Supervised reference: the image tower trained on labels. With labels from truth it is the ceiling of the tables."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import Outcome


class Supervised(nn.Module):
    """Binary cross-entropy of every known label, averaged over them; unknown labels are masked."""

    class Params(BaseParams):
        """No parameters."""

    aligns_text = False
    label_head: nn.Linear

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.label_head = nn.Linear(facts.embedding_dim, facts.num_labels)

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Labels."""
        return frozenset({"labels"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the mean loss over the known labels of the batch.

        Raises:
            ValueError: if the batch holds no labels.
        """
        if batch.labels_BC is None or batch.is_known_BC is None:
            raise ValueError("labels: expected a tensor, got None; name a table in objectives.*.labels")
        with torch.autocast(batch.image_BD.device.type, enabled=False):
            scores_BC = self.label_head(batch.image_BD.float())
            return Outcome({"labels": _masked_mean(scores_BC, batch.labels_BC, batch.is_known_BC)})

    def matching_targets(self, batch: Batch) -> None:
        """No image is matched with a text."""


def _masked_mean(scores_BC: Tensor, labels_BC: Tensor, is_known_BC: Tensor) -> Tensor:
    loss_BC = functional.binary_cross_entropy_with_logits(scores_BC, labels_BC.float(), reduction="none")
    is_known_BC = is_known_BC.float()
    return (loss_BC * is_known_BC).sum() / is_known_BC.sum().clamp(min=1)


OBJECTIVE = Supervised
