"""Image encoders: sequences of a study in, one embedding (and patch embeddings) out.

Shape suffixes: B images, S sequences, P patches, M merged tokens, F fine width,
W width, D embedding; X stands for the spatial axes (R, A, S in 3D).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from stages.params import Params
from stages.pretraining.blocks import AttentionPool, TransformerBlock, projection_head

Projection = Literal["linear", "mlp"]


class ImageEncoderParams(Params):
    """Size of the image encoder.

    Attributes:
        kind: ``transformer`` (small by default; ViT-B is width 768, depth 12, heads 12,
            is_merged false), or ``resnet50`` (MONAI blocks).
        patch_size: edge of a patch in voxels; patches do not overlap.
        fine_width: width of patch tokens before merging.
        is_merged: whether a strided convolution merges patches before the transformer.
        width: width of the transformer.
        depth: transformer blocks.
        num_heads: attention heads of a block.
        mlp_ratio: width of a block's hidden layer over its own.
        num_queries: queries of the attention pooling.
    """

    kind: Literal["transformer", "resnet50"] = "transformer"
    patch_size: int = Field(default=4, ge=1)
    fine_width: int = Field(default=64, ge=1)
    is_merged: bool = True
    width: int = Field(default=128, ge=1)
    depth: int = Field(default=2, ge=0)
    num_heads: int = Field(default=4, ge=1)
    mlp_ratio: int = Field(default=4, ge=1)
    num_queries: int = Field(default=4, ge=1)


class SequenceStem(nn.Module):
    """Patches of every sequence, each through its own linear map, averaged over the sequences present.

    An absent sequence has no influence at all. Patches do not overlap, so that masking one
    leaks nothing into its neighbours.
    """

    def __init__(self, num_sequences: int, patch_size: int, spatial_dims: int, width: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        num_voxels = patch_size**spatial_dims
        weight = torch.randn(width, num_sequences, *(patch_size,) * spatial_dims) * num_voxels**-0.5
        self.weight = nn.Parameter(weight)
        self.sequence_embedding = nn.Parameter(torch.randn(num_sequences, width) * 0.02)
        self.norm = nn.LayerNorm(width)

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Return one token for each patch. Shape (B, F, X)."""
        present_BS = is_present_BS.to(volumes_BSX.dtype)
        share_BS = present_BS / present_BS.sum(dim=1, keepdim=True).clamp(min=1)
        # filled and not multiplied: an absent slot may hold anything, NaN included.
        absent_BSX = ~is_present_BS.view(*is_present_BS.shape, *(1 for _ in volumes_BSX.shape[2:]))
        convolve = functional.conv3d if volumes_BSX.ndim == 5 else functional.conv2d
        tokens_BFX = convolve(volumes_BSX.masked_fill(absent_BSX, 0), self.weight, stride=self.patch_size)
        grid = tokens_BFX.shape[2:]
        shift_BF = share_BS @ self.sequence_embedding
        tokens_BPF = tokens_BFX.flatten(2).transpose(1, 2) * share_BS.amax(dim=1)[:, None, None] + shift_BF[:, None]
        return functional.gelu(self.norm(tokens_BPF)).transpose(1, 2).unflatten(2, grid)


class Merge(nn.Module):
    """Merge neighbouring patches (kernel 3, stride 2) and add their positions."""

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
        self.feature_dim = params.width
        grid = tuple(size // params.patch_size for size in shape)
        self.stem = SequenceStem(num_sequences, params.patch_size, len(shape), params.fine_width)
        self.merge = Merge(grid, params.fine_width, params.width, is_strided=params.is_merged)
        blocks = (TransformerBlock(params.width, params.num_heads, params.mlp_ratio) for _ in range(params.depth))
        self.trunk = nn.Sequential(*blocks)
        self.pool = AttentionPool(params.width, params.num_queries)
        self.projection = projection_head(projection, params.width, embedding_dim)
        self.fine_projection = nn.Linear(params.fine_width, params.width, bias=False)
        nn.init.zeros_(self.fine_projection.weight)

    def features(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Encode images as far as the projection.

        Args:
            volumes_BSX: intensities in [0, 1], sequences in the order of training.
            is_present_BS: which sequences the image has; what stands in absent ones is ignored.

        Returns:
            One feature an image. Shape (B, W).

        Raises:
            ValueError: if the shapes do not fit one another or the encoder.
        """
        return self.pool(self._tokens(volumes_BSX, is_present_BS)[1])

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed images in the space shared with texts (arguments of ``features``). Shape (B, D)."""
        return self.projection(self.features(volumes_BSX, is_present_BS))

    def encode_patches(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed every patch in the shared space (arguments of ``features``).

        A patch is what the pooling would make of its merged token alone, refined by its own fine
        token through a map that starts at zero (only objectives that use patches train it).

        Returns:
            Patch embeddings in row-major order of the patch grid. Shape (B, P, D).
        """
        fine_BFX, merged_BMW = self._tokens(volumes_BSX, is_present_BS)
        coarse_BWX = self.pool.dense(merged_BMW).transpose(1, 2).unflatten(2, self.merge.grid)
        coarse_BPW = functional.interpolate(coarse_BWX, size=fine_BFX.shape[2:]).flatten(2).transpose(1, 2)
        return self.projection(coarse_BPW + self.fine_projection(fine_BFX.flatten(2).transpose(1, 2)))

    def _tokens(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> tuple[Tensor, Tensor]:
        check_images(volumes_BSX, is_present_BS, self.num_sequences)
        fine_BFX = self.stem(volumes_BSX, is_present_BS)
        return fine_BFX, self.trunk(self.merge(fine_BFX))


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
