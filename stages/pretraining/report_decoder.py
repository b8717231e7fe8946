"""A small transformer that writes a report, word by word, from what an encoder saw.

Shape suffixes: B images, M tokens of the memory, L tokens of the text, V vocabulary, W width,
D width of the memory, H heads, K width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.pretraining.blocks import attend, merge_heads, split_heads
from stages.pretraining.vocabulary import BEGIN, END, PADDING, UNKNOWN

Pair = tuple[Tensor, Tensor]


class DecoderBlock(nn.Module):
    """Pre-norm attention to the words before, then to the memory, and a GELU network four times as wide."""

    def __init__(self, width: int, num_heads: int, memory_width: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.self_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.self_out = nn.Linear(width, width)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.cross_key_value = nn.Linear(memory_width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def read_memory(self, memory_BMD: Tensor) -> Pair:
        """Keys and values of the memory. Shape (B, H, M, K) each."""
        key_BMW, value_BMW = self.cross_key_value(memory_BMD).chunk(2, dim=-1)
        return split_heads(key_BMW, self.num_heads), split_heads(value_BMW, self.num_heads)

    def forward(self, tokens_BLW: Tensor, memory: Pair, past: Pair | None = None) -> tuple[Tensor, Pair]:
        """Update tokens, none by those after it.

        Args:
            tokens_BLW: all tokens of the texts; with ``past`` only the next one (L = 1).
            memory: keys and values of the memory.
            past: keys and values of the tokens before.

        Returns:
            Tokens, shape (B, L, W), and keys and values of all tokens so far.
        """
        query, key, value = (
            split_heads(part, self.num_heads)
            for part in self.query_key_value(self.self_norm(tokens_BLW)).chunk(3, dim=-1)
        )
        if past is None:
            seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
            seen = attend(query, key, value)
        tokens_BLW = tokens_BLW + self.self_out(merge_heads(seen))
        query = split_heads(self.cross_query(self.cross_norm(tokens_BLW)), self.num_heads)
        tokens_BLW = tokens_BLW + self.cross_out(merge_heads(attend(query, *memory)))
        return tokens_BLW + self.network(self.network_norm(tokens_BLW)), (key, value)


class ReportDecoder(nn.Module):
    """Causal transformer over the words of a report, with cross-attention to a memory.

    Words are read and written by one matrix (tied). Tokens are those of ``vocabulary.Vocabulary``.

    Attributes:
        max_tokens: longest text, the special tokens included.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        depth: int,
        num_heads: int,
        max_tokens: int,
        *,
        memory_width: int | None = None,
        memory_length: int | None = None,
    ) -> None:
        """Draw the weights.

        Args:
            vocabulary_size: V.
            width: W, divisible by ``num_heads``.
            depth: blocks.
            num_heads: attention heads of a block.
            max_tokens: longest text, the special tokens included.
            memory_width: D; W if None.
            memory_length: M, to learn a position for each token of the memory; None adds none, so that
                the memory may have any length and must tell by itself where its tokens lie.
        """
        super().__init__()
        memory_width = width if memory_width is None else memory_width
        self.max_tokens = max_tokens
        self.words = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.words.weight, std=width**-0.5)
        self.position = nn.Parameter(torch.randn(max_tokens, width) * width**-0.5)
        self.memory_norm = nn.LayerNorm(memory_width)
        self.memory_position: nn.Parameter | None = None
        if memory_length is not None:
            self.memory_position = nn.Parameter(torch.randn(memory_length, memory_width) * memory_width**-0.5)
        self.blocks = nn.ModuleList(DecoderBlock(width, num_heads, memory_width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, memory_BMD: Tensor, token_BL: Tensor) -> Tensor:
        """Predict each next word from the true words before it (teacher forcing).

        Args:
            memory_BMD: what the encoder saw. Shape (B, M, D).
            token_BL: texts, beginning with 1. Shape (B, L), L at most ``max_tokens``.

        Returns:
            Logits; those at l predict token l + 1. Shape (B, L, V).

        Raises:
            ValueError: if texts are too long.
        """
        if token_BL.shape[1] > self.max_tokens:
            raise ValueError(
                f"tokens: texts of {token_BL.shape[1]} tokens, expected at most {self.max_tokens}; "
                "encode them with the decoder's max_tokens"
            )
        memories = self._read_memory(memory_BMD)
        tokens_BLW = self._embed(token_BL, 0)
        for block, memory in zip(self.blocks, memories, strict=True):
            tokens_BLW, _ = block(tokens_BLW, memory)
        return self._logits(tokens_BLW)

    @torch.no_grad()
    def generate(self, memory_BMD: Tensor) -> Tensor:
        """Write a text about each image, always the likeliest next word, never an unknown one.

        Args:
            memory_BMD: what the encoder saw. Shape (B, M, D).

        Returns:
            1, the words, 2, then 0; a text that finds no end in ``max_tokens`` has none. Shape (B, L).
        """
        memories = self._read_memory(memory_BMD)
        past: list[Pair | None] = [None] * len(self.blocks)
        last_B = torch.full((len(memory_BMD),), BEGIN, device=memory_BMD.device)
        is_over_B = torch.zeros_like(last_B, dtype=torch.bool)
        written = [last_B]
        while len(written) < self.max_tokens and not is_over_B.all():
            tokens_B1W = self._embed(last_B[:, None], len(written) - 1)
            for number, (block, memory) in enumerate(zip(self.blocks, memories, strict=True)):
                tokens_B1W, past[number] = block(tokens_B1W, memory, past[number])
            logits_BV = self._logits(tokens_B1W[:, 0])
            logits_BV[:, [PADDING, BEGIN, UNKNOWN]] = -torch.inf
            last_B = logits_BV.argmax(dim=-1).masked_fill(is_over_B, PADDING)
            is_over_B = is_over_B | (last_B == END)
            written.append(last_B)
        return torch.stack(written, dim=1)

    def _read_memory(self, memory_BMD: Tensor) -> list[Pair]:
        memory_BMD = self.memory_norm(memory_BMD)
        if self.memory_position is not None:
            memory_BMD = memory_BMD + self.memory_position
        return [block.read_memory(memory_BMD) for block in self.blocks]  # type: ignore[operator]

    def _embed(self, token_BL: Tensor, first: int) -> Tensor:
        """Words at places from ``first`` on, of variance about 1. Shape (B, L, W)."""
        placed_BLW = self.words(token_BL) + self.position[first : first + token_BL.shape[1]]
        return placed_BLW * placed_BLW.shape[-1] ** 0.5

    def _logits(self, tokens_BLW: Tensor) -> Tensor:
        return functional.linear(self.norm(tokens_BLW), self.words.weight)


def language_loss(logits_BLV: Tensor, token_BL: Tensor) -> Tensor:
    """Mean cross-entropy of each next word, padding left out, in float32.

    Args:
        logits_BLV: of ``ReportDecoder.forward`` for these tokens.
        token_BL: texts, beginning with 1. Shape (B, L).
    """
    predicted_NV = logits_BLV[:, :-1].flatten(0, 1).float()
    return functional.cross_entropy(predicted_NV, token_BL[:, 1:].flatten(), ignore_index=PADDING)
