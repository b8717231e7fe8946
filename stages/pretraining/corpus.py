"""Everything that trainings read, loaded once for all seeds, and the batches made of it.

Shape suffixes: B images of the batch, U texts of the batch, S sequences, C labels, X spatial axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stages.pretraining.augmentation import BatchWriter, Draws
from stages.pretraining.batch import Need
from stages.pretraining.image_bank import ImageBank
from stages.pretraining.labels import Labels
from stages.pretraining.masking import PatchMask
from stages.pretraining.pairs import ImageTable
from stages.pretraining.similarity_source import SimilaritySource
from stages.pretraining.texts import TextInputs, TextTable


@dataclass(frozen=True)
class Corpus:
    """What one objective is trained on.

    Attributes:
        images: a row an image.
        bank: voxels of the images, in the same order.
        texts: flips and sentences of the texts.
        text_inputs: what the text tower reads.
        text_view: whole ``text``, a random ``subset`` of its sentences, or one ``sentence``.
        similarity: similarity of texts, where an objective has it.
        labels: labels of the images, where an objective has them.
    """

    images: ImageTable
    bank: ImageBank
    texts: TextTable
    text_inputs: TextInputs
    text_view: str = "text"
    similarity: SimilaritySource | None = None
    labels: Labels | None = None

    @property
    def training_rows(self) -> np.ndarray:
        """Images of the training split that have a text."""
        return self.images.rows_of("train", is_paired=True)

    @property
    def validation_rows(self) -> np.ndarray:
        """Images of the validation split that have a text."""
        return self.images.rows_of("validation", is_paired=True)

    def text_groups(self, rows: np.ndarray) -> np.ndarray:
        """Number the text of each image so that a text and its mirror image share a number."""
        text_ids = self.images.text_ids_N[rows]
        return np.minimum(text_ids, self.texts.flipped_T[text_ids])

    def similarity_quantile(self, level: float) -> float:
        """Quantile of the similarity between different training texts."""
        if self.similarity is None:
            raise ValueError("similarity: none is loaded; name a file in objectives.*.similarity")
        return self.similarity.off_diagonal_quantile(np.unique(self.images.text_ids_N[self.training_rows]), level)

    def patch_mask(self, patch_size: int) -> PatchMask:
        """Lay patches of some voxels over the images."""
        return PatchMask(self.bank.standardiser.find_head(), patch_size, self.bank.is_present_NS.shape[1])

    def missing(self, needs: frozenset[Need]) -> list[Need]:
        """List what an objective needs and this corpus does not offer."""
        offered = {
            "similarity": self.similarity is not None,
            "labels": self.labels is not None,
            "sentences": self.text_view == "sentence",
            "hidden_patches": True,
        }
        return sorted(need for need in needs if not offered[need])


@dataclass(frozen=True)
class Samples:
    """Inputs of both towers for one step, and what the objective is told beside embeddings."""

    image_inputs: dict[str, Tensor]
    text_inputs: dict[str, Tensor]
    told: dict[str, Tensor]

    def to(self, device: torch.device) -> Samples:
        """Move everything to a device."""
        parts = (self.image_inputs, self.text_inputs, self.told)
        return Samples(*({name: value.to(device, non_blocking=True) for name, value in part.items()} for part in parts))


class Collator:
    """Makes the batches of one training; its image buffer is used again at every step."""

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        needs: frozenset[Need],
        *,
        patch_mask: PatchMask | None = None,
        reads_text: bool = True,
    ) -> None:
        self._corpus = corpus
        self._needs = needs
        self._patch_mask = patch_mask
        self._reads_text = reads_text
        self._writer = BatchWriter(corpus.bank, batch_size)

    def collate(self, rows_B: np.ndarray, draws: Draws) -> Samples:
        """Collect images, texts and what the objective needs; a flipped image takes the flipped text."""
        volumes_BSX = self._writer.write(rows_B, draws)
        told = self._patches(volumes_BSX, draws) | self._labels(rows_B)
        text_inputs, told_of_texts = self._texts(rows_B, draws) if self._reads_text else ({}, _no_texts(rows_B))
        images = {
            "volumes_BSX": torch.from_numpy(volumes_BSX),
            "is_present_BS": torch.from_numpy(draws.is_kept_BS),
        }
        return Samples(images, text_inputs, told | told_of_texts)

    def _texts(self, rows_B: np.ndarray, draws: Draws) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        corpus = self._corpus
        text_ids_B = corpus.images.text_ids_N[rows_B]
        text_ids_B = np.where(draws.is_flipped_B, corpus.texts.flipped_T[text_ids_B], text_ids_B)
        text_ids_U, first_U, index_B = np.unique(text_ids_B, return_index=True, return_inverse=True)
        if corpus.text_view == "sentence":
            text_ids_U, index_B = text_ids_B, np.arange(len(rows_B))
            text_inputs = corpus.text_inputs.take("sentence", corpus.texts.draw_sentences(text_ids_B, draws.sentence_B))
        elif corpus.text_view == "subset":
            text_inputs = corpus.text_inputs.join(corpus.texts.draw_subsets(text_ids_U, draws.sentence_B[first_U]))
        else:
            text_inputs = corpus.text_inputs.take("text", text_ids_U)
        told = {"text_index_B": torch.from_numpy(index_B)}
        if "similarity" in self._needs and corpus.similarity is not None:
            told["similarity_UU"] = torch.from_numpy(corpus.similarity.block(text_ids_U))
        return text_inputs, told

    def _labels(self, rows_B: np.ndarray) -> dict[str, Tensor]:
        labels = self._corpus.labels
        if "labels" not in self._needs or labels is None:
            return {}
        return {
            "labels_BC": torch.from_numpy(labels.values_NC[rows_B]),
            "is_known_BC": torch.from_numpy(labels.is_known_NC[rows_B]),
        }

    def _patches(self, volumes_BSX: np.ndarray, draws: Draws) -> dict[str, Tensor]:
        """Hide patches in place; what they were is told."""
        if "hidden_patches" not in self._needs or self._patch_mask is None:
            return {}
        patches_BPS = np.ascontiguousarray(self._patch_mask.average(volumes_BSX))
        is_hidden_BPS = self._patch_mask.hide(volumes_BSX, draws.is_kept_BS, draws.hidden_B)
        return {"patches_BPS": torch.from_numpy(patches_BPS), "is_hidden_BPS": torch.from_numpy(is_hidden_BPS)}


def _no_texts(rows_B: np.ndarray) -> dict[str, Tensor]:
    """Every image refers to the one empty text of an objective that reads none."""
    return {"text_index_B": torch.zeros(len(rows_B), dtype=torch.int64)}
