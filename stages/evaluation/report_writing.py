"""One decoder that writes reports for all methods, and what leads to it from the images of each.

The decoder learns from training reports alone to write a report from its embedding, to which noise is added,
so that it reads embeddings that are near the right one (CapDec, arXiv 2211.00575). What a method adds is its
image embedding: a ridge regression makes the embedding of a report of it, which is then drawn to those of
the training reports (DeCap, arXiv 2303.03032). So all methods share every weight of the decoder.

Shape suffixes: N images, B images of a batch, S sequences, D embedding, E width of the sentence encoder,
L tokens of a text; X stands for the spatial axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.evaluation.grounding_maps import Shown
from stages.imaging.region_store import RegionStore
from stages.params import Params
from stages.pretraining.optimisation import OptimiserParams, build_optimiser, learning_rate
from stages.pretraining.own_heads import OwnHeads
from stages.pretraining.report_decoder import ReportDecoder, language_loss
from stages.pretraining.towers import seeded
from stages.pretraining.vocabulary import PADDING, Vocabulary

_DECODER_STREAM, _ORDER_STREAM, _NOISE_STREAM = 51, 52, 53
_LEAST_DEVIATION = 1e-6


class DecoderParams(Params):
    """Section ``train_report_decoder``: the decoder that every method is given, and its training.

    Attributes:
        max_tokens: longest text, in words; longer reports are cut off for training, never for scoring.
        min_count: words that training reports hold less often are unknown.
        width: of the decoder.
        depth: its blocks.
        num_heads: attention heads of a block.
        noise: deviation of what is added to the embedding of a report, over that of the embeddings.
        updates: optimiser steps.
        batch_size: reports of a step; all there are if fewer.
        optimiser: AdamW and its schedule.
        seed: of the initial weights, the order of the reports and the noise.
        num_threads: CPU threads; fixed, since sums depend on their order.
    """

    max_tokens: int = Field(ge=4)
    min_count: int = Field(ge=1)
    width: int = Field(ge=1)
    depth: int = Field(ge=1)
    num_heads: int = Field(ge=1)
    noise: float = Field(ge=0)
    updates: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    optimiser: OptimiserParams
    seed: int = Field(ge=0)
    num_threads: int = Field(ge=1)


class Writer(Protocol):
    """What writes a report about an image, in words of its own vocabulary."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What its tokens mean."""
        ...

    def __call__(self, images: Shown) -> Tensor:
        """Write reports.

        Args:
            images: what they are about.

        Returns:
            Tokens: 1, the words, 2, then 0. Shape (B, L).
        """
        ...


@dataclass(frozen=True)
class ReportMap:
    """From image embeddings to embeddings of reports.

    Attributes:
        mean_D: of the image embeddings of training.
        deviation_D: likewise.
        weight_DE: of a ridge regression on embeddings of mean 0 and deviation 1.
        support_NE: embeddings of the training reports.
        temperature: of the similarity to those.
    """

    mean_D: Tensor
    deviation_D: Tensor
    weight_DE: Tensor
    support_NE: Tensor
    temperature: float

    @classmethod
    def fit(cls, image_ND: Tensor, report_NE: Tensor, penalty: float, temperature: float) -> ReportMap:
        """Fit the map on training images.

        Args:
            image_ND: image embeddings.
            report_NE: embedding of the report of each, mean 0.
            penalty: of the weights; what suits does not depend on the number of images.
            temperature: of the similarity to training reports.
        """
        deviation_D, mean_D = torch.std_mean(image_ND.double(), dim=0, correction=0)
        deviation_D = deviation_D.clamp_min(_LEAST_DEVIATION)
        unit_ND = (image_ND - mean_D) / deviation_D
        ridge_DD = unit_ND.T @ unit_ND / len(unit_ND) + penalty * torch.eye(unit_ND.shape[1], dtype=unit_ND.dtype)
        weight_DE = torch.linalg.solve(ridge_DD, unit_ND.T @ report_NE.double() / len(unit_ND))
        return cls(mean_D.float(), deviation_D.float(), weight_DE.float(), report_NE, temperature)

    def __call__(self, image_BD: Tensor) -> Tensor:
        """Embeddings of the reports that images call for: means of training reports, by similarity. Shape (B, E)."""
        report_BE = (image_BD - self.mean_D) / self.deviation_D @ self.weight_DE
        cosine_BN = functional.normalize(report_BE, dim=-1) @ functional.normalize(self.support_NE, dim=-1).T
        return (cosine_BN / self.temperature).softmax(dim=-1) @ self.support_NE


@dataclass(frozen=True)
class SharedWriter:
    """The decoder that all methods share, on the frozen encoder of one of them."""

    encoder: nn.Module
    to_report: ReportMap
    decoder: ReportDecoder
    vocabulary: Vocabulary

    @torch.inference_mode()
    def __call__(self, images: Shown) -> Tensor:
        """Write reports. Shape (B, L)."""
        report_BE = self.to_report(self.encoder(images.volumes_BSX, images.is_present_BS).float())
        return self.decoder.generate(report_BE[:, None])


class OwnWriter:
    """The decoder that an objective trained itself, on its memory of regions."""

    def __init__(self, encoder: nn.Module, heads: OwnHeads, store: RegionStore, study_ids: Sequence[str]) -> None:
        """Take an exported objective with ``describe``.

        Args:
            encoder: that it was trained with.
            heads: the objective.
            store: regions of every study.
            study_ids: study of each image of the cohort.

        Raises:
            ValueError: if the objective has no words.
        """
        if heads.vocabulary is None:
            raise ValueError("own decoder: expected an objective with a vocabulary, got none; rerun `pretrain`")
        self.vocabulary = heads.vocabulary
        self._encoder, self._objective, self._store, self._study_ids = encoder, heads.objective, store, study_ids

    @torch.inference_mode()
    def __call__(self, images: Shown) -> Tensor:
        """Write reports. Shape (B, L)."""
        weight_BRP = torch.from_numpy(self._store.weights([self._study_ids[row] for row in images.rows]))
        embedded = self._encoder.embed(images.volumes_BSX, images.is_present_BS)  # type: ignore[operator]
        written_BL: Tensor = self._objective.describe(*embedded, weight_BRP)
        return written_BL


@dataclass(frozen=True)
class Reports:
    """Reports to learn to write, a report as often as it was written.

    Attributes:
        texts: in English wording.
        vector_NE: their embeddings, mean 0 and deviation 1.
    """

    texts: list[str]
    vector_NE: Tensor


def build_decoder(params: DecoderParams, vocabulary_size: int, width: int) -> ReportDecoder:
    """Draw the decoder; ``width`` is that of the sentence encoder."""
    with seeded(params.seed, _DECODER_STREAM):
        return ReportDecoder(
            vocabulary_size, params.width, params.depth, params.num_heads, params.max_tokens, memory_width=width
        )


def train_decoder(reports: Reports, vocabulary: Vocabulary, params: DecoderParams) -> tuple[ReportDecoder, list[float]]:
    """Train the decoder to write each report from its embedding and some noise.

    Returns:
        The decoder, and the loss of every update.
    """
    token_NL = torch.from_numpy(vocabulary.encode(reports.texts, params.max_tokens))
    decoder = build_decoder(params, len(vocabulary), reports.vector_NE.shape[1])
    optimiser = build_optimiser(params.optimiser, [decoder])
    random = np.random.default_rng([params.seed, _NOISE_STREAM])
    losses = []
    for step, rows_B in enumerate(_batches(len(reports.texts), params)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(params.optimiser, step, params.updates)
        token_BL = token_NL[rows_B]
        token_BL = token_BL[:, : int((token_BL != PADDING).sum(dim=1).max())]
        vector_BE = reports.vector_NE[rows_B]
        noise_BE = torch.from_numpy(random.standard_normal(tuple(vector_BE.shape), dtype=np.float32))
        optimiser.zero_grad(set_to_none=True)
        loss = language_loss(decoder((vector_BE + params.noise * noise_BE)[:, None], token_BL), token_BL)
        loss.backward()
        nn.utils.clip_grad_norm_(decoder.parameters(), params.optimiser.max_gradient_norm)
        optimiser.step()
        losses.append(loss.item())
    return decoder.eval(), losses


def _batches(num_rows: int, params: DecoderParams) -> Iterator[np.ndarray]:
    """Yield the reports of every step, each met once before any is met again; a function of the seed."""
    random = np.random.default_rng([params.seed, _ORDER_STREAM])
    size = min(params.batch_size, num_rows)
    order = np.concatenate([random.permutation(num_rows) for _ in range(math.ceil(size * params.updates / num_rows))])
    for first in range(0, size * params.updates, size):
        yield order[first : first + size]
