"""Network that outlines lesions: an image encoder's feature maps through a UNETR-style decoder.

The decoder is that of UNETR (Hatamizadeh et al., arXiv 2103.10504), from MONAI's blocks: it starts at
the coarsest map, and each step up brings in the next finer one, last the image itself.

Shape suffixes: B images, S sequences, C channels; X stands for the spatial axes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks.blocks.dynunet_block import UnetOutBlock
from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrUpBlock
from monai.networks.utils import pixelshuffle, pixelunshuffle
from torch import Tensor, nn

from stages.pretraining.blocks import channels_last

_NORM = "instance"
_MIN_DEVIATION = 1e-6
# Share of the voxels that are lesion, which the network says at first (Lin et al., arXiv 1708.02002):
# from one half it would take most of a short training to come down.
_PRIOR = 0.01


@dataclass(frozen=True)
class MapScale:
    """Mean and deviation of each channel of each feature map over images, so that no encoder's units matter.

    Attributes:
        means: one a map. Shape (1, C, 1…).
        deviations: likewise.
        shapes: channels and grid of each map.
    """

    means: list[Tensor]
    deviations: list[Tensor]
    shapes: list[tuple[int, ...]]

    @classmethod
    def fit(cls, maps: Sequence[Tensor]) -> MapScale:
        """Measure the maps (B, C, X) of some images."""
        axes = [[0, *range(2, values.ndim)] for values in maps]
        means = [values.mean(own, keepdim=True) for values, own in zip(maps, axes, strict=True)]
        deviations = [values.std(own, keepdim=True) for values, own in zip(maps, axes, strict=True)]
        return cls(means, [d.clamp(min=_MIN_DEVIATION) for d in deviations], [tuple(m.shape[1:]) for m in maps])

    def apply(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Standardise maps, in the memory layout that convolutions are fastest in."""
        parts = zip(maps, self.means, self.deviations, strict=True)
        return [_to_layout((values - mean) / deviation) for values, mean, deviation in parts]


class UpBlock(UnetrUpBlock):
    """A step up that also fits grids which are no whole multiple of the coarser one."""

    def forward(self, inp: Tensor, skip: Tensor) -> Tensor:
        """Bring the coarse map to the grid of the fine one and merge both. Shape (B, C, X of ``skip``)."""
        raised_BCX = self.transp_conv(inp)
        kept = (slice(None), slice(None), *(slice(0, size) for size in skip.shape[2:]))
        return self.conv_block(torch.cat([raised_BCX[kept], skip], dim=1))


class Decoder(nn.Module):
    """Logits at full resolution from an image and the feature maps of its encoder, in 2D or 3D.

    Where ``stride`` is above 1, the image and maps as fine as it are folded into channels first
    (``stride`` voxels along each axis become one) and the logits unfolded at the end, which a CPU
    computes many times faster; with 1 the decoder is UNETR's.
    """

    def __init__(
        self, shape: Sequence[int], num_sequences: int, maps: Sequence[Sequence[int]], *, width: int, stride: int
    ) -> None:
        """Build the decoder.

        Args:
            shape: of the image, in voxels.
            num_sequences: of the image.
            maps: channels and grid of each feature map, from the finest grid to the coarsest.
            width: channels at the finest grid of the decoder; each step down doubles them.
            stride: voxels that this grid merges along an axis.

        Raises:
            ValueError: if an axis of the image is not divisible by the stride.
        """
        super().__init__()
        self.num_axes, self.stride = len(shape), stride
        self.grid = tuple(size // stride for size in shape)
        if any(size % stride for size in shape):
            raise ValueError(f"images of shape {tuple(shape)}: not divisible by evaluate_segmentation.stride={stride}")
        folded = [self._fold_of(grid) for _, *grid in maps]
        self.num_folded = sum(fold > 0 for fold in folded)
        num_channels = [channels * fold**self.num_axes for (channels, *_), fold in zip(maps, folded, strict=True)]
        first = num_sequences * stride**self.num_axes + sum(num_channels[: self.num_folded])
        coarse = list(maps[self.num_folded :])
        widths = [width * 2**level for level in range(max(1, len(coarse)))]
        inputs = [first, *(channels for channels, *_ in coarse[:-1])]
        # Folded voxels are neighbours already, so their channels are mixed in place.
        kernels = [1 if stride > 1 else 3, *(3 for _ in widths[1:])]
        self.skips = nn.ModuleList(
            UnetrBasicBlock(self.num_axes, channels, own, kernel, 1, _NORM)
            for channels, own, kernel in zip(inputs, widths, kernels, strict=True)
        )
        grids = [self.grid, *(tuple(grid) for _, *grid in coarse)]
        below = [*widths[1:], coarse[-1][0]] if coarse else []
        self.ups = nn.ModuleList(
            UpBlock(self.num_axes, deep, own, 3, _ratio(fine, grid), _NORM)
            for deep, own, fine, grid in zip(below, widths[: len(coarse)], grids[:-1], grids[1:], strict=True)
        )
        self.out = UnetOutBlock(self.num_axes, width, stride**self.num_axes)
        nn.init.constant_(self.out.conv.conv.bias, math.log(_PRIOR / (1 - _PRIOR)))

    def forward(self, volumes_BSX: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Compute lesion logits.

        Args:
            volumes_BSX: standardised intensities, 0 where a sequence is absent.
            maps: feature maps of the encoder, finest first.

        Returns:
            One logit a voxel. Shape (B, 1, X).
        """
        finest = [self._fold(image) for image in (volumes_BSX, *maps[: self.num_folded])]
        finest_BCX = _to_layout(torch.cat(finest, dim=1))
        coarse = list(maps[self.num_folded :])
        skips = [skip(image) for skip, image in zip(self.skips, [finest_BCX, *coarse[:-1]], strict=True)]
        current_BCX = coarse[-1] if coarse else skips[0]
        for up, skip_BCX in zip(reversed(self.ups), reversed(skips), strict=bool(coarse)):
            current_BCX = up(current_BCX, skip_BCX)
        return pixelshuffle(self.out(current_BCX), self.num_axes, self.stride)

    def _fold_of(self, grid: Sequence[int]) -> int:
        """How many voxels of a map one of the decoder's finest grid takes in along an axis, 0 if it is coarser."""
        is_as_fine = all(size >= own for size, own in zip(grid, self.grid, strict=True))
        return round(grid[0] / self.grid[0]) if is_as_fine else 0

    def _fold(self, image_BCX: Tensor) -> Tensor:
        return pixelunshuffle(image_BCX, self.num_axes, round(image_BCX.shape[2] / self.grid[0]))


class Segmenter(nn.Module):
    """An image encoder and the decoder of its standardised maps.

    Attributes:
        encoder: with ``feature_maps``.
        scale: of these maps, measured before any training.
        decoder: what makes logits of them.
    """

    def __init__(self, encoder: nn.Module, scale: MapScale, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.scale = encoder, scale
        self.decoder = decoder
        decoder.to(memory_format=channels_last(decoder.num_axes + 2))  # type: ignore[call-overload]

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor, maps: Sequence[Tensor] | None = None) -> Tensor:
        """Compute lesion logits.

        Args:
            volumes_BSX: standardised intensities, 0 where a sequence is absent.
            is_present_BS: which sequences each image has.
            maps: standardised maps of the encoder where they are known already.

        Returns:
            One logit a voxel. Shape (B, 1, X).
        """
        if maps is None:
            maps = self.scale.apply(self.encoder.feature_maps(volumes_BSX, is_present_BS))  # type: ignore[operator]
        return self.decoder(volumes_BSX, maps)


def _to_layout(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=channels_last(values.ndim))


def _ratio(fine: Sequence[int], coarse: Sequence[int]) -> tuple[int, ...]:
    return tuple(math.ceil(size / own) for size, own in zip(fine, coarse, strict=True))
