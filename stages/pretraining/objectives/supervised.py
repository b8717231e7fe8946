"""Supervised reference: the image tower trained on labels. With labels from truth it is the ceiling of the tables."""

from __future__ import annotations

from torch import nn

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.objectives.base import Outcome, label_loss


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
        return Outcome({"labels": label_loss(self.label_head, batch)})

    def matching_targets(self, batch: Batch) -> None:
        """No image is matched with a text."""


OBJECTIVE = Supervised
