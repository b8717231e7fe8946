"""ResNet-50 image encoder from MONAI blocks, for a GPU.

Shape suffixes: B images, S sequences, C channels, P positions of the last feature map, W width,
D embedding; X stands for the spatial axes.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.networks.nets.resnet import resnet50
from torch import Tensor, nn

from stages.pretraining.blocks import AttentionPool, hide_absent, over_space, projection_head
from stages.pretraining.encoders import ImageEncoderParams, Projection, check_images

_LAST_WIDTH = 2048
_NUM_GROUPS = 32


class ResNetEncoder(nn.Module):
    """Sequences as channels, zero where absent, with presence maps beside them.

    Group normalisation in place of batch normalisation: an embedding does not depend on the rest
    of the batch, so that gradient-cached batches are exact.
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
        self.num_sequences = num_sequences
        network = resnet50(spatial_dims=len(shape), n_input_channels=2 * num_sequences, feed_forward=False)
        self.network: Any = with_group_norm(network)
        self.reduce = nn.Linear(_LAST_WIDTH, params.width)
        self.pool = AttentionPool(params.width, params.num_queries)
        self.feature_dim = self.pool.feature_dim
        self.projection = projection_head(projection, self.feature_dim, embedding_dim)

    def features(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Encode images as far as the projection (see ``ImageEncoder.features``). Shape (B, W)."""
        return self.pool(self._tokens(volumes_BSX, is_present_BS))

    def forward(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed images in the space shared with texts. Shape (B, D)."""
        return self.projection(self.features(volumes_BSX, is_present_BS))

    def encode_patches(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        """Embed every position of the last feature map in the shared space. Shape (B, P, D)."""
        return self.projection(self.pool.dense(self._tokens(volumes_BSX, is_present_BS)))

    def embed(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Embed images (B, D) and positions (B, P, D) in one pass (see ``ImageEncoder.embed``)."""
        tokens_BPW = self._tokens(volumes_BSX, is_present_BS)
        return self.projection(self.pool(tokens_BPW)), self.projection(self.pool.dense(tokens_BPW))

    def feature_maps(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> list[Tensor]:
        """Maps of every layer, from the finest grid to the coarsest (see ``ImageEncoder.feature_maps``)."""
        return self._maps(self._inputs(volumes_BSX, is_present_BS))

    def _tokens(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        last_BCX = self._maps(self._inputs(volumes_BSX, is_present_BS))[-1]
        return self.reduce(last_BCX.flatten(2).transpose(1, 2))

    def _inputs(self, volumes_BSX: Tensor, is_present_BS: Tensor) -> Tensor:
        check_images(volumes_BSX, is_present_BS, self.num_sequences)
        presence_BSX = over_space(is_present_BS, volumes_BSX).to(volumes_BSX.dtype).expand_as(volumes_BSX)
        return torch.cat([hide_absent(volumes_BSX, is_present_BS), presence_BSX], dim=1)

    def _maps(self, image_BCX: Tensor) -> list[Tensor]:
        network = self.network
        maps = [network.act(network.bn1(network.conv1(image_BCX)))]
        maps.append(network.layer1(network.maxpool(maps[0])))
        for layer in (network.layer2, network.layer3, network.layer4):
            maps.append(layer(maps[-1]))
        return maps


def with_group_norm(network: nn.Module) -> Any:
    """Replace every batch normalisation; MONAI's ``norm`` argument reaches the first layer only."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
                setattr(module, name, nn.GroupNorm(_NUM_GROUPS, child.num_features))
    return network
