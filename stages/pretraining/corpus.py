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
from stages.pretraining.knowledge_source import KnowledgeSource
from stages.pretraining.labels import Labels
from stages.pretraining.masking import PatchMask
from stages.pretraining.pairs import ImageTable
from stages.pretraining.samples import Samples
from stages.pretraining.sentence_sets import SentenceTable
from stages.pretraining.similarity_source import SimilaritySource
from stages.pretraining.texts import TextInputs, TextTable
from stages.pretraining.vocabulary import Vocabulary


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
        sentences: what the sentences of every text state, where an objective needs them.
        knowledge: regions of the atlas and what reports say of them, where an objective has them.
        vocabulary: words of the training texts, where an objective writes reports.
        token_TL: every text in numbers of the vocabulary.
    """

    images: ImageTable
    bank: ImageBank
    texts: TextTable
    text_inputs: TextInputs
    text_view: str = "text"
    similarity: SimilaritySource | None = None
    labels: Labels | None = None
    sentences: SentenceTable | None = None
    knowledge: KnowledgeSource | None = None
    vocabulary: Vocabulary | None = None
    token_TL: np.ndarray | None = None

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

    def patch_mask(self, patch_size: int, hidden_share: float) -> PatchMask:
        """Lay patches of some voxels over the images, a share of which is hidden at every step."""
        head_X, num_sequences = self.bank.standardiser.find_head(), self.bank.is_present_NS.shape[1]
        return PatchMask(head_X, patch_size, num_sequences, hidden_share)

    def missing(self, needs: frozenset[Need]) -> list[Need]:
        """List what an objective needs and this corpus does not offer."""
        offered = {
            "similarity": self.similarity is not None,
            "labels": self.labels is not None,
            "sentences": self.text_view == "sentence",
            "sentence_sets": self.sentences is not None,
            "regions": self.knowledge is not None,
            "tokens": self.token_TL is not None,
        }
        return sorted(need for need in needs if not offered.get(need, True))


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
        is_present_BS = torch.from_numpy(draws.is_kept_BS)
        whole = {}
        if "whole_patches" in self._needs:
            # Copied: patches are hidden in the writer's own buffer.
            whole = {"volumes_BSX": torch.from_numpy(volumes_BSX.copy()), "is_present_BS": is_present_BS}
        told = self._patches(volumes_BSX, draws) | self._labels(rows_B)
        text_inputs, told_of_texts = self._texts(rows_B, draws) if self._reads_text else ({}, _no_texts(rows_B))
        sentence_inputs, told_of_sentences = self._sentences(rows_B, draws)
        images = {"volumes_BSX": torch.from_numpy(volumes_BSX), "is_present_BS": is_present_BS}
        told |= told_of_texts | told_of_sentences | self._knowledge(rows_B, draws)
        return Samples(images, text_inputs, told, whole, sentence_inputs)

    def _texts(self, rows_B: np.ndarray, draws: Draws) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        corpus = self._corpus
        text_ids_B = self._text_ids(rows_B, draws)
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

    def _text_ids(self, rows_B: np.ndarray, draws: Draws) -> np.ndarray:
        text_ids_B = self._corpus.images.text_ids_N[rows_B]
        return np.where(draws.is_flipped_B, self._corpus.texts.flipped_T[text_ids_B], text_ids_B)

    def _sentences(self, rows_B: np.ndarray, draws: Draws) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Every sentence of the batch once to be embedded, and which of them each report has."""
        corpus = self._corpus
        if "sentence_sets" not in self._needs or corpus.sentences is None:
            return {}, {}
        sets = corpus.sentences.gather(self._text_ids(rows_B, draws))
        rows_M, index_BN = np.unique(sets["rows"], return_inverse=True)
        told = {
            "sentence_BN": torch.from_numpy(index_BN.reshape(sets["rows"].shape)),
            "is_sentence_BN": torch.from_numpy(sets["is_sentence"]),
            "is_finding_BN": torch.from_numpy(sets["is_finding"]),
            "meaning_BN": torch.from_numpy(sets["meaning"]),
        }
        return corpus.text_inputs.take("sentence", rows_M), told

    def _knowledge(self, rows_B: np.ndarray, draws: Draws) -> dict[str, Tensor]:
        """Regions, and the words of the reports."""
        corpus, told = self._corpus, {}
        if "regions" in self._needs and corpus.knowledge is not None:
            told = corpus.knowledge.take(rows_B, draws.is_flipped_B)
        if "tokens" in self._needs and corpus.token_TL is not None:
            told["token_BL"] = torch.from_numpy(corpus.token_TL[self._text_ids(rows_B, draws)])
        return told

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
