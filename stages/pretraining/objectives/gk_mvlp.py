"""GK-MVLP (Deng et al., arXiv 2404.14750): knowledge of findings, grounded in regions of the image.

After the paper's abstract; its details were not at hand. Knowledge prompts fused with visual features of
their anatomical regions and with global ones by a transformer; image-text contrast (ITC), image-text
matching (ITM), language modelling (LM) and classification of findings by region (ECLS), summed.

Ours, where the paper leaves it open or a head MRI asks for it:

- Prompts are the full list of findings by regions, so that nothing of a report enters them; regions come
  from an atlas, not from a detector.
- The transformer attends along findings and along regions in turn, not over all prompts at once, and
  reads each region and the whole head by a few learned queries.
- ITC is CLIP's, between the embeddings that are exported. ITM takes the hardest text of each image, and
  the hardest image of each text, among those whose reports are not alike; a text reads the memory once.
- Presence is a product of a finding's knowledge and its prompt (evidence), and prompts with little of it are
  turned down in the memory that texts are written from: one token a region, one a finding, the global ones.
- ECLS is binary; what a report does not mention, or leaves uncertain, is left out, as are regions that
  are not in the image. Far more cells are absent than present, and both parts weigh the same by default:
  its log-odds rank, but overstate presence. Its labels are mined from reports, supervision that the other
  methods lack.

Shape suffixes: B images of the batch, U texts of the batch, D embedding, P patches, R regions, F findings,
L tokens of a report, M tokens of the memory, V its width, N pairs of an image and a text.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need, Regions
from stages.pretraining.knowledge import GroundedKnowledge, PromptLayout, permute_regions
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    cosine_logits,
    counted_mean,
    matching_losses,
    own_pairs,
    paired_texts,
    required,
)
from stages.pretraining.report_decoder import ReportDecoder, language_loss
from stages.pretraining.text_matching import TextMatching, hardest_negatives
from stages.pretraining.vocabulary import PADDING


class GkMvlp(nn.Module):
    """L = a·ITC + b·ITM + c·LM + d·ECLS."""

    class Params(BaseParams):
        """Sizes, weights of the terms, and controls.

        Attributes:
            width: of prompts.
            depth: layers of their transformer.
            num_heads: attention heads of a layer.
            mlp_ratio: how much wider than the prompts the network of a layer is.
            num_reads: learned queries that read each region, and the whole head.
            decoder_width: of the decoder and of the memory.
            decoder_depth: its blocks.
            decoder_heads: attention heads of a block.
            contrast_weight: a.
            matching_weight: b.
            language_weight: c.
            presence_weight: d.
            negative_threshold: texts more similar than this to the own one are no negatives of ITM.
            temperature: at the start.
            is_temperature_learnable: whether the temperature is learned.
            regions: from the ``atlas``, or ``permuted`` for each image at each step while labels stay (a control).
            knowledge: a finding's ``definition``, or its bare ``name`` (a control).
            has_global_tokens: whether prompts and memory see the image as a whole, or regions only (a control).
            has_presence_loss: whether there is ECLS, and with it labels mined from reports.
            is_presence_balanced: whether present and absent findings weigh the same in it, rather than each cell.
        """

        width: int = Field(default=32, ge=2)
        depth: int = Field(default=2, ge=2, le=4)
        num_heads: int = Field(default=2, ge=1)
        mlp_ratio: int = Field(default=1, ge=1)
        num_reads: int = Field(default=4, ge=1)
        decoder_width: int = Field(default=64, ge=1)
        decoder_depth: int = Field(default=1, ge=1)
        decoder_heads: int = Field(default=4, ge=1)
        contrast_weight: float = Field(default=1.0, ge=0)
        matching_weight: float = Field(default=1.0, ge=0)
        language_weight: float = Field(default=1.0, ge=0)
        presence_weight: float = Field(default=1.0, ge=0)
        negative_threshold: float = Field(default=0.8, ge=0, le=1)
        temperature: float = Field(default=0.07, gt=0)
        is_temperature_learnable: bool = True
        regions: Literal["atlas", "permuted"] = "atlas"
        knowledge: Literal["definition", "name"] = "definition"
        has_global_tokens: bool = True
        has_presence_loss: bool = True
        is_presence_balanced: bool = True

    has_own_heads = True
    aligns_text = True
    label_head = None
    step: Tensor
    order_seed: Tensor

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.params = params
        self.tells_presence = params.has_presence_loss
        self.scale = LogitScale(params.temperature, is_learnable=params.is_temperature_learnable)
        layout = PromptLayout(
            width=params.width,
            depth=params.depth,
            num_heads=params.num_heads,
            mlp_ratio=params.mlp_ratio,
            num_reads=params.num_reads,
            memory_width=params.decoder_width,
            has_global_tokens=params.has_global_tokens,
        )
        self.knowledge = GroundedKnowledge(
            facts.embedding_dim,
            _required_knowledge(facts, params.knowledge),
            len(facts.regions),
            layout,
            facts.is_head_P,
        )
        self.matching = TextMatching(facts.embedding_dim, params.decoder_width, params.decoder_heads)
        self.decoder = ReportDecoder(
            facts.vocabulary_size, params.decoder_width, params.decoder_depth, params.decoder_heads, facts.max_tokens
        )
        if params.regions == "permuted":
            # Both are part of the state, so that a killed run goes on with the orders that it would have drawn.
            self.register_buffer("order_seed", torch.randint(2**62, ()))
            self.register_buffer("step", torch.zeros((), dtype=torch.long))

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Patches, regions and what reports say of them, words, and similarity for the negatives of ITM."""
        return frozenset({"patches", "regions", "tokens", "similarity"})

    def forward(self, batch: Batch) -> Outcome:
        """Return the weighted terms."""
        patch_BPD, regions, token_BL = _required_parts(batch)
        params, text_BD, scale = self.params, paired_texts(batch), self.scale()
        grounded = self.knowledge(batch.image_BD, patch_BPD, self._placed(regions.weight_BRP))
        memory_BMV = grounded.memory_BMV
        logits_BB = cosine_logits(batch.image_BD, text_BD, scale)
        losses = {
            "contrast": params.contrast_weight * torch.stack(matching_losses(logits_BB)).mean(),
            "matching": params.matching_weight * self._matching_loss(memory_BMV, text_BD, logits_BB.detach(), batch),
            "language": params.language_weight * self._language_loss(memory_BMV, token_BL),
        }
        if params.has_presence_loss:
            losses["presence"] = params.presence_weight * presence_loss(
                grounded.evidence_BFR, regions, is_balanced=params.is_presence_balanced
            )
        return Outcome(losses, {"logit_scale": scale.detach()})

    def matching_targets(self, batch: Batch) -> Tensor:
        """Each image has one positive, its own pair. Shape (B, B)."""
        return own_pairs(batch)

    def knowledge_tokens(self, image_BD: Tensor, patch_BPD: Tensor, weight_BRP: Tensor) -> Tensor:
        """What the knowledge, grounded in images, tells a decoder. Shape (B, M, V)."""
        memory_BMV: Tensor = self.knowledge(image_BD, patch_BPD, weight_BRP).memory_BMV
        return memory_BMV

    def presence_logits(self, image_BD: Tensor, patch_BPD: Tensor, weight_BRP: Tensor) -> Tensor:
        """Log-odds that each finding is present in each region, with the weights as they are given.

        Shape (B, F, R).

        Raises:
            ValueError: if the presence of findings was not trained.
        """
        if not self.params.has_presence_loss:
            raise ValueError("presence: expected evidence trained for it, got none; set has_presence_loss")
        evidence_BFR: Tensor = self.knowledge(image_BD, patch_BPD, weight_BRP).evidence_BFR
        return evidence_BFR

    @torch.no_grad()
    def describe(self, image_BD: Tensor, patch_BPD: Tensor, weight_BRP: Tensor) -> Tensor:
        """Write a report about each image, word by word the likeliest. Shape (B, L)."""
        return self.decoder.generate(self.knowledge_tokens(image_BD, patch_BPD, weight_BRP))

    def _placed(self, weight_BRP: Tensor) -> Tensor:
        """The regions of the atlas, or the next order of them for each image."""
        if self.params.regions == "atlas":
            return weight_BRP
        random = torch.Generator().manual_seed(int(self.order_seed + self.step))
        order_BR = torch.rand(weight_BRP.shape[:2], generator=random).argsort(dim=1)
        if self.training:
            self.step += 1
        return permute_regions(weight_BRP, order_BR.to(weight_BRP.device))

    def _matching_loss(self, memory_BMV: Tensor, text_BD: Tensor, logits_BB: Tensor, batch: Batch) -> Tensor:
        index_B, own_B = batch.text_index_B, torch.arange(len(text_BD), device=text_BD.device)
        similarity_BB = required(batch.similarity_UU)[index_B][:, index_B]
        is_negative_BB = (index_B[:, None] != index_B) & (similarity_BB <= self.params.negative_threshold)
        text_B, image_B, is_counted_B = hardest_negatives(logits_BB, is_negative_BB)
        image_N, text_N = torch.cat([own_B, own_B, image_B]), torch.cat([own_B, text_B, own_B])
        logits_N = self.matching(memory_BMV[image_N], text_BD[text_N]).float()
        is_own_N = torch.cat([torch.ones_like(own_B), torch.zeros_like(own_B), torch.zeros_like(own_B)]).float()
        losses_N = functional.binary_cross_entropy_with_logits(logits_N, is_own_N, reduction="none")
        return counted_mean(losses_N, is_counted_B.repeat(3))

    def _language_loss(self, memory_BMV: Tensor, token_BL: Tensor) -> Tensor:
        longest = int((token_BL != PADDING).sum(dim=1).max())
        token_BL = token_BL[:, :longest]
        return language_loss(self.decoder(memory_BMV, token_BL), token_BL)


def presence_loss(logits_BFR: Tensor, regions: Regions, *, is_balanced: bool) -> Tensor:
    """Mean binary cross-entropy over findings that the report states of regions that the image shows.

    Args:
        logits_BFR: log-odds that a finding is present in a region.
        regions: with the weights of the atlas, from which it is known which regions an image shows.
        is_balanced: whether all that is present counts as much as all that is absent; else each cell does.
    """
    is_shown_BR = (regions.weight_BRP > 0).any(dim=-1)
    is_counted_BFR = regions.is_known_BFR & is_shown_BR[:, None]
    present_BFR = regions.presence_BFR.float().masked_fill(~is_counted_BFR, 0)
    losses_BFR = functional.binary_cross_entropy_with_logits(logits_BFR.float(), present_BFR, reduction="none")
    if not is_balanced:
        return counted_mean(losses_BFR, is_counted_BFR)
    is_present_BFR = present_BFR > 0
    present, absent = (counted_mean(losses_BFR, part) for part in (is_present_BFR, is_counted_BFR & ~is_present_BFR))
    return (present + absent) / 2


def _required_knowledge(facts: Facts, kind: str) -> Tensor:
    knowledge_FE = facts.definition_FE if kind == "definition" else facts.name_FE
    if knowledge_FE is None or not facts.regions or not facts.vocabulary_size:
        raise ValueError(
            f"GK-MVLP: expected regions, a vocabulary and an embedding of each finding's {kind}, got "
            f"{len(facts.regions)} regions, {facts.vocabulary_size} words and "
            f"{0 if knowledge_FE is None else len(knowledge_FE)} embeddings; the loop gives them to who needs regions"
        )
    return knowledge_FE


def _required_parts(batch: Batch) -> tuple[Tensor, Regions, Tensor]:
    if batch.patch_BPD is None or batch.regions is None or batch.token_BL is None:
        raise ValueError("patches, regions, tokens: expected all, got None; the loop gives them to who needs them")
    return batch.patch_BPD, batch.regions, batch.token_BL


OBJECTIVE = GkMvlp
