"""Whether a text belongs to an image, learned on the pairs that are hardest to tell apart.

Shape suffixes: B images of the batch, each with its text, N pairs, D embedding of the text, M tokens of the
memory of an image, V its width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.pretraining.blocks import attend, merge_heads, split_heads


class TextMatching(nn.Module):
    """Whether a text belongs to an image: the text reads the memory of the image, and a network judges both."""

    def __init__(self, embedding_dim: int, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(embedding_dim, width)
        self.memory_norm = nn.LayerNorm(width)
        self.key_value = nn.Linear(width, 2 * width)
        self.network = nn.Sequential(
            nn.LayerNorm(3 * width), nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, 1)
        )

    def forward(self, memory_NMV: Tensor, text_ND: Tensor) -> Tensor:
        """Log-odds that text n belongs to memory n. Shape (N,)."""
        # Unit length times √D: entries of variance 1.
        direction_ND = functional.normalize(text_ND.float(), dim=-1) * text_ND.shape[-1] ** 0.5
        query_N1V = self.query(direction_ND)[:, None]
        key_NMV, value_NMV = self.key_value(self.memory_norm(memory_NMV)).chunk(2, dim=-1)
        heads = (split_heads(part, self.num_heads) for part in (query_N1V, key_NMV, value_NMV))
        read_N1V = merge_heads(attend(*heads))
        joined = torch.cat([read_N1V, query_N1V, read_N1V * query_N1V], dim=-1)
        return self.network(joined)[:, 0, 0]


def hardest_negatives(logits_BB: Tensor, is_negative_BB: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find the most likely wrong partners.

    Args:
        logits_BB: of image i with the text of image j.
        is_negative_BB: which of these pairs may serve, symmetric.

    Returns:
        For each image the image whose text it is mistaken for, for each text the image that is mistaken
        for its own, and which have any (the other entries are arbitrary). Shapes (B,).
    """
    allowed_BB = logits_BB.masked_fill(~is_negative_BB, -torch.inf)
    return allowed_BB.argmax(dim=1), allowed_BB.argmax(dim=0), is_negative_BB.any(dim=1)
