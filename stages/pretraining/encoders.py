"""Image encoders: sequences of a study in, one embedding (and patch embeddings) out.

Shape suffixes: B images, S sequences, P patches, M merged tokens, F fine width,
W width, D embedding; X stands for the spatial axes (R, A, S in 3D).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params
from stages.pretraining.blocks import (
    AttentionPool,
    ExtremePool,
    TransformerBlock,
    channels_last,
    hide_absent,
    over_space,
    projection_head,
)

Projection = Literal["linear", "mlp"]


class ImageEncoderParams(Params):
    """Size of the image encoder.

    Attributes:
        kind: ``patches`` (patch tokens, with or without a transformer; ViT-B is width 768,
            depth 12, heads 12, pooling attention), or ``resnet50`` (MONAI blocks).
        patch_size: edge of a patch in voxels; patches do not overlap.
        stem_width: channels between the two convolutions of a patch.
        fine_width: width of patch tokens before the trunk.
        is_merged: whether a strided convolution merges patches before the transformer.
        width: width of the trunk.
        depth: transformer blocks; with 0 a patch sees itself only.
        pooling: ``extremes`` (largest and mean response of any patch) or ``attention``.
        num_heads: attention heads of a block.
        mlp_ratio: width of a block's hidden layer over its own.
        num_queries: queries of the attention pooling.
    """

    kind: Literal["patches", "resnet50"] = "patches"
    patch_size: int = Field(default=4, ge=2)
    stem_width: int = Field(default=16, ge=1)
    fine_width: int = Field(default=64, ge=1)
    is_merged: bool = False
    width: int = Field(default=128, ge=1)
    depth: int = Field(default=0, ge=0)
    pooling: Literal["extremes", "attention"] = "extremes"
    num_heads: int = Field(default=4, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    num_queries: int = Field(default=4, ge=1)


class SequenceStem(nn.Module):
    """Patches of all sequences as tokens: two strided convolutions that together do not overlap.

    Sequences are channels; an absent one has no influence at all. Patches do not overlap, so that
    masking one leaks nothing into its neighbours. Each place and each sequence present add an
    embedding before the last nonlinearity.
    """

    def __init__(self, num_sequences: int, grid: tuple[int, ...], params: ImageEncoderParams) -> None:
        super().__init__()
        convolution = nn.Conv3d if len(grid) == 3 else nn.Conv2d
        first = params.patch_size // 2 if params.patch_size % 2 == 0 else 1
        second = params.patch_size // first
        self.first = convolution(num_sequences, params.stem_width, first, first)
        self.second = convolution(params.stem_width, params.fine_width, second, second)
        self.position = nn.Parameter(torch.zeros(params.fine_width, *grid))
        self.sequence_embedding = nn.Parameter(torch.randn(num_sequences, params.fine_width) * 0.02)

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Return one token for each patch. Shape (B, F, X)."""
        return self.combine(self.see(volumes_BSX, is_present_BS), is_present_BS)

    def see(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Return what the first convolution makes of the sequences present, on its finer grid. Shape (B, C, X)."""
        shown_BSX = hide_absent(volumes_BSX, is_present_BS)
        return functional.gelu(self.first(shown_BSX.contiguous(memory_format=channels_last(shown_BSX.ndim))))

    def combine(self, seen_BCX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Make one token of each patch of that. Shape (B, F, X)."""
        tokens_BFX = self.second(seen_BCX)
        shift_BF = is_present_BS.to(self.sequence_embedding.dtype) @ self.sequence_embedding
        return functional.gelu(tokens_BFX + self.position + over_space(shift_BF, tokens_BFX))


class Merge(nn.Module):
    """Widen patch tokens, merging neighbours where asked for (kernel 3, stride 2), and add positions."""

    def __init__(self, grid: tuple[int, ...], fine_width: int, width: int, *, is_strided: bool) -> None:
        super().__init__()
        kernel, stride = (3, 2) if is_strided else (1, 1)
        convolution = nn.Conv3d if len(grid) == 3 else nn.Conv2d
        self.convolution = convolution(fine_width, width, kernel, stride, padding=kernel // 2)
        self.grid = tuple((size - 1) // stride + 1 for size in grid)
        self.position = nn.Parameter(torch.randn(math.prod(self.grid), width) * 0.02)

    def forward(self, tokens_BFX: Tensor) -> Tensor:
        """Return merged tokens. Shape (B, M, W)."""
        return self.convolution(tokens_BFX).flatten(2).transpose(1, 2) + self.position


@dataclass(frozen=True)
class Tokens:
    """What an image becomes on its way: the first convolution, patch tokens, tokens after the trunk."""

    seen_BCX: Tensor
    fine_BFX: Tensor
    merged_BMW: Tensor


class ImageEncoder(nn.Module):
    """Encoder of images with any set of sequences, in two or three dimensions.

    Attributes:
        num_sequences: sequences that it knows.
        feature_dim: width of ``features``, what a probe or a decoder builds on.
    """

    def __init__(
        self,
        params: ImageEncoderParams,
        *,
        num_sequences: int,
        shape: tuple[int, ...],
        embedding_dim: int,
        projection: Projection = "linear",
    ) -> None:
        super().__init__()
        _check_shape(shape, params)
        self.num_sequences = num_sequences
        grid = tuple(size // params.patch_size for size in shape)
        self.stem = SequenceStem(num_sequences, grid, params)
        self.merge = Merge(grid, params.fine_width, params.width, is_strided=params.is_merged)
        blocks = (TransformerBlock(params.width, params.num_heads, params.mlp_ratio) for _ in range(params.depth))
        self.trunk = nn.Sequential(*blocks)
        self.pool: AttentionPool | ExtremePool = (
            ExtremePool(params.width)
            if params.pooling == "extremes"
            else AttentionPool(params.width, params.num_queries)
        )
        self.feature_dim = self.pool.feature_dim
        self.projection = projection_head(projection, self.feature_dim, embedding_dim)
        self.fine_projection: nn.Linear | None = None
        if params.is_merged:
            self.fine_projection = nn.Linear(params.fine_width, self.feature_dim, bias=False)
            nn.init.zeros_(self.fine_projection.weight)

    def features(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Encode images as far as the projection.

        Args:
            volumes_BSX: standardised intensities, sequences in the order of training.
            is_present_BS: which sequences the image has; what stands in absent ones is ignored.

        Returns:
            One feature an image. Shape (B, feature_dim).

        Raises:
            ValueError: if the shapes do not fit one another or the encoder.
        """
        return self.pool(self._tokens(volumes_BSX, is_present_BS).merged_BMW)

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed images in the space shared with texts (arguments of ``features``). Shape (B, D)."""
        return self.projection(self.features(volumes_BSX, is_present_BS))

    def encode_patches(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed every patch in the shared space (arguments of ``features``).

        A patch is what the pooling would make of its token alone. Where tokens are merged, it is that
        of the merged token, refined by the patch's own through a map that starts at zero (only
        objectives that use patches train it).

        Returns:
            Patch embeddings in row-major order of the patch grid. Shape (B, P, D).
        """
        return self._embed_patches(self._tokens(volumes_BSX, is_present_BS))

    def embed(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images and all their patches in one pass (``forward`` and ``encode_patches``).

        Returns:
            Image embeddings (B, D) and patch embeddings (B, P, D).
        """
        tokens = self._tokens(volumes_BSX, is_present_BS)
        return self.projection(self.pool(tokens.merged_BMW)), self._embed_patches(tokens)

    def _embed_patches(self, tokens: Tokens) -> Tensor:
        if self.fine_projection is None:
            if isinstance(self.pool, ExtremePool) and isinstance(self.projection, nn.Linear):
                return self.pool.project_dense(tokens.merged_BMW, self.projection.weight)
            return self.projection(self.pool.dense(tokens.merged_BMW))
        coarse_BWX = self.pool.dense(tokens.merged_BMW).transpose(1, 2).unflatten(2, self.merge.grid)
        coarse_BPW = functional.interpolate(coarse_BWX, size=tokens.fine_BFX.shape[2:]).flatten(2).transpose(1, 2)
        return self.projection(coarse_BPW + self.fine_projection(tokens.fine_BFX.flatten(2).transpose(1, 2)))

    def feature_maps(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> list[Tensor]:
        """Encode images into maps for a decoder (arguments of ``features``).

        Returns:
            Maps (B, channels, X) from the finest grid to the coarsest, each grid coarser than the one before.
        """
        tokens = self._tokens(volumes_BSX, is_present_BS)
        merged_BWX = tokens.merged_BMW.transpose(1, 2).unflatten(2, self.merge.grid)
        is_merged = merged_BWX.shape[2:] != tokens.fine_BFX.shape[2:]
        return [tokens.seen_BCX, *([tokens.fine_BFX] if is_merged else []), merged_BWX]

    def _tokens(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tokens:
        check_images(volumes_BSX, is_present_BS, self.num_sequences)
        seen_BCX = self.stem.see(volumes_BSX, is_present_BS)
        fine_BFX = self.stem.combine(seen_BCX, is_present_BS)
        return Tokens(seen_BCX, fine_BFX, self.trunk(self.merge(fine_BFX)))


def check_images(volumes_BSX: Tensor, is_present_BS: Tensor, num_sequences: int) -> None:
    """Check that volumes and presence fit together and the encoder.

    Raises:
        ValueError: naming what was expected and what arrived.
    """
    shape = tuple(volumes_BSX.shape[:2])
    if shape[1] != num_sequences:
        raise ValueError(f"volumes: expected {num_sequences} sequences on axis 1, got shape {tuple(volumes_BSX.shape)}")
    if tuple(is_present_BS.shape) != shape or is_present_BS.dtype != torch.bool:
        raise ValueError(f"presence: expected booleans {shape}, got {is_present_BS.dtype} {tuple(is_present_BS.shape)}")


def build_image_encoder(
    params: ImageEncoderParams,
    *,
    num_sequences: int,
    shape: tuple[int, ...],
    embedding_dim: int,
    projection: Projection = "linear",
) -> nn.Module:
    """Build the encoder that the parameters ask for; MONAI is imported only if they do."""
    sizes = {"num_sequences": num_sequences, "shape": shape, "embedding_dim": embedding_dim, "projection": projection}
    if params.kind == "resnet50":
        from stages.pretraining.resnet import ResNetEncoder

        return ResNetEncoder(params, **sizes)  # type: ignore[arg-type]
    return ImageEncoder(params, **sizes)  # type: ignore[arg-type]


def _check_shape(shape: tuple[int, ...], params: ImageEncoderParams) -> None:
    if len(shape) not in (2, 3) or any(size % params.patch_size for size in shape):
        raise ValueError(
            f"images of shape {shape}: expected 2 or 3 axes divisible by {params.patch_size}; "
            "change prepare_volumes.shape or pretrain.image.patch_size"
        )
    if params.width % params.num_heads:
        raise ValueError(f"pretrain.image.width={params.width}: not divisible by num_heads={params.num_heads}")
