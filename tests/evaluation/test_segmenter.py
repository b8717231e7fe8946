"""The segmentation network on feature maps of any grids, in 2D and 3D."""

import pytest
import torch

from stages.evaluation.segmenter import Decoder, MapScale, Segmenter
from stages.pretraining.encoders import ImageEncoderParams, build_image_encoder

ENCODERS = {
    "default": {},
    "merged": {"is_merged": True, "depth": 1},
    "2d": {},
    "resnet50": {"kind": "resnet50"},
}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", ENCODERS)
def test_any_encoder_gives_one_logit_a_voxel(kind, stride):
    torch.manual_seed(0)
    shape = (24, 32) if kind == "2d" else (24, 32, 24)
    params = ImageEncoderParams(width=32, fine_width=8, num_heads=2, **ENCODERS[kind])
    encoder = build_image_encoder(params, num_sequences=3, shape=shape, embedding_dim=8)
    volumes, is_present = torch.randn(1, 3, *shape), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        scale = MapScale.fit(encoder.feature_maps(volumes, is_present))
    network = Segmenter(encoder, scale, Decoder(shape, 3, scale.shapes, width=4, stride=stride))
    logits = network(volumes, is_present)
    assert logits.shape == (1, 1, *shape)
    logits.square().mean().backward()
    silent = [name for name, parameter in network.decoder.named_parameters() if parameter.grad is None]
    assert not silent


def test_a_new_network_says_the_prior():
    decoder = Decoder((8, 8, 8), 2, [(4, 4, 4, 4)], width=4, stride=2)
    torch.nn.init.zeros_(decoder.out.conv.conv.weight)
    logits = decoder(torch.randn(2, 2, 8, 8, 8), [torch.randn(2, 4, 4, 4, 4)])
    torch.testing.assert_close(logits.sigmoid(), torch.full_like(logits, 0.01))


def test_the_unit_of_a_map_makes_no_difference():
    maps = [torch.randn(6, 3, 4, 4, 4), torch.randn(6, 5, 2, 2, 2)]
    scaled = [7.0 * values - 3.0 for values in maps]
    for own, other in zip(MapScale.fit(maps).apply(maps), MapScale.fit(scaled).apply(scaled), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(own.mean((0, 2, 3, 4)), torch.zeros(own.shape[1]), rtol=0, atol=1e-5)


def test_a_shape_that_the_stride_does_not_divide_is_an_error():
    with pytest.raises(ValueError, match="not divisible by evaluate_segmentation.stride=2"):
        Decoder((9, 8, 8), 2, [(4, 4, 4, 4)], width=4, stride=2)
