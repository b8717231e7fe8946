"""What is known of findings, grounded in the regions of an image: the prompts of GK-MVLP and their transformer.

Shape suffixes: B images, P patches, D embedding, F findings, R regions, E sentence encoder, W width of prompts,
Q reads of a region, T tokens that the prompts of a region look at, G of them global, M tokens of the memory,
V width of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from stages.pretraining.blocks import attend, merge_heads, split_heads

_SMALLEST_MASS = 1e-6
_LARGEST_SCORE = 10.0


def pool_regions(patch_BPD: Tensor, weight_BRP: Tensor) -> Tensor:
    """Mean of the patches of each region, weighted by their share in it, in float32.

    Args:
        patch_BPD: what is averaged.
        weight_BRP: share of each patch that lies in each region, not negative.

    Returns:
        Means, 0 for a region without any patch. Shape (B, R, D).
    """
    with torch.autocast(patch_BPD.device.type, enabled=False):
        weight_BRP = weight_BRP.float()
        mass_BR1 = weight_BRP.sum(dim=-1, keepdim=True)
        return weight_BRP / mass_BR1.clamp(min=_SMALLEST_MASS) @ patch_BPD.float()


def permute_regions(weight_BRP: Tensor, order_BR: Tensor) -> Tensor:
    """Give region r of image b the place of region ``order_BR[b, r]``. Shape (B, R, P)."""
    return weight_BRP.gather(1, order_BR[..., None].expand_as(weight_BRP))


class RegionReader(nn.Module):
    """Learned queries read the patches of each region: a lesion fills few of them, and a mean hides it.

    Read q of region r is Σ_p w_rp·exp(s_pq)·v_p / Σ_p w_rp·exp(s_pq), softmax attention that no patch
    outside the region takes part in. Scores s are capped at ±10, so that no sum vanishes.
    """

    def __init__(self, width: int, num_reads: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, num_reads, bias=False)
        self.position = nn.Parameter(torch.randn(num_reads, width) * 0.5)
        self.norm = nn.LayerNorm(width)

    def forward(self, patch_BPW: Tensor, weight_BRP: Tensor) -> Tensor:
        """Read each region; one without any patch reads as 0. Shape (B, R, Q, W)."""
        with torch.autocast(patch_BPW.device.type, enabled=False):
            patch_BPW, weight_BRP = patch_BPW.float(), weight_BRP.float()
            score_BPQ = _LARGEST_SCORE * torch.tanh(self.score(patch_BPW) / _LARGEST_SCORE)
            mass_BPQ = score_BPQ.exp()
            summed_BRQW = (weight_BRP @ (mass_BPQ[..., None] * patch_BPW[:, :, None]).flatten(2)).unflatten(
                -1, self.position.shape
            )
            total_BRQ = (weight_BRP @ mass_BPQ).clamp(min=_SMALLEST_MASS)
            return self.norm(summed_BRQW / total_BRQ[..., None] + self.position)


class AxialLayer(nn.Module):
    """Pre-norm transformer layer along one axis of the grid of findings and regions.

    Attention over all F·R prompts at once would cost F·R/(F + R) times as much as along both axes in turn.
    """

    def __init__(self, width: int, num_heads: int, mlp_ratio: int, *, has_context: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.context_key_value = nn.Linear(width, 2 * width) if has_context else None
        self.attention_out = nn.Linear(width, width)
        self.network_norm = nn.LayerNorm(width)
        hidden = mlp_ratio * width
        self.network = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, prompt_NXW: Tensor, context_NTW: Tensor) -> Tensor:
        """Update rows of prompts.

        Args:
            prompt_NXW: prompts that see one another, in rows.
            context_NTW: tokens that the prompts of a row see too, if the layer reads any.

        Returns:
            Prompts. Shape (N, X, W).
        """
        query, key, value = self.query_key_value(self.attention_norm(prompt_NXW)).chunk(3, dim=-1)
        if self.context_key_value is not None:
            further_key, further_value = self.context_key_value(context_NTW).chunk(2, dim=-1)
            key, value = torch.cat([key, further_key], dim=1), torch.cat([value, further_value], dim=1)
        heads = (split_heads(part, self.num_heads) for part in (query, key, value))
        prompt_NXW = prompt_NXW + self.attention_out(merge_heads(attend(*heads)))
        return prompt_NXW + self.network(self.network_norm(prompt_NXW))


class Grounded(NamedTuple):
    """What knowledge tells of images.

    Attributes:
        prompt_BFRW: prompts after the last layer.
        evidence_BFR: log-odds that each finding is present in each region.
        memory_BMV: what texts are compared with and written from: one token for each region with all its
            findings, one for each finding with all its regions, and the global tokens (M = R + F + G).
    """

    prompt_BFRW: Tensor
    evidence_BFR: Tensor
    memory_BMV: Tensor


@dataclass(frozen=True, kw_only=True)
class PromptLayout:
    """How the prompts, their transformer and the memory are laid out.

    Attributes:
        width: W, divisible by ``num_heads``.
        depth: layers.
        num_heads: attention heads of a layer.
        mlp_ratio: how much wider than the prompts the network of a layer is.
        num_reads: Q.
        memory_width: V.
        has_global_tokens: whether prompts and memory see the image as a whole.
    """

    width: int
    depth: int
    num_heads: int
    mlp_ratio: int
    num_reads: int
    memory_width: int
    has_global_tokens: bool


class GroundedKnowledge(nn.Module):
    """One prompt for every finding in every region, whatever the report says, updated by what an image shows.

    k_fr = LN(W₁·enc(f) + W₂·pool_r(V) + E_r). Layers take turns: in the first, third, … a prompt looks at the
    findings of its region, at reads of that region and at global tokens (the image embedding and reads of the
    whole head); in the others at its finding in all regions. Evidence is a product of knowledge and prompt,
    e_fr = ⟨W₃·enc(f) + b, h_fr⟩/√W, because networks that see only their sum learn slowly which finding looks
    like what; prompts enter the memory as σ(e_fr)·h_fr.
    """

    knowledge_FE: Tensor
    is_head_P: Tensor | None

    def __init__(
        self, embedding_dim: int, knowledge_FE: Tensor, num_regions: int, layout: PromptLayout, is_head_P: Tensor | None
    ) -> None:
        """Draw the weights.

        Args:
            embedding_dim: D.
            knowledge_FE: frozen sentence embedding of what is known of each finding.
            num_regions: R.
            layout: of prompts, layers and memory.
            is_head_P: patches that the global reads are taken from; None takes all.
        """
        super().__init__()
        (num_findings, text_width), width = knowledge_FE.shape, layout.width
        # Sentence embeddings have length 1; as deep in the sum as patches, findings are told apart from the start.
        standard_FE = functional.layer_norm(knowledge_FE.float(), (text_width,))
        self.register_buffer("knowledge_FE", standard_FE, persistent=False)
        self.register_buffer("is_head_P", is_head_P, persistent=False)
        self.has_global_tokens = layout.has_global_tokens
        self.patch_norm = nn.LayerNorm(embedding_dim)
        self.patch_projection = nn.Linear(embedding_dim, width, bias=False)
        self.knowledge_projection = nn.Linear(text_width, width, bias=False)
        self.position = nn.Parameter(torch.randn(num_regions, width) * 0.5)
        self.prompt_norm = nn.LayerNorm(width)
        self.reader = RegionReader(width, layout.num_reads)
        if layout.has_global_tokens:
            self.image_token = nn.Sequential(
                nn.LayerNorm(embedding_dim), nn.Linear(embedding_dim, width), nn.LayerNorm(width)
            )
            self.global_memory = nn.Linear(width, layout.memory_width)
        self.layers = nn.ModuleList(
            AxialLayer(width, layout.num_heads, layout.mlp_ratio, has_context=number % 2 == 0)
            for number in range(layout.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.finding_query = nn.Linear(text_width, width)
        self.region_memory = nn.Linear(num_findings * width, layout.memory_width)
        self.finding_memory = nn.Linear(num_regions * width, layout.memory_width)

    def forward(self, image_BD: Tensor, patch_BPD: Tensor, weight_BRP: Tensor) -> Grounded:
        """Ground the knowledge in images.

        Args:
            image_BD: image embeddings; not read without global tokens.
            patch_BPD: patch embeddings, of any length.
            weight_BRP: share of each patch in each region; all 0 for one that is not in the image.
        """
        patch_BPW = self.patch_projection(self.patch_norm(patch_BPD.float()))
        context_BRTW, global_BGW = self._context(image_BD, patch_BPW, weight_BRP)
        prompt_BFRW = self._update(self._prompts(patch_BPW, weight_BRP), context_BRTW)
        query_FW = self.finding_query(self.knowledge_FE) * prompt_BFRW.shape[-1] ** -0.5
        evidence_BFR = torch.einsum("bfrw,fw->bfr", prompt_BFRW, query_FW)
        # What is absent is silent, so that the few prompts that matter stand out in the sums.
        told = prompt_BFRW * evidence_BFR.sigmoid()[..., None]
        memory = [self.region_memory(told.transpose(1, 2).flatten(2)), self.finding_memory(told.flatten(2))]
        if global_BGW is not None:
            memory.append(self.global_memory(global_BGW))
        return Grounded(prompt_BFRW, evidence_BFR, torch.cat(memory, dim=1))

    def prompts(self, patch_BPD: Tensor, weight_BRP: Tensor) -> Tensor:
        """Prompts as they enter the transformer, k_fr. Shape (B, F, R, W)."""
        return self._prompts(self.patch_projection(self.patch_norm(patch_BPD.float())), weight_BRP).transpose(1, 2)

    def _prompts(self, patch_BPW: Tensor, weight_BRP: Tensor) -> Tensor:
        # A linear map of the mean is the mean of the mapped patches, which the reads need anyway.
        seen_BRW = pool_regions(patch_BPW, weight_BRP) + self.position
        known_FW = self.knowledge_projection(self.knowledge_FE)
        return self.prompt_norm(known_FW + seen_BRW[:, :, None])

    def _context(self, image_BD: Tensor, patch_BPW: Tensor, weight_BRP: Tensor) -> tuple[Tensor, Tensor | None]:
        if not self.has_global_tokens:
            return self.reader(patch_BPW, weight_BRP), None
        head_P = weight_BRP.new_ones(weight_BRP.shape[2]) if self.is_head_P is None else self.is_head_P
        head_B1P = head_P.to(weight_BRP.dtype).expand(len(weight_BRP), 1, -1)
        read_BRQW, head_B1QW = self.reader(patch_BPW, torch.cat([weight_BRP, head_B1P], dim=1)).tensor_split([-1], 1)
        global_BGW = torch.cat([self.image_token(image_BD.float())[:, None], head_B1QW[:, 0]], dim=1)
        return torch.cat([read_BRQW, global_BGW[:, None].expand(-1, read_BRQW.shape[1], -1, -1)], dim=2), global_BGW

    def _update(self, prompt_BRFW: Tensor, context_BRTW: Tensor) -> Tensor:
        """Let the layers update prompts. Shape (B, F, R, W)."""
        grid, context = prompt_BRFW, context_BRTW.flatten(0, 1)
        for number, layer in enumerate(self.layers):
            if number > 0:
                grid = grid.transpose(1, 2)
            grid = layer(grid.flatten(0, 1), context).unflatten(0, grid.shape[:2])
        grid = self.norm(grid)
        return grid if len(self.layers) % 2 == 0 else grid.transpose(1, 2)
