"""Pieces of matching the sentences of a report with the patches of its image.

Shape suffixes: B images of the batch, D embedding, N sentences of a report (or whatever is matched),
P patches, V visible patches, K patches that are kept, Q queries of the batch and their own candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.pretraining.batch import SentenceSets

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Findings:
    """The sentences of each report that state a finding, padded.

    Attributes:
        vector_BND: normalised embeddings, 0 in padding.
        is_finding_BN: which are sentences, false in padding.
        statement_BN: number of what a sentence states, equal for those that state the same.
    """

    vector_BND: Tensor
    is_finding_BN: Tensor
    statement_BN: Tensor


def pick_findings(sentences: SentenceSets) -> Findings:
    """Drop sentences that state no finding; a finding without a meaning states what no other does."""
    meaning_BN = sentences.meaning_BN
    own_BN = -1 - torch.arange(meaning_BN.numel(), device=meaning_BN.device).view_as(meaning_BN)
    index_BN, is_finding_BN = first_used(sentences.is_finding_BN)
    vector_BND = take(sentences.embedding_BND, index_BN).float().masked_fill(~is_finding_BN[:, :, None], 0.0)
    return Findings(
        functional.normalize(vector_BND, dim=-1),
        is_finding_BN,
        torch.where(meaning_BN >= 0, meaning_BN, own_BN).gather(1, index_BN),
    )


def masked_softmax(logits: Tensor, is_counted: Tensor) -> Tensor:
    """Softmax over the last axis, 0 where not counted and where nothing is."""
    return logits.masked_fill(~is_counted, torch.finfo(logits.dtype).min).softmax(dim=-1) * is_counted


def first_used(is_used_BP: Tensor) -> tuple[Tensor, Tensor]:
    """Order the used first, and keep as many as the row with most of them has (at least one).

    Returns:
        Which are kept, shape (B, V), and which of those are used, shape (B, V).
    """
    num_kept = max(int(is_used_BP.sum(dim=1).max()), 1)
    kept_BV = is_used_BP.int().argsort(dim=1, descending=True, stable=True)[:, :num_kept]
    return kept_BV, is_used_BP.gather(1, kept_BV)


def keep_heaviest(plan_BNV: Tensor, patch_BVD: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
    """Keep the patches of each image that take most mass. Shapes (B, N, K) and (B, K, D)."""
    kept_BK = plan_BNV.sum(dim=1).topk(min(num_kept, plan_BNV.shape[2]), dim=1).indices
    return plan_BNV.gather(2, kept_BK[:, None].expand(-1, plan_BNV.shape[1], -1)), take(patch_BVD, kept_BK)


def contrast(
    found_BND: Tensor,
    own_BND: Tensor,
    statement_BN: Tensor,
    mass_BN: Tensor,
    is_query_BN: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """Cross-entropy of barycentres against their own candidates among those of the batch, weighted by mass.

    Args:
        found_BND: sum of the vectors that each query is matched with, by the mass of the match.
        own_BND: the candidate that belongs to each query, normalised.
        statement_BN: what each query states; other candidates that state the same are left out.
        mass_BN: matched mass of each query, at least 0.
        is_query_BN: which are queries and candidates at all.
        temperature: of the cosines.

    Returns:
        The weighted mean, 0 without queries. Scalar.
    """
    statement_Q, mass_Q = statement_BN[is_query_BN], mass_BN[is_query_BN]
    barycentre_QD = functional.normalize(found_BND[is_query_BN] / mass_Q[:, None].clamp(min=_TINY), dim=-1)
    is_other_QQ = ~torch.eye(len(mass_Q), dtype=torch.bool, device=mass_Q.device)
    is_left_out_QQ = (statement_Q[:, None] == statement_Q) & is_other_QQ
    logits_QQ = (barycentre_QD @ own_BND[is_query_BN].T / temperature).masked_fill(is_left_out_QQ, float("-inf"))
    loss_Q = logits_QQ.logsumexp(dim=1) - logits_QQ.diagonal()
    return (mass_Q * loss_Q).sum() / mass_Q.sum().clamp(min=_TINY)


def take(rows_BPD: Tensor, index_BK: Tensor) -> Tensor:
    """Rows of each image. Shape (B, K, D)."""
    # Whole rows of a flat table: several times as fast as ``gather`` in both directions.
    first_B1 = torch.arange(len(rows_BPD), device=index_BK.device)[:, None] * rows_BPD.shape[1]
    taken = rows_BPD.flatten(0, 1).index_select(0, (index_BK + first_B1).flatten())
    return taken.view(*index_BK.shape, -1)
