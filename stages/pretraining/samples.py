"""One step's inputs of the towers, and how their embeddings become what the objective is given.

Shape suffixes: B images, U texts, M sentences of the batch, N sentences of a report, P patches, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from stages.pretraining.batch import Batch, Regions, SentenceSets

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Samples:
    """Inputs of both towers for one step, and what the objective is told beside embeddings.

    Attributes:
        image_inputs: images as the encoder is shown them.
        text_inputs: each text of the batch once; empty if the objective reads none.
        told: fields of ``Batch``; those of ``SentenceSets`` and ``Regions`` by their own names.
        whole_inputs: the images before patches were hidden; empty where not needed.
        sentence_inputs: every sentence of the texts, M rows; empty where not needed.
    """

    image_inputs: Inputs
    text_inputs: Inputs
    told: Inputs
    whole_inputs: Inputs = field(default_factory=dict)
    sentence_inputs: Inputs = field(default_factory=dict)

    @property
    def texts(self) -> tuple[Inputs, Inputs]:
        """Inputs of the text tower: texts, and sentences."""
        return self.text_inputs, self.sentence_inputs

    def to(self, device: torch.device) -> Samples:
        """Move everything to a device."""
        parts = (self.image_inputs, self.text_inputs, self.told, self.whole_inputs, self.sentence_inputs)
        return Samples(*({name: value.to(device, non_blocking=True) for name, value in part.items()} for part in parts))


@dataclass(frozen=True)
class Embedded:
    """What the towers made of samples.

    Attributes:
        image: image embeddings (B, D), or with those of all patches behind them (B, 1 + P, D).
        text_UD: None for an objective that reads no texts.
        sentence_MD: None where not needed.
        whole_BPD: patches of the images before any was hidden, None where not needed.
    """

    image: Tensor
    text_UD: Tensor | None
    sentence_MD: Tensor | None = None
    whole_BPD: Tensor | None = None


def assemble(samples: Samples, embedded: Embedded, progress: float) -> Batch:
    """Make the batch of embeddings and of what is told beside them."""
    told = dict(samples.told)
    has_patches = embedded.image.dim() == 3
    image_BD = embedded.image[:, 0] if has_patches else embedded.image
    text_UD = image_BD.new_zeros(1, image_BD.shape[1]) if embedded.text_UD is None else embedded.text_UD
    sentences = regions = None
    if embedded.sentence_MD is not None:
        names = ("is_sentence_BN", "is_finding_BN", "meaning_BN")
        sentences = SentenceSets(embedded.sentence_MD[told.pop("sentence_BN")], *(told.pop(name) for name in names))
    if "weight_BRP" in told:
        regions = Regions(*(told.pop(name) for name in ("weight_BRP", "presence_BFR", "is_known_BFR")))
    return Batch(
        image_BD,
        text_UD,
        told["text_index_B"],
        told.get("similarity_UU"),
        told.get("labels_BC"),
        told.get("is_known_BC"),
        told.get("patches_BPS"),
        told.get("is_hidden_BPS"),
        embedded.image[:, 1:] if has_patches else None,
        embedded.whole_BPD,
        sentences,
        regions,
        told.get("token_BL"),
        progress,
    )
