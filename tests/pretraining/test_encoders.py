from itertools import pairwise, product

import pytest
import torch
from torch.nn import functional

from stages.pretraining.encoders import ImageEncoderParams, build_image_encoder
from stages.pretraining.towers import WithPatches

SHAPES = {2: (8, 12), 3: (8, 12, 8)}
SMALL = ImageEncoderParams(stem_width=4, fine_width=8, width=16, num_heads=2, num_queries=2)
VIT = SMALL.model_copy(update={"depth": 2, "pooling": "attention"})
MERGED = SMALL.model_copy(update={"depth": 1, "pooling": "attention", "is_merged": True})
PATCHES = {"default": SMALL, "transformer": VIT, "merged": MERGED}


def build(shape, params=SMALL, projection="linear"):
    torch.manual_seed(0)
    return build_image_encoder(params, num_sequences=3, shape=shape, embedding_dim=10, projection=projection)


def images(shape, batch=4):
    torch.manual_seed(1)
    is_present = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [True, True, False]])
    return torch.rand(batch, 3, *shape), is_present[:batch]


def spread_positions(encoder):
    """Positions start at zero, where a test cannot see them."""
    torch.manual_seed(2)
    torch.nn.init.normal_(encoder.stem.position)
    return encoder


@pytest.mark.parametrize("params", PATCHES.values(), ids=PATCHES)
@pytest.mark.parametrize("dims", SHAPES)
def test_one_encoder_reads_two_and_three_dimensions(dims, params):
    encoder = build(SHAPES[dims], params)
    volumes, is_present = images(SHAPES[dims])
    num_patches = int(torch.tensor(SHAPES[dims]).prod()) // 4**dims
    assert encoder(volumes, is_present).shape == (4, 10)
    assert encoder.features(volumes, is_present).shape == (4, encoder.feature_dim)
    assert encoder.encode_patches(volumes, is_present).shape == (4, num_patches, 10)


@pytest.mark.parametrize("patch_size", [4, 3])
def test_a_token_of_the_stem_is_the_slow_reference(patch_size):
    params = SMALL.model_copy(update={"patch_size": patch_size})
    shape = (2 * patch_size, 3 * patch_size, 2 * patch_size)
    stem, (volumes, is_present) = spread_positions(build(shape, params)).stem, images(shape)
    tokens = stem(volumes, is_present)
    edge = stem.first.kernel_size[0]
    assert tokens.shape == (4, 8, 2, 3, 2)
    assert edge * stem.second.kernel_size[0] == patch_size
    # Study 1 has the first and third sequence; its patch at (1, 2, 0).
    patch = volumes[1, :, patch_size:, 2 * patch_size :, :patch_size]
    expected = stem.second.bias + stem.position[:, 1, 2, 0]
    for s in (0, 2):
        expected = expected + stem.sequence_embedding[s]
    for i, j, k in product(range(patch_size // edge), repeat=3):
        block = patch[:, i * edge : (i + 1) * edge, j * edge : (j + 1) * edge, k * edge : (k + 1) * edge]
        inner = stem.first.bias
        for s in (0, 2):
            inner = inner + (stem.first.weight[:, s] * block[s]).flatten(1).sum(dim=1)
        expected = expected + stem.second.weight[:, :, i, j, k] @ functional.gelu(inner)
    torch.testing.assert_close(tokens[1, :, 1, 2, 0], functional.gelu(expected), rtol=1e-4, atol=1e-5)


def test_the_stem_tells_which_sequences_are_present_and_ignores_what_stands_in_others():
    stem, (volumes, is_present) = build(SHAPES[3]).stem, images(SHAPES[3])
    expected = stem(volumes, is_present)
    for filling in (0.0, 7.0, float("nan"), float("inf")):
        absent = ~is_present[..., None, None, None].expand_as(volumes)
        torch.testing.assert_close(stem(volumes.masked_fill(absent, filling), is_present), expected, rtol=0, atol=0)
    # A sequence that is all zero is not the same as one that is absent.
    zeroed, every = volumes.clone(), torch.ones_like(is_present)
    zeroed[1, 1] = 0
    assert not torch.allclose(stem(zeroed, every)[1], expected[1])


@pytest.mark.parametrize("kind", ["patches", "resnet50"])
def test_an_absent_sequence_has_no_influence_whatever_stands_there(kind):
    shape = SHAPES[3] if kind == "patches" else (32, 32)
    params = SMALL.model_copy(update={"kind": kind})
    encoder, (volumes, is_present) = build(shape, params), images(shape, batch=2)
    spoilt = volumes.clone()
    spoilt[1, 1] = float("nan")
    torch.testing.assert_close(encoder(spoilt, is_present), encoder(volumes, is_present))


def test_the_resnet_has_no_batch_normalisation():
    encoder = build((32, 32), SMALL.model_copy(update={"kind": "resnet50"}))
    assert not any("BatchNorm" in type(module).__name__ for module in encoder.modules())


@pytest.mark.parametrize("kind", ["patches", "resnet50"])
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(kind):
    shape = SHAPES[3] if kind == "patches" else (32, 32)
    encoder, (volumes, is_present) = build(shape, SMALL.model_copy(update={"kind": kind})), images(shape, batch=2)
    alone = encoder(volumes[:1], is_present[:1])
    torch.testing.assert_close(encoder(volumes, is_present)[:1], alone, rtol=1e-4, atol=1e-5)
    assert encoder.encode_patches(volumes, is_present).shape[::2] == (2, 10)


@pytest.mark.parametrize("params", PATCHES.values(), ids=PATCHES)
def test_every_parameter_is_trained_by_embeddings_and_patches(params):
    encoder, (volumes, is_present) = build(SHAPES[3], params, projection="mlp"), images(SHAPES[3])
    (
        encoder(volumes, is_present).square().sum() + encoder.encode_patches(volumes, is_present).square().sum()
    ).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        # A key's bias moves all scores of a query alike.
        assert parameter.grad.abs().sum() > 0 or name == "pool.key.bias", name


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 2, 1)])
def test_a_token_of_the_stem_depends_on_its_own_patch_only(place):
    encoder, (volumes, is_present) = build(SHAPES[3]), images(SHAPES[3])
    changed = volumes.clone()
    changed[(0, 0, *(slice(4 * i, 4 * i + 4) for i in place))] += 1
    difference = (encoder.stem(changed, is_present) - encoder.stem(volumes, is_present)).abs().sum(dim=1)
    assert difference.nonzero().tolist() == [[0, *place]]


def test_without_a_transformer_a_patch_embedding_depends_on_its_own_voxels_only():
    encoder, (volumes, is_present) = build(SHAPES[3]), images(SHAPES[3])
    changed = volumes.clone()
    changed[0, 0, 4:8, 8:12, 0:4] += 1
    difference = (encoder.encode_patches(changed, is_present) - encoder.encode_patches(volumes, is_present)).abs()
    # Row-major in a grid of 2 x 3 x 2.
    assert difference.sum(dim=2).nonzero().tolist() == [[0, 1 * 6 + 2 * 2 + 0]]


@pytest.mark.parametrize("params", PATCHES.values(), ids=PATCHES)
def test_a_patch_is_what_its_token_alone_would_be_embedded_to(params):
    encoder, (volumes, is_present) = build(SHAPES[3], params), images(SHAPES[3])
    got = encoder.encode_patches(volumes, is_present)
    tokens = encoder.trunk(encoder.merge(encoder.stem(volumes, is_present)))
    stride = 2 if params.is_merged else 1
    grid = encoder.merge.grid
    for patch, (i, j, k) in enumerate(product(range(2), range(3), range(2))):
        token = (i // stride * grid[1] + j // stride) * grid[2] + k // stride
        expected = encoder.projection(encoder.pool(tokens[:, token : token + 1]))
        torch.testing.assert_close(got[:, patch], expected, rtol=1e-4, atol=1e-5)


def test_shapes_that_do_not_fit_are_refused():
    encoder, (volumes, is_present) = build(SHAPES[3]), images(SHAPES[3])
    with pytest.raises(ValueError, match="expected 3 sequences on axis 1, got shape"):
        encoder(volumes[:, :2], is_present[:, :2])
    with pytest.raises(ValueError, match=r"expected booleans \(4, 3\), got torch.float32"):
        encoder(volumes, is_present.float())
    with pytest.raises(ValueError, match=r"images of shape \(9, 12, 8\): expected 2 or 3 axes divisible by 4"):
        build((9, 12, 8))
    with pytest.raises(ValueError, match="width=16: not divisible by num_heads=3"):
        build((8, 8), SMALL.model_copy(update={"num_heads": 3}))


@pytest.mark.parametrize(
    "params", [SMALL, SMALL.model_copy(update={"is_merged": True, "depth": 1})], ids=["plain", "merged"]
)
@pytest.mark.parametrize("dims", SHAPES)
def test_feature_maps_get_coarser_and_agree_with_the_features(dims, params):
    encoder = build(SHAPES[dims], params)
    volumes, is_present = images(SHAPES[dims])
    maps = encoder.feature_maps(volumes, is_present)
    assert len(maps) == 2 + params.is_merged
    for finer, coarser in pairwise(maps):
        assert all(a > b for a, b in zip(finer.shape[2:], coarser.shape[2:], strict=True))
    last_BMW = maps[-1].flatten(2).transpose(1, 2)
    torch.testing.assert_close(encoder.pool(last_BMW), encoder.features(volumes, is_present))


@pytest.mark.parametrize("kind", [*PATCHES, "resnet50"])
def test_images_and_patches_in_one_pass_are_those_of_two(kind):
    shape = (32, 32) if kind == "resnet50" else SHAPES[3]
    params = PATCHES.get(kind, SMALL.model_copy(update={"kind": "resnet50"}))
    encoder, (volumes, is_present) = build(shape, params), images(shape)
    image, patches = encoder.embed(volumes, is_present)
    torch.testing.assert_close(image, encoder(volumes, is_present))
    torch.testing.assert_close(patches, encoder.encode_patches(volumes, is_present))
    joined = WithPatches(encoder)(volumes, is_present)
    torch.testing.assert_close(joined, torch.cat([image[:, None], patches], dim=1))
