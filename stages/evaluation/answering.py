"""An answering head on a frozen image encoder: a question attends over patches and picks an answer.

Shape suffixes: B questions of a batch, N studies, P patches, D embedding, E width of the sentence encoder,
H heads, W width of the head, A answers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.evaluation.grounding_maps import read_images
from stages.evaluation.questions import Studies
from stages.pretraining.image_bank import ImageBank

# A dimension that varies less is taken for constant.
_MIN_DEVIATION = 1e-6


@dataclass(frozen=True)
class StudyEmbeddings:
    """What a frozen encoder makes of studies; several images of one are averaged.

    Attributes:
        patch_NPD: patch embeddings, float16.
        image_ND: image embeddings.
    """

    patch_NPD: Tensor
    image_ND: Tensor

    def standardise(self, training_rows: np.ndarray) -> None:
        """Bring every dimension to mean 0 and deviation 1 over some studies, in place, whatever an encoder's scale."""
        for values in (self.patch_NPD, self.image_ND):
            mean_D, deviation_D = _moments(values, training_rows)
            for row in range(len(values)):
                values[row] = (values[row].float() - mean_D) / deviation_D

    def blind(self) -> StudyEmbeddings:
        """Zeros in the place of every image."""
        return StudyEmbeddings(torch.zeros_like(self.patch_NPD), torch.zeros_like(self.image_ND))


@torch.no_grad()
def embed_studies(encoder: nn.Module, bank: ImageBank, studies: Studies, batch_size: int) -> StudyEmbeddings:
    """Embed studies and their patches once, in the order of ``studies``.

    Args:
        encoder: exported image encoder.
        bank: its images, which ``studies.rows`` number.
        studies: to be embedded.
        batch_size: images at a time.
    """
    device = next(encoder.parameters()).device
    rows = [row for own in studies.rows for row in own]
    study_of_row = torch.tensor([study for study, own in enumerate(studies.rows) for _ in own])
    share_of_row = torch.tensor([1 / len(own) for own in studies.rows for _ in own])
    patch_NPD = image_ND = torch.empty(0)
    for first in range(0, len(rows), batch_size):
        here = slice(first, first + batch_size)
        inputs = [part.to(device) for part in read_images(bank, rows[here])]
        patch_BPD = encoder.encode_patches(*inputs).float().cpu()  # type: ignore[operator]
        image_BD = encoder(*inputs).float().cpu()
        if not first:
            patch_NPD = torch.zeros(len(studies.rows), *patch_BPD.shape[1:], dtype=torch.float16)
            image_ND = torch.zeros(len(studies.rows), image_BD.shape[1])
        share_B = share_of_row[here]
        patch_NPD.index_add_(0, study_of_row[here], (patch_BPD * share_B[:, None, None]).half())
        image_ND.index_add_(0, study_of_row[here], image_BD * share_B[:, None])
    return StudyEmbeddings(patch_NPD, image_ND)


class AnsweringHead(nn.Module):
    """Attention of a question over patches and the whole image, then a choice among its answers."""

    def __init__(
        self, *, question_dim: int, embedding_dim: int, num_patches: int, num_answers: int, width: int, num_heads: int
    ) -> None:
        """Draw the head.

        Args:
            question_dim: E.
            embedding_dim: D.
            num_patches: P; every patch has a place of its own, as an encoder need not tell where it lies.
            num_answers: A.
            width: W.
            num_heads: H, of the attention.
        """
        super().__init__()
        self._num_heads = num_heads
        self.question = nn.Linear(question_dim, width)
        self.sought = nn.Linear(width, num_heads * embedding_dim, bias=False)
        self.sought_place = nn.Linear(width, num_heads * width, bias=False)
        self.position = nn.Parameter(torch.randn(num_patches, width) / math.sqrt(width))
        self.found = nn.Linear(num_heads * embedding_dim, width)
        self.found_place = nn.Linear(num_heads * width, width, bias=False)
        self.image = nn.Linear(embedding_dim, width)
        self.answer = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, num_answers))

    def forward(self, question_BE: Tensor, patch_BPD: Tensor, image_BD: Tensor, is_answer_BA: Tensor) -> Tensor:
        """Score answers.

        Args:
            question_BE: sentence embeddings.
            patch_BPD: standardised patch embeddings.
            image_BD: standardised image embeddings.
            is_answer_BA: answers that each question can have.

        Returns:
            Logits, minus infinity where a question cannot have the answer. Shape (B, A).
        """
        question_BW = functional.gelu(self.question(question_BE))
        sought_BHD = self.sought(question_BW).unflatten(1, (self._num_heads, -1))
        place_BHW = self.sought_place(question_BW).unflatten(1, (self._num_heads, -1))
        scores_BHP = (patch_BPD @ sought_BHD.transpose(1, 2)).transpose(1, 2) / math.sqrt(patch_BPD.shape[2])
        attention_BHP = (scores_BHP + place_BHW @ self.position.T).softmax(dim=-1)
        found_BW = self.found((attention_BHP @ patch_BPD).flatten(1))
        found_BW = found_BW + self.found_place((attention_BHP @ self.position).flatten(1))
        image_BW = self.image(image_BD)
        parts_BW = [question_BW, functional.gelu(found_BW) * question_BW, functional.gelu(image_BW) * question_BW]
        logits_BA = self.answer(torch.cat(parts_BW, dim=1))
        return logits_BA.masked_fill(~is_answer_BA, -torch.inf)


def _moments(values: Tensor, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the last dimension over some rows, study by study; a deviation of 0 becomes 1."""
    total_D = square_D = torch.zeros(values.shape[-1], dtype=torch.float64)
    for row in rows:
        own_MD = values[row].reshape(-1, values.shape[-1]).double()
        total_D, square_D = total_D + own_MD.sum(dim=0), square_D + own_MD.square().sum(dim=0)
    num_values = len(rows) * values[0].numel() // values.shape[-1]
    mean_D = total_D / num_values
    deviation_D = (square_D / num_values - mean_D.square()).clamp(min=0).sqrt()
    return mean_D.float(), torch.where(deviation_D > _MIN_DEVIATION, deviation_D, 1.0).float()
