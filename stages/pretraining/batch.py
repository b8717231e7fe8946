"""What a step of training tells an objective, and what it may know beforehand.

Shape suffixes: B images of the batch, U texts of the batch, D embedding, C labels, P patches, S sequences,
N sentences of a report, R regions, F findings, E width of the sentence encoder, L tokens of a report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Need = Literal[
    "similarity",
    "labels",
    "sentences",  # one sentence stands for a report
    "hidden_patches",
    "patches",
    "whole_patches",
    "sentence_sets",
    "regions",
    "tokens",
]


@dataclass(frozen=True)
class SentenceSets:
    """All sentences of each report, padded.

    Attributes:
        embedding_BND: text embeddings, not normalised; arbitrary in padding.
        is_sentence_BN: which are sentences, false in padding.
        is_finding_BN: which state a finding as present or uncertain, neither negated nor normal.
        meaning_BN: number of what a sentence states, sides included; equal for sentences that state the
            same, -1 where nothing is stated.
    """

    embedding_BND: Tensor
    is_sentence_BN: Tensor
    is_finding_BN: Tensor
    meaning_BN: Tensor


@dataclass(frozen=True)
class Regions:
    """Where regions of the atlas lie in each image, and what its report says of each finding there.

    Attributes:
        weight_BRP: share of each patch that lies in each region, in [0, 1]; all 0 for a region outside
            the image and for an image that could not be registered.
        presence_BFR: 1 present, 0 absent, arbitrary where the report does not say.
        is_known_BFR: which the report says; uncertain findings are not known.
    """

    weight_BRP: Tensor
    presence_BFR: Tensor
    is_known_BFR: Tensor


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
        patches_BPS: mean standardised intensity of every patch in every sequence, before any was hidden.
        is_hidden_BPS: which of them the image encoder was not shown.
        patch_BPD: patch embeddings of the images as the encoder was shown them, not normalised.
        whole_patch_BPD: patch embeddings of the images before patches were hidden, without a gradient.
        sentences: the sentences of each report.
        regions: regions of the atlas and what reports say of them.
        token_BL: words of each report as numbers of the vocabulary: 1, the words, 2, then 0 as padding.
        progress: share of the training that has passed, in [0, 1]; 1 where nothing is trained.
    """

    image_BD: Tensor
    text_UD: Tensor
    text_index_B: Tensor
    similarity_UU: Tensor | None = None
    labels_BC: Tensor | None = None
    is_known_BC: Tensor | None = None
    patches_BPS: Tensor | None = None
    is_hidden_BPS: Tensor | None = None
    patch_BPD: Tensor | None = None
    whole_patch_BPD: Tensor | None = None
    sentences: SentenceSets | None = None
    regions: Regions | None = None
    token_BL: Tensor | None = None
    progress: float = 1.0

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
            _expect("known labels", _shape(self.is_known_BC), self.labels_BC.shape)
        if self.patches_BPS is not None:
            _expect("patches", self.patches_BPS.shape[:1], (num_images,))
            _expect("hidden patches", _shape(self.is_hidden_BPS), self.patches_BPS.shape)
        if self.patch_BPD is not None:
            num_patches, width = self.patch_BPD.shape[1], self.image_BD.shape[1]
            _expect("patch embeddings", self.patch_BPD.shape, (num_images, num_patches, width))
            if self.regions is not None:
                _expect("region weights", self.regions.weight_BRP.shape[::2], (num_images, num_patches))
        if self.whole_patch_BPD is not None:
            _expect("whole patch embeddings", self.whole_patch_BPD.shape, _shape(self.patch_BPD) or ())
        if self.sentences is not None:
            _expect("sentences", self.sentences.embedding_BND.shape[::2], (num_images, self.image_BD.shape[1]))
        if self.token_BL is not None:
            _expect("tokens", self.token_BL.shape[:1], (num_images,))


@dataclass(frozen=True)
class Facts:
    """What an objective may know of the training data before the first step.

    Attributes:
        embedding_dim: D.
        num_labels: C, 0 without labels.
        similarity_quantile: quantile of off-diagonal similarity over the training texts, by level.
        patches_shape: P and S of ``Batch.patches_BPS``.
        is_head_P: patches that lie in the head.
        regions: names of the regions, a site code and a side each, in the order of R.
        findings: finding codes, in the order of F.
        definition_FE: frozen sentence embedding of each finding's definition in the lexicon.
        name_FE: likewise of its bare name.
        vocabulary_size: numbers that ``Batch.token_BL`` may hold.
        max_tokens: largest L of ``Batch.token_BL``.
    """

    embedding_dim: int
    num_labels: int = 0
    similarity_quantile: Callable[[float], float] | None = None
    patches_shape: tuple[int, int] = (0, 0)
    is_head_P: Tensor | None = None
    regions: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()
    definition_FE: Tensor | None = None
    name_FE: Tensor | None = None
    vocabulary_size: int = 0
    max_tokens: int = 0


def _shape(tensor: Tensor | None) -> Sequence[int] | None:
    return None if tensor is None else tensor.shape


def _expect(what: str, got: Sequence[int] | None, expected: Sequence[int]) -> None:
    if got is None or tuple(got) != tuple(expected):
        shown = None if got is None else tuple(got)
        raise ValueError(f"{what}: expected shape {tuple(expected)}, got {shown}; every row needs its partner")
