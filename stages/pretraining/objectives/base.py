"""What every objective is given and gives back, and the pieces that they share.

Shape suffixes: B images of the batch, U texts of the batch, D embedding, C labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need

MAX_LOGIT_SCALE = 100.0


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

    def matching_targets(self, batch: Batch) -> Tensor | None:
        """Share of each image's matching target on the text of each image of the batch.

        A share of 0 makes the pair a negative, and the objective pushes it apart. Shape (B, B), rows
        sum to 1; None where images are not matched with texts.
        """
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


def own_pairs(batch: Batch) -> Tensor:
    """Matching targets of an image that has one positive, its own pair. Shape (B, B)."""
    return torch.eye(len(batch.image_BD), device=batch.image_BD.device)


def matching_losses(logits_BB: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each image against its own text, and of each text against its own image. Shapes (B,)."""
    own = torch.arange(len(logits_BB), device=logits_BB.device)
    return (
        functional.cross_entropy(logits_BB, own, reduction="none"),
        functional.cross_entropy(logits_BB.T, own, reduction="none"),
    )


def contrast_losses(logits_BB: Tensor) -> dict[str, Tensor]:
    """Terms of CLIP by name, ½CE(Z, I) and ½CE(Zᵀ, I), means over the batch. Scalars."""
    image_to_text_B, text_to_image_B = matching_losses(logits_BB)
    return {"image_to_text": image_to_text_B.mean() / 2, "text_to_image": text_to_image_B.mean() / 2}


def label_loss(label_head: nn.Linear, batch: Batch) -> Tensor:
    """Binary cross-entropy of every known label of the images, averaged over them; unknown ones are masked.

    Raises:
        ValueError: if the batch holds no labels.
    """
    if batch.labels_BC is None or batch.is_known_BC is None:
        raise ValueError("labels: expected a tensor, got None; name a table in objectives.*.labels")
    with torch.autocast(batch.image_BD.device.type, enabled=False):
        scores_BC = label_head(batch.image_BD.float())
        losses_BC = functional.binary_cross_entropy_with_logits(scores_BC, batch.labels_BC.float(), reduction="none")
        return counted_mean(losses_BC, batch.is_known_BC)


def counted_mean(values: Tensor, is_counted: Tensor) -> Tensor:
    """Mean of the values that count, 0 where none does. Scalar."""
    weights = is_counted.float()
    return (values * weights).sum() / weights.sum().clamp(min=1)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each row of logits against its row of target probabilities. Shape (rows,)."""
    return -(targets * logits.log_softmax(dim=-1)).sum(dim=-1)


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


def matching_loss(batch: Batch, blend_UU: Tensor, scale: Tensor) -> Outcome:
    """Soft matching of images with unique texts, L = ½[mean_i CE(Z_i, T_i) + Σ_u (n_u/B)·CE(Zᵀ_u, R_u)].

    Args:
        batch: whose scaled cosines are Z.
        blend_UU: A, mass that each text gives to every text; rows sum to 1.
        scale: of the cosines.

    Returns:
        The terms of both directions, and how soft their targets are.
    """
    text_index_B = batch.text_index_B
    logits_BU = cosine_logits(batch.image_BD, batch.text_UD, scale)
    count_U = torch.bincount(text_index_B, minlength=len(blend_UU)).float()
    share_U = count_U / len(text_index_B)
    image_targets_BU, text_targets_UB = soft_targets(blend_UU, text_index_B, count_U)
    image_to_text = soft_cross_entropy(logits_BU, image_targets_BU).mean() / 2
    text_to_image = (share_U * soft_cross_entropy(logits_BU.T, text_targets_UB)).sum() / 2
    target_entropy = (entropy(image_targets_BU).mean() + (share_U * entropy(text_targets_UB)).sum()) / 2
    logged = {
        "logit_scale": scale.detach(),
        "excess": (image_to_text + text_to_image - target_entropy).detach(),
        "effective_targets": entropy(image_targets_BU).mean().exp(),
        "own_mass": (share_U * blend_UU.diagonal()).sum(),
    }
    return Outcome({"image_to_text": image_to_text, "text_to_image": text_to_image}, logged)


def targets_of_pairs(blend_UU: Tensor, text_index_B: Tensor) -> Tensor:
    """Share of each image's target on the text of each image, where equal texts share theirs. Shape (B, B)."""
    count_U = torch.bincount(text_index_B, minlength=len(blend_UU)).float()
    return soft_targets(blend_UU, text_index_B, count_U)[1][text_index_B]


def entropy(targets: Tensor) -> Tensor:
    """Entropy in nats of each row of probabilities. Shape (rows,)."""
    return torch.special.entr(targets).sum(dim=-1)


def required(similarity_UU: Tensor | None) -> Tensor:
    """Return the similarity of a batch.

    Raises:
        ValueError: if the batch has none.
    """
    if similarity_UU is None:
        raise ValueError("similarity: expected a tensor, got None; name a file in objectives.*.similarity")
    return similarity_UU


def required_quantile(facts: Facts, level: float, method: str) -> float:
    """Quantile of the similarity between different training texts.

    Raises:
        ValueError: if the training has no similarity.
    """
    if facts.similarity_quantile is None:
        raise ValueError(f"similarity: expected one for {method}, got none; name a file in objectives.*.similarity")
    return facts.similarity_quantile(level)
