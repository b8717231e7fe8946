"""What holds for every objective."""

import pytest
import torch

from stages.pretraining.methods import find_objective, read_params
from stages.pretraining.objectives.base import Batch, Facts

CASES = {
    "clip": ("clip", {}),
    "clip, fixed temperature": ("clip", {"is_temperature_learnable": False}),
    "convirt": ("convirt", {}),
    "selip": ("selip", {"weight": 0.5, "power": 2.0}),
    "selip, no weight": ("selip", {"weight": 0.0}),
    "selip, uniform": ("selip", {"targets": "uniform"}),
    "selip, released": ("selip", {"form": "released"}),
    "supervised": ("supervised", {}),
}
B, U, D, C = 7, 5, 6, 3


def build(case):
    method, values = CASES[case]
    objective = find_objective(method)
    torch.manual_seed(1)
    return objective(read_params(objective, values, "objectives.x.params"), Facts(D, C, lambda level: 0.6 * level))


def make_batch(dtype=torch.float32, seed=0):
    random = torch.Generator().manual_seed(seed)
    similarity = torch.rand(U, U, generator=random)
    similarity = torch.maximum(similarity, similarity.T).fill_diagonal_(1)
    return Batch(
        torch.randn(B, D, generator=random).to(dtype).requires_grad_(),
        torch.randn(U, D, generator=random).to(dtype).requires_grad_(),
        torch.tensor([0, 1, 2, 3, 4, 0, 3]),
        similarity,
        torch.randint(0, 2, (B, C), generator=random).float(),
        torch.rand(B, C, generator=random) < 0.7,
    )


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_and_embedding_gets_a_gradient(case):
    objective, batch = build(case), make_batch()
    objective(batch).loss.backward()
    tensors = [parameter for parameter in objective.parameters() if parameter.requires_grad] + [batch.image_BD]
    tensors += [] if case == "supervised" else [batch.text_UD]
    for tensor in tensors:
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_the_sum_of_its_named_terms_and_logs_carry_no_graph(case):
    outcome = build(case)(make_batch())
    torch.testing.assert_close(outcome.loss, sum(outcome.losses.values()))
    assert not any(figure.requires_grad for figure in outcome.logged.values())


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_images_and_texts_does_not_matter(case):
    objective, batch = build(case), make_batch()
    images = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    texts = torch.tensor([2, 4, 0, 1, 3])
    moved = Batch(
        batch.image_BD[images],
        batch.text_UD[texts],
        torch.argsort(texts)[batch.text_index_B[images]],
        batch.similarity_UU[texts][:, texts],
        batch.labels_BC[images],
        batch.is_known_BC[images],
    )
    torch.testing.assert_close(objective(moved).loss, objective(batch).loss)


@pytest.mark.parametrize("case", CASES)
def test_half_precision_embeddings_give_a_finite_float32_loss(case):
    objective, batch = build(case), make_batch(torch.bfloat16)
    outcome = objective(batch)
    outcome.loss.backward()
    assert outcome.loss.dtype == torch.float32
    assert torch.isfinite(outcome.loss)
    assert torch.isfinite(batch.image_BD.grad).all()


@pytest.mark.parametrize("case", CASES)
def test_extreme_embeddings_stay_finite(case):
    batch = make_batch()
    for scale in (0.0, 1e4):
        scaled = Batch(
            batch.image_BD * scale, batch.text_UD * scale, *(getattr(batch, name) for name in list(vars(batch))[2:])
        )
        assert torch.isfinite(build(case)(scaled).loss)


def test_shapes_that_do_not_belong_together_are_refused():
    image, text, index = torch.randn(3, D), torch.randn(2, D), torch.tensor([0, 1, 1])
    with pytest.raises(ValueError, match=r"image and text embeddings: expected shape \(6,\), got \(5,\)"):
        Batch(image, text[:, :5], index)
    with pytest.raises(ValueError, match=r"text index: expected shape \(3,\), got \(2,\)"):
        Batch(image, text, index[:2])
    with pytest.raises(ValueError, match=r"similarity: expected shape \(2, 2\), got \(3, 3\)"):
        Batch(image, text, index, similarity_UU=torch.eye(3))
    with pytest.raises(ValueError, match=r"known labels: expected shape \(3, 2\), got None"):
        Batch(image, text, index, labels_BC=torch.zeros(3, 2))


def test_an_unknown_method_is_answered_with_those_that_exist():
    with pytest.raises(ValueError, match=r"'clap'.*\['clip', 'convirt', 'selip', 'supervised'"):
        find_objective("clap")


@pytest.mark.parametrize("name", ["base", "__init__", "../loop", "os"])
def test_a_method_is_a_file_of_the_folder_and_nothing_else(name):
    with pytest.raises(ValueError, match="no such file"):
        find_objective(name)


def test_wrong_parameters_are_named_with_their_dotted_path():
    with pytest.raises(ValueError, match=r"objectives.mine.params.weight: .*less than 1 \(got 2\)"):
        read_params(find_objective("selip"), {"weight": 2}, "objectives.mine.params")
