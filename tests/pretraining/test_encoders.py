import pytest
import torch

from stages.pretraining.encoders import ImageEncoderParams, build_image_encoder

SHAPES = {2: (8, 12), 3: (8, 12, 8)}
SMALL = ImageEncoderParams(fine_width=8, width=16, depth=1, num_heads=2, num_queries=2)
VIT = SMALL.model_copy(update={"is_merged": False, "depth": 2})


def build(shape, params=SMALL, projection="linear"):
    torch.manual_seed(0)
    return build_image_encoder(params, num_sequences=3, shape=shape, embedding_dim=10, projection=projection)


def images(shape, batch=4):
    torch.manual_seed(1)
    is_present = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [True, True, False]])
    return torch.rand(batch, 3, *shape), is_present[:batch]


@pytest.mark.parametrize("params", [SMALL, VIT], ids=["merged", "flat"])
@pytest.mark.parametrize("dims", SHAPES)
def test_one_encoder_reads_two_and_three_dimensions(dims, params):
    encoder = build(SHAPES[dims], params)
    volumes, is_present = images(SHAPES[dims])
    num_patches = int(torch.tensor(SHAPES[dims]).prod()) // 4**dims
    assert encoder(volumes, is_present).shape == (4, 10)
    assert encoder.features(volumes, is_present).shape == (4, encoder.feature_dim)
    assert encoder.encode_patches(volumes, is_present).shape == (4, num_patches, 10)


def test_the_stem_is_the_slow_mean_over_the_sequences_present():
    encoder, (volumes, is_present) = build(SHAPES[3]), images(SHAPES[3])
    tokens = encoder.stem(volumes, is_present)
    patch = volumes[1, :, 4:8, 8:12, 0:4]
    mean = torch.stack(
        [
            (encoder.stem.weight[:, s] * patch[s]).flatten(1).sum(dim=1) + encoder.stem.sequence_embedding[s]
            for s in (0, 2)
        ]
    ).mean(dim=0)
    expected = torch.nn.functional.gelu(encoder.stem.norm(mean))
    torch.testing.assert_close(tokens[1, :, 1, 2, 0], expected)


@pytest.mark.parametrize("kind", ["transformer", "resnet50"])
def test_an_absent_sequence_has_no_influence_whatever_stands_there(kind):
    shape = SHAPES[3] if kind == "transformer" else (32, 32)
    params = SMALL.model_copy(update={"kind": kind})
    encoder, (volumes, is_present) = build(shape, params), images(shape, batch=2)
    spoilt = volumes.clone()
    spoilt[1, 1] = float("nan")
    torch.testing.assert_close(encoder(spoilt, is_present), encoder(volumes, is_present))


def test_the_resnet_has_no_batch_normalisation():
    encoder = build((32, 32), SMALL.model_copy(update={"kind": "resnet50"}))
    assert not any("BatchNorm" in type(module).__name__ for module in encoder.modules())


@pytest.mark.parametrize("kind", ["transformer", "resnet50"])
def test_an_embedding_does_not_depend_on_the_rest_of_the_batch(kind):
    shape = SHAPES[3] if kind == "transformer" else (32, 32)
    encoder, (volumes, is_present) = build(shape, SMALL.model_copy(update={"kind": kind})), images(shape, batch=2)
    alone = encoder(volumes[:1], is_present[:1])
    torch.testing.assert_close(encoder(volumes, is_present)[:1], alone, rtol=1e-4, atol=1e-5)
    assert encoder.encode_patches(volumes, is_present).shape[::2] == (2, 10)


def test_every_parameter_is_trained_by_embeddings_and_patches():
    encoder, (volumes, is_present) = build(SHAPES[3], projection="mlp"), images(SHAPES[3])
    (
        encoder(volumes, is_present).square().sum() + encoder.encode_patches(volumes, is_present).square().sum()
    ).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        # A key's bias moves all scores of a query alike.
        assert parameter.grad.abs().sum() > 0 or name == "pool.key.bias", name


def test_patches_do_not_leak_into_their_neighbours_before_merging():
    encoder, (volumes, is_present) = build(SHAPES[3]), images(SHAPES[3])
    changed = volumes.clone()
    changed[0, 0, 0:4, 0:4, 0:4] += 1
    difference = (encoder.stem(changed, is_present) - encoder.stem(volumes, is_present)).abs().sum(dim=1)
    assert difference.nonzero().tolist() == [[0, 0, 0, 0]]


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
