"""What every objective is given and gives back, and the pieces that they share.

Shape suffixes: B images of the batch, U texts of the batch, D embedding, C labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams

Need = Literal["similarity", "labels", "sentences"]

MAX_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class Batch:
    """Embeddings of one step and what is known about them.

    Attributes:
        image_BD: image embeddings, not normalised.
        text_UD: text embeddings, not normalised; each text of the batch once.
        text_index_B: row of ``text_UD`` that describes each image.
        similarity_UU: report similarity in [0, 1], symmetric, diagonal 1; None where not needed.
        labels_BC: 1 present, 0 absent, arbitrary where unknown; None where not needed.
        is_known_BC: which labels are known.
    """

    image_BD: Tensor
    text_UD: Tensor
    text_index_B: Tensor
    similarity_UU: Tensor | None = None
    labels_BC: Tensor | None = None
    is_known_BC: Tensor | None = None

    def __post_init__(self) -> None:
        """Refuse shapes that do not belong together.

        Raises:
            ValueError: naming what was expected and what arrived.
        """
        num_images, num_texts = len(self.image_BD), len(self.text_UD)
        _expect("image and text embeddings", self.text_UD.shape[1:], self.image_BD.shape[1:])
        _expect("text index", self.text_index_B.shape, (num_images,))
        if self.similarity_UU is not None:
            _expect("similarity", self.similarity_UU.shape, (num_texts, num_texts))
        if self.labels_BC is not None:
            _expect("labels", self.labels_BC.shape[:1], (num_images,))
            _expect("known labels", None if self.is_known_BC is None else self.is_known_BC.shape, self.labels_BC.shape)


@dataclass(frozen=True)
class Facts:
    """What an objective may know of the training data before the first step.

    Attributes:
        embedding_dim: D.
        num_labels: C, 0 without labels.
        similarity_quantile: quantile of off-diagonal similarity over the training texts, by level.
    """

    embedding_dim: int
    num_labels: int = 0
    similarity_quantile: Callable[[float], float] | None = None


@dataclass(frozen=True)
class Outcome:
    """Named terms whose sum is the loss, and figures that are only logged (detached)."""

    losses: dict[str, Tensor]
    logged: dict[str, Tensor] = field(default_factory=dict)

    @property
    def loss(self) -> Tensor:
        """Sum of the terms."""
        return torch.stack(list(self.losses.values())).sum()


class Objective(Protocol):
    """One way to train both towers; a ``torch.nn.Module`` whose parameters the optimiser trains.

    Attributes:
        Params: the objective's parameters.
        aligns_text: whether it trains the text tower to share the space of the images.
        label_head: from image embeddings to one score a label, exported with the encoders.
    """

    Params: ClassVar[type[BaseParams]]
    aligns_text: ClassVar[bool]
    label_head: nn.Linear | None

    def __init__(self, params: Any, facts: Facts) -> None: ...

    @staticmethod
    def needs(params: Any) -> frozenset[Need]:
        """Say what the batches must hold beyond embeddings."""
        ...

    def __call__(self, batch: Batch) -> Outcome:
        """Judge one batch."""
        ...


class LogitScale(nn.Module):
    """Inverse temperature, exp of a learnable number, at most 100."""

    def __init__(self, temperature: float, *, is_learnable: bool = True) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)), requires_grad=is_learnable)

    def forward(self) -> Tensor:
        """Return the scale, a scalar."""
        return self.log_scale.exp().clamp(max=MAX_LOGIT_SCALE)


def cosine_logits(image_BD: Tensor, text_UD: Tensor, scale: Tensor) -> Tensor:
    """Scaled cosines of images and texts, in float32 whatever the precision of the encoders. Shape (B, U)."""
    with torch.autocast(image_BD.device.type, enabled=False):
        image = functional.normalize(image_BD.float(), dim=-1)
        text = functional.normalize(text_UD.float(), dim=-1)
        return scale.float() * image @ text.T


def paired_texts(batch: Batch) -> Tensor:
    """Text embedding of each image, repeated where images share a text. Shape (B, D)."""
    return batch.text_UD[batch.text_index_B]


def matching_losses(logits_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image against its own text, and of each text against its own image. Shapes (B,)."""
    own = torch.arange(len(logits_BB), device=logits_BB.device)
    return (
        functional.cross_entropy(logits_BB, own, reduction="none"),
        functional.cross_entropy(logits_BB.T, own, reduction="none"),
    )


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each row of logits against its row of target probabilities. Shape (rows,)."""
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1)


def entropy(targets: Tensor) -> Tensor:
    """Entropy in nats of each row of probabilities. Shape (rows,)."""
    return torch.special.entr(targets).sum(dim=-1)


def _expect(what: str, got: Sequence[int] | None, expected: Sequence[int]) -> None:
    if got is None or tuple(got) != tuple(expected):
        shown = None if got is None else tuple(got)
        raise ValueError(f"{what}: expected shape {tuple(expected)}, got {shown}; every row needs its partner")
