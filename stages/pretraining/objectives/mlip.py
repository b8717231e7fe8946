"""MLIP (Liu et al., arXiv 2401.01591): masked contrastive learning with local matching of sentences and patches.

After the paper's abstract; its details were not at hand. Images are shown with patches hidden;
image-report pairs weigh by how much of what the report speaks of stayed visible (semantic integrity);
sentences and patches are matched by partial optimal transport in both directions; hidden patches are
reconstructed.

Ours, where the paper leaves it open or head MRI asks for it: only sentences that state a finding as
present or uncertain take part, and what states the same is no negative; a sentence has mass 1 and a
patch takes 1/``patches_per_sentence``, the rest of both goes to dust; local terms are means weighted
by matched mass; a patch counts as stating what the sentence that gives it most states, and an image
contrasts only its ``local_patches`` of most mass; images without a finding weigh 1; the mean intensity
of hidden patches is told from the embedding of the place and of the image by a small network.

Shape suffixes: B images of the batch, U texts, D embedding, N sentences of a report, P patches,
V visible patches of the head, K patches that are contrasted, S sequences, H hidden patches of the
batch, W hidden width.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, autocast, nn
from torch.nn import functional

from stages.params import Params as BaseParams
from stages.pretraining.batch import Batch, Facts, Need
from stages.pretraining.local_matching import (
    contrast,
    first_used,
    keep_heaviest,
    masked_softmax,
    pick_findings,
    take,
)
from stages.pretraining.objectives.base import (
    LogitScale,
    Outcome,
    cosine_logits,
    matching_losses,
    own_pairs,
    paired_texts,
)
from stages.pretraining.transport import partial_transport

_TINY = torch.finfo(torch.float32).tiny
_T = TypeVar("_T")


class Mlip(nn.Module):
    """L = L_g + λ_l·L_local + λ_m·L_mim, with L_g = ½ mean_i ĥ_i(CE_v + CE_t).

    L_local is the mean of the directions in use, as terms of their own. The share of patches that is
    hidden belongs to the training, not to the objective; where it is 0, every ĥ is 1 and L_mim is 0.
    """

    class Params(BaseParams):
        """Values of the formulas, and what ablations leave out.

        Attributes:
            temperature: of images and texts, at the start; learned.
            is_integrity_weighted: whether pairs weigh by ĥ; else every ĥ is 1.
            integrity_warmup: share of the training at its start in which every ĥ is 1.
            local_weight: λ_l.
            directions: which local terms there are.
            matching: partial optimal ``transport``, or plain ``attention`` of sentences to patches at
                temperature ε in place of its plan.
            local_temperature: of sentences and patches, fixed; of α and of the local terms.
            local_patches: patches of an image that are contrasted in the direction of sentences.
            patches_per_sentence: patches whose mass is that of a sentence.
            dust_cost: ξ; below a cost 1 − cos of 2ξ a sentence and a patch are worth matching.
            regularisation: ε.
            num_iterations: Sinkhorn iterations.
            reconstruction_weight: λ_m.
            hidden_width: width of the reconstruction's one hidden layer.
        """

        temperature: float = Field(default=0.07, gt=0)
        is_integrity_weighted: bool = True
        integrity_warmup: float = Field(default=0.2, ge=0, le=1)
        local_weight: float = Field(default=1.0, ge=0)
        directions: Literal["both", "sentence_to_patch", "patch_to_sentence"] = "both"
        matching: Literal["transport", "attention"] = "transport"
        local_temperature: float = Field(default=0.1, gt=0)
        local_patches: int = Field(default=16, ge=1)
        patches_per_sentence: float = Field(default=4.0, gt=0)
        dust_cost: float = Field(default=0.5, ge=0)
        regularisation: float = Field(default=0.05, gt=0)
        num_iterations: int = Field(default=20, ge=1)
        reconstruction_weight: float = Field(default=1.0, ge=0)
        hidden_width: int = Field(default=128, ge=1)

    aligns_text = True
    label_head = None
    is_head_P: Tensor

    def __init__(self, params: Params, facts: Facts) -> None:
        super().__init__()
        self.params = params
        self.scale = LogitScale(params.temperature)
        self.register_buffer("is_head_P", _required(facts.is_head_P, "patches of the head"), persistent=False)
        self.reconstruction = (
            Reconstruction(facts.embedding_dim, params.hidden_width, facts.patches_shape[1])
            if params.reconstruction_weight
            else None
        )

    @staticmethod
    def needs(params: Params) -> frozenset[Need]:
        """Hidden patches, and what the terms in use read."""
        needs: set[Need] = {"hidden_patches"}
        if params.local_weight or params.reconstruction_weight:
            needs |= {"patches"}
        if params.local_weight or params.is_integrity_weighted:
            needs |= {"sentence_sets"}
        if params.is_integrity_weighted:
            needs |= {"patches", "whole_patches"}
        return frozenset(needs)

    def forward(self, batch: Batch) -> Outcome:
        """Return the terms of both directions, global and local, and of the reconstruction.

        Raises:
            ValueError: if the batch lacks what ``needs`` names.
        """
        is_hidden_BPS = _required(batch.is_hidden_BPS, "hidden patches")
        is_visible_BP = self.is_head_P & ~is_hidden_BPS.any(dim=2)
        with autocast(batch.image_BD.device.type, enabled=False):
            scale, weight_B = self.scale(), self._weights(batch, is_visible_BP)
            image_to_text_B, text_to_image_B = matching_losses(
                cosine_logits(batch.image_BD, paired_texts(batch), scale)
            )
            losses = {
                "image_to_text": (weight_B * image_to_text_B).mean() / 2,
                "text_to_image": (weight_B * text_to_image_B).mean() / 2,
            }
            logged = {"logit_scale": scale.detach(), "integrity_spread": weight_B.std(correction=0)}
            if self.params.local_weight:
                local, logged["matched_share"] = self._match(batch, is_visible_BP)
                losses |= {name: self.params.local_weight / len(local) * loss for name, loss in local.items()}
            if self.reconstruction is not None:
                losses["hidden_patches"] = self.params.reconstruction_weight * self.reconstruction(batch)
        return Outcome(losses, logged)

    def matching_targets(self, batch: Batch) -> Tensor:
        """Each image has one positive, its own pair. Shape (B, B)."""
        return own_pairs(batch)

    @torch.no_grad()
    def _weights(self, batch: Batch, is_visible_BP: Tensor) -> Tensor:
        """ĥ of each image."""
        params = self.params
        if not params.is_integrity_weighted or batch.progress < params.integrity_warmup:
            return torch.ones(len(batch.image_BD), device=batch.image_BD.device)
        findings = pick_findings(_required(batch.sentences, "sentences"))
        patch_BPD = functional.normalize(_required(batch.whole_patch_BPD, "whole patches").float(), dim=-1)
        cosine_BNP = findings.vector_BND @ patch_BPD.transpose(1, 2)
        attention_BNP = masked_softmax(cosine_BNP / params.local_temperature, self.is_head_P)
        return integrity_weights(attention_BNP, is_visible_BP, findings.is_finding_BN)

    def _match(self, batch: Batch, is_visible_BP: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Local terms, and the share of the sentences' mass that found patches."""
        findings = pick_findings(_required(batch.sentences, "sentences"))
        sentence_BND, is_finding_BN = findings.vector_BND, findings.is_finding_BN
        kept_BV, is_visible_BV = first_used(is_visible_BP)
        patch_BVD = functional.normalize(take(_required(batch.patch_BPD, "patches"), kept_BV).float(), dim=-1)
        plan_BNV = self._plan(sentence_BND.detach() @ patch_BVD.detach().transpose(1, 2), is_finding_BN, is_visible_BV)
        terms, temperature = {}, self.params.local_temperature
        if self.params.directions != "patch_to_sentence":
            found_BND, mass_BN = plan_BNV @ patch_BVD, plan_BNV.sum(dim=2)
            terms["sentence_to_patch"] = contrast(
                found_BND, sentence_BND, findings.statement_BN, mass_BN, is_finding_BN, temperature=temperature
            )
        if self.params.directions != "sentence_to_patch":
            plan_BNK, patch_BKD = keep_heaviest(plan_BNV, patch_BVD, self.params.local_patches)
            found_BKD, mass_BK = plan_BNK.transpose(1, 2) @ sentence_BND, plan_BNK.sum(dim=1)
            statement_BK = findings.statement_BN.gather(1, plan_BNK.argmax(dim=1))
            terms["patch_to_sentence"] = contrast(
                found_BKD, patch_BKD, statement_BK, mass_BK, mass_BK > 0, temperature=temperature
            )
        return terms, plan_BNV.sum() / is_finding_BN.sum().clamp(min=1)

    def _plan(self, cosine_BNV: Tensor, is_finding_BN: Tensor, is_visible_BV: Tensor) -> Tensor:
        params = self.params
        if params.matching == "attention":
            attention_BNV = masked_softmax(cosine_BNV / params.regularisation, is_visible_BV[:, None])
            return attention_BNV * is_finding_BN[:, :, None]
        return partial_transport(
            1 - cosine_BNV,
            is_finding_BN.float(),
            is_visible_BV.float() / params.patches_per_sentence,
            dust_cost=params.dust_cost,
            regularisation=params.regularisation,
            num_iterations=params.num_iterations,
        )


class Reconstruction(nn.Module):
    """Tell the mean intensity of hidden patches from the embeddings of their place and of their image."""

    def __init__(self, embedding_dim: int, hidden_width: int, num_sequences: int) -> None:
        super().__init__()
        # The first layer of a network of both joined, in two parts: that of the image is the same for all its patches.
        self.of_patch = nn.Linear(embedding_dim, hidden_width)
        self.of_image = nn.Linear(embedding_dim, hidden_width, bias=False)
        self.out = nn.Linear(hidden_width, num_sequences)

    def forward(self, batch: Batch) -> Tensor:
        """Return the mean squared error over what was hidden, 0 where nothing was. Scalar."""
        is_hidden_BPS = _required(batch.is_hidden_BPS, "hidden patches")
        row_H = is_hidden_BPS.any(dim=2).flatten().nonzero().squeeze(1)
        embedding_HD, mean_HS, is_hidden_HS = (
            values.flatten(0, 1).index_select(0, row_H)
            for values in (
                _required(batch.patch_BPD, "patches"),
                _required(batch.patches_BPS, "patch intensities"),
                is_hidden_BPS,
            )
        )
        of_image_HW = self.of_image(batch.image_BD.float())[row_H // is_hidden_BPS.shape[1]]
        told_HS = self.out(functional.gelu(self.of_patch(embedding_HD.float()) + of_image_HW))
        return ((told_HS - mean_HS) ** 2 * is_hidden_HS).sum() / is_hidden_HS.sum().clamp(min=1)


def integrity_weights(attention_BNP: Tensor, is_visible_BP: Tensor, is_finding_BN: Tensor) -> Tensor:
    """How much of what a report speaks of stayed visible, compared with the batch.

    h_i = mean_s Σ_{p visible} α_sp over the finding sentences of image i, ĥ_i = h_i / mean(h). The
    mean is over images with a finding sentence; the others weigh 1 and so leave the mean of ĥ at 1.

    Args:
        attention_BNP: α, rows of finding sentences sum to 1.
        is_visible_BP: which patches were shown.
        is_finding_BN: which sentences state a finding.

    Returns:
        ĥ, at least 0. Shape (B,).
    """
    visible_BN = (attention_BNP @ is_visible_BP.float()[:, :, None]).squeeze(2)
    num_findings_B = is_finding_BN.sum(dim=1)
    integrity_B = (visible_BN * is_finding_BN).sum(dim=1) / num_findings_B.clamp(min=1)
    has_finding_B = num_findings_B > 0
    mean = integrity_B.sum() / has_finding_B.sum().clamp(min=1)
    return torch.where(has_finding_B & (mean > 0), integrity_B / mean.clamp(min=_TINY), 1.0)


def _required(value: _T | None, what: str) -> _T:
    if value is None:
        raise ValueError(f"{what}: expected for MLIP, got None; the loop gives what an objective needs")
    return value


OBJECTIVE = Mlip
