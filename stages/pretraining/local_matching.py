"""Pieces of matching the sentences of a report with the patches of its image.

Shape suffixes: B images of the batch, D embedding, N sentences of a report (or whatever is matched),
P patches, V visible patches, K patches that are kept, Q queries of the batch and their own candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from stages.pretraining.batch import SentenceSets

_TINY = torch.finfo(torch.float32).tiny


def finding_vectors(sentences: SentenceSets) -> Tensor:
    """Sentences that state a finding, normalised, and 0 in place of all others. Shape (B, N, D)."""
    is_other_BN1 = ~sentences.is_finding_BN[:, :, None]
    return functional.normalize(sentences.embedding_BND.float().masked_fill(is_other_BN1, 0.0), dim=-1)


def masked_softmax(logits: Tensor, is_counted: Tensor) -> Tensor:
    """Softmax over the last axis, 0 where not counted and where nothing is."""
    return logits.masked_fill(~is_counted, torch.finfo(logits.dtype).min).softmax(dim=-1) * is_counted


def gather_visible(patch_BPD: Tensor, is_visible_BP: Tensor) -> tuple[Tensor, Tensor]:
    """Drop patches that no image needs: each image's visible ones first, as many as the largest image has.

    Returns:
        Patches, shape (B, V, D), and which of them are visible, shape (B, V).
    """
    num_kept = max(int(is_visible_BP.sum(dim=1).max()), 1)
    kept_BV = is_visible_BP.int().argsort(dim=1, descending=True, stable=True)[:, :num_kept]
    return _take(patch_BPD, kept_BV), is_visible_BP.gather(1, kept_BV)


def keep_heaviest(plan_BNV: Tensor, patch_BVD: Tensor, num_kept: int) -> tuple[Tensor, Tensor]:
    """Keep the patches of each image that take most mass. Shapes (B, N, K) and (B, K, D)."""
    kept_BK = plan_BNV.sum(dim=1).topk(min(num_kept, plan_BNV.shape[2]), dim=1).indices
    return plan_BNV.gather(2, kept_BK[:, None].expand(-1, plan_BNV.shape[1], -1)), _take(patch_BVD, kept_BK)


def number_statements(meaning_BN: Tensor) -> Tensor:
    """Number what sentences state: their meaning, and a number of its own for each without one. Shape (B, N)."""
    own_BN = torch.arange(meaning_BN.numel(), device=meaning_BN.device).view_as(meaning_BN)
    return torch.where(meaning_BN >= 0, meaning_BN, -1 - own_BN)


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


def _take(rows_BPD: Tensor, index_BK: Tensor) -> Tensor:
    # Whole rows of a flat table: several times as fast as ``gather`` in both directions.
    first_B1 = torch.arange(len(rows_BPD), device=index_BK.device)[:, None] * rows_BPD.shape[1]
    taken = rows_BPD.flatten(0, 1).index_select(0, (index_BK + first_B1).flatten())
    return taken.view(*index_BK.shape, -1)
