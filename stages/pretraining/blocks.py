"""Building blocks of the towers, in plain torch.

Shape suffixes: B batch, N tokens, Q queries, W width, H heads, K width of a head; of images S sequences,
C channels, X the spatial axes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def channels_last(num_dimensions: int) -> torch.memory_format:
    """Memory layout of tensors (B, C, X) in which convolutions with few channels C are fastest on a CPU."""
    return torch.channels_last_3d if num_dimensions == 5 else torch.channels_last


def over_space(values_BC: Tensor, image_BCX: Tensor) -> Tensor:
    """Give values of an image's channels its spatial axes, of size 1, to broadcast with it. Shape (B, C, 1, …)."""
    return values_BC.view(*values_BC.shape, *(1 for _ in image_BCX.shape[2:]))


def hide_absent(volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
    """Set absent sequences to 0. Shape (B, S, X)."""
    # chosen and not multiplied: an absent slot may hold anything, NaN included.
    return torch.where(over_space(is_present_BS, volumes_BSX), volumes_BSX, 0)


def attend(query_BHQK: Tensor, key_BHNK: Tensor, value_BHNK: Tensor) -> Tensor:
    """Scaled dot-product attention; fused on a GPU, two products on a CPU, where that is faster for few tokens."""
    if query_BHQK.is_cuda:
        return functional.scaled_dot_product_attention(query_BHQK, key_BHNK, value_BHNK)
    scores = query_BHQK @ key_BHNK.transpose(-2, -1) * query_BHQK.shape[-1] ** -0.5
    return scores.softmax(dim=-1) @ value_BHNK


def split_heads(tokens_BNW: Tensor, num_heads: int) -> Tensor:
    """(B, N, W) to (B, H, N, K)."""
    return tokens_BNW.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(tokens_BHNK: Tensor) -> Tensor:
    """(B, H, N, K) to (B, N, W)."""
    return tokens_BHNK.transpose(1, 2).flatten(2)


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a GELU network ``mlp_ratio`` times as wide."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        hidden = mlp_ratio * width
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Update tokens. Shape (B, N, W)."""
        query, key, value = (
            split_heads(part, self.num_heads)
            for part in self.query_key_value(self.attention_norm(tokens_BNW)).chunk(3, dim=-1)
        )
        tokens_BNW = tokens_BNW + self.attention_out(merge_heads(attend(query, key, value)))
        return tokens_BNW + self.network(self.network_norm(tokens_BNW))


class ExtremePool(nn.Module):
    """The largest and the mean response of any token, normalised: a lesion fills few patches.

    Attributes:
        feature_dim: width of the pooled feature, twice that of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.feature_dim = 2 * width
        self.norm = nn.LayerNorm(self.feature_dim)

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Pool tokens into one feature. Shape (B, 2W)."""
        active_BNW = functional.gelu(tokens_BNW)
        return self.norm(torch.cat([active_BNW.amax(dim=1), active_BNW.mean(dim=1)], dim=-1))

    def dense(self, tokens_BNW: Tensor) -> Tensor:
        """What each token alone would be pooled to. Shape (B, N, 2W)."""
        return self.norm(functional.gelu(tokens_BNW).repeat(1, 1, 2))

    def project_dense(self, tokens_BNW: Tensor, weight_DF: Tensor) -> Tensor:
        """``dense`` and a linear map behind it at half the cost. Shape (B, N, D).

        A token alone is its own largest and its own mean, and a vector written twice has the mean and
        variance of the vector: so the norm sees W values, and both halves of its and of the map's weights
        come together in one matrix.
        """
        active_BNW = functional.layer_norm(functional.gelu(tokens_BNW), tokens_BNW.shape[-1:], eps=self.norm.eps)
        halves_D2W = (weight_DF * self.norm.weight).unflatten(1, (2, -1))
        return functional.linear(active_BNW, halves_D2W.sum(dim=1), weight_DF @ self.norm.bias)


class AttentionPool(nn.Module):
    """A few learned queries read all tokens; their answers are joined into one feature.

    Attributes:
        feature_dim: width of the pooled feature.
    """

    def __init__(self, width: int, num_queries: int) -> None:
        super().__init__()
        self.feature_dim = width
        self.queries = nn.Parameter(torch.randn(num_queries, width) * width**-0.5)
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(num_queries * width, width)

    def forward(self, tokens_BNW: Tensor) -> Tensor:
        """Pool tokens into one feature. Shape (B, W)."""
        tokens_BNW = self.norm(tokens_BNW)
        key_B1NW, value_B1NW = self.key(tokens_BNW)[:, None], self.value(tokens_BNW)[:, None]
        query_B1QW = self.queries.expand(len(tokens_BNW), 1, -1, -1)
        return self.out(attend(query_B1QW, key_B1NW, value_B1NW).flatten(1))

    def dense(self, tokens_BNW: Tensor) -> Tensor:
        """What each token alone would be pooled to: features that live where the pooled one does. Shape (B, N, W)."""
        value_BNW = self.value(self.norm(tokens_BNW))
        return self.out(value_BNW.repeat(1, 1, len(self.queries)))


def projection_head(kind: str, in_dim: int, out_dim: int) -> nn.Module:
    """Head into the shared space: one linear layer, or the two-layer network of ConVIRT (``mlp``)."""
    if kind == "linear":
        return nn.Linear(in_dim, out_dim, bias=False)
    return nn.Sequential(nn.Linear(in_dim, in_dim), nn.ReLU(), nn.Linear(in_dim, out_dim))
