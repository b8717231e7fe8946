"""What holds for every objective."""

from dataclasses import replace

import pytest
import torch

from stages.pretraining.batch import Batch, Facts, Regions, SentenceSets
from stages.pretraining.methods import find_objective, read_params

SMALL = {"width": 4, "decoder_width": 8, "decoder_heads": 2}
CASES = {
    "clip": ("clip", {}),
    "clip, fixed temperature": ("clip", {"is_temperature_learnable": False}),
    "clip, labels": ("clip_labels", {}),
    "convirt": ("convirt", {}),
    "selip": ("selip", {"weight": 0.5, "power": 2.0}),
    "selip, no weight": ("selip", {"weight": 0.0}),
    "selip, uniform": ("selip", {"targets": "uniform"}),
    "selip, released": ("selip", {"form": "released"}),
    "siglip": ("siglip", {"weight": 0.5}),
    "siglip, no weight": ("siglip", {"weight": 0.0}),
    "thresholded": ("thresholded", {"threshold": 0.6}),
    "masked image": ("masked_image", {"hidden_width": 8}),
    "mlip": ("mlip", {"hidden_width": 8}),
    "mlip, attention": ("mlip", {"hidden_width": 8, "matching": "attention", "is_integrity_weighted": False}),
    "gk-mvlp": ("gk_mvlp", SMALL),
    "gk-mvlp, three layers": ("gk_mvlp", SMALL | {"depth": 3}),
    "gk-mvlp, regions permuted": ("gk_mvlp", SMALL | {"regions": "permuted"}),
    "gk-mvlp, no global tokens": ("gk_mvlp", SMALL | {"has_global_tokens": False}),
    "gk-mvlp, no presence": ("gk_mvlp", SMALL | {"has_presence_loss": False}),
    "gk-mvlp, names": ("gk_mvlp", SMALL | {"knowledge": "name"}),
    "supervised": ("supervised", {}),
}
TEXTLESS = {"supervised", "masked image"}
DRAWN_BY_POSITION = {"gk-mvlp, regions permuted"}
B, U, D, C, P, S, N = 7, 5, 6, 3, 4, 2, 3
R, F, E, L, VOCABULARY = 4, 3, 5, 6, 9
FACTS = Facts(
    D,
    C,
    lambda level: 0.6 * level,
    (P, S),
    is_head_P=torch.tensor([True, True, False, True]),
    regions=("frontal_left", "frontal_right", "temporal_left", "temporal_right"),
    findings=("infarct", "mass", "cyst"),
    definition_FE=torch.randn(F, E, generator=torch.Generator().manual_seed(7)),
    name_FE=torch.randn(F, E, generator=torch.Generator().manual_seed(8)),
    vocabulary_size=VOCABULARY,
    max_tokens=L,
)


def build(case):
    method, values = CASES[case]
    objective = find_objective(method)
    torch.manual_seed(1)
    return objective(read_params(objective, values, "objectives.x.params"), FACTS)


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
        torch.randn(B, P, S, generator=random),
        torch.rand(B, P, S, generator=random) < 0.5,
        patch_BPD=torch.randn(B, P, D, generator=random).to(dtype).requires_grad_(),
        whole_patch_BPD=torch.randn(B, P, D, generator=random).to(dtype),
        sentences=make_sentences(random, dtype),
        regions=Regions(
            torch.rand(B, R, P, generator=random),
            torch.randint(0, 2, (B, F, R), generator=random).float(),
            torch.rand(B, F, R, generator=random) < 0.7,
        ),
        token_BL=torch.randint(4, VOCABULARY, (B, L), generator=random).index_fill(1, torch.tensor([0]), 1),
    )


def make_sentences(random, dtype):
    is_sentence_BN = torch.rand(B, N, generator=random) < 0.8
    return SentenceSets(
        torch.randn(B, N, D, generator=random).to(dtype).requires_grad_(),
        is_sentence_BN,
        is_sentence_BN & (torch.rand(B, N, generator=random) < 0.8),
        torch.randint(-1, 4, (B, N), generator=random),
    )


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_and_embedding_gets_a_gradient(case):
    objective, batch = build(case), make_batch()
    objective(batch).loss.backward()
    tensors = [parameter for parameter in objective.parameters() if parameter.requires_grad] + [batch.image_BD]
    tensors += [] if case in TEXTLESS else [batch.text_UD]
    for tensor in tensors:
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_the_sum_of_its_named_terms_and_logs_carry_no_graph(case):
    outcome = build(case)(make_batch())
    torch.testing.assert_close(outcome.loss, sum(outcome.losses.values()))
    assert not any(figure.requires_grad for figure in outcome.logged.values())


@pytest.mark.parametrize("case", [case for case in CASES if case not in DRAWN_BY_POSITION])
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
        batch.patches_BPS[images],
        batch.is_hidden_BPS[images],
        patch_BPD=batch.patch_BPD[images],
        whole_patch_BPD=batch.whole_patch_BPD[images],
        sentences=SentenceSets(*(values[images] for values in vars(batch.sentences).values())),
        regions=Regions(*(part[images] for part in vars(batch.regions).values())),
        token_BL=batch.token_BL[images],
    )
    torch.testing.assert_close(objective(moved).loss, objective(batch).loss)


@pytest.mark.parametrize("case", CASES)
def test_targets_are_shares_of_a_row_and_the_own_pair_always_has_one(case):
    targets_BB = build(case).matching_targets(make_batch())
    if case in TEXTLESS:
        assert targets_BB is None
        return
    assert (targets_BB >= 0).all()
    torch.testing.assert_close(targets_BB.sum(dim=1), torch.ones(B))
    assert (targets_BB.diagonal() > 0).all()


@pytest.mark.parametrize(
    ("case", "same_text", "similar_text"),
    [
        ("clip", False, False),
        ("convirt", False, False),
        ("gk-mvlp", False, False),
        ("selip, no weight", True, False),
        ("selip", True, True),
        ("selip, uniform", True, True),
        ("thresholded", True, True),
        ("siglip", True, True),
        ("siglip, no weight", True, False),
    ],
)
def test_who_counts_as_a_negative(case, same_text, similar_text):
    similarity_UU = torch.eye(U)
    similarity_UU[0, 1] = similarity_UU[1, 0] = 0.9
    batch = Batch(torch.randn(B, D), torch.randn(U, D), torch.tensor([0, 1, 2, 3, 4, 0, 3]), similarity_UU)
    is_positive_B = (build(case).matching_targets(batch) > 0)[0]
    assert bool(is_positive_B[5]) == same_text
    assert bool(is_positive_B[1]) == similar_text
    assert bool(is_positive_B[2]) == (case == "selip, uniform")


@pytest.mark.parametrize("case", CASES)
def test_half_precision_embeddings_give_a_finite_float32_loss(case):
    objective, batch = build(case), make_batch(torch.bfloat16)
    outcome = objective(batch)
    outcome.loss.backward()
    assert outcome.loss.dtype == torch.float32
    assert torch.isfinite(outcome.loss)
    assert torch.isfinite(batch.image_BD.grad).all()


@pytest.mark.parametrize("case", CASES)
def test_under_mixed_precision_the_loss_is_float32_and_all_gradients_are_finite(case):
    objective, batch = build(case), make_batch()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = objective(batch)
    outcome.loss.backward()
    assert outcome.loss.dtype == torch.float32
    torch.testing.assert_close(outcome.loss, build(case)(batch).loss, rtol=0.05, atol=0.05)
    for tensor in [parameter for parameter in objective.parameters() if parameter.requires_grad] + [batch.image_BD]:
        assert torch.isfinite(tensor.grad).all()


@pytest.mark.parametrize("case", CASES)
def test_extreme_embeddings_stay_finite(case):
    batch = make_batch()
    for scale in (0.0, 1e4):
        scaled = replace(
            batch,
            image_BD=batch.image_BD * scale,
            text_UD=batch.text_UD * scale,
            patch_BPD=batch.patch_BPD * scale,
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
    with pytest.raises(
        ValueError,
        match=r"'clap'.*\['clip', 'clip_labels', 'convirt', 'gk_mvlp', 'masked_image', 'mlip', 'selip', 'siglip', 's",
    ):
        find_objective("clap")


@pytest.mark.parametrize("name", ["base", "__init__", "../loop", "os"])
def test_a_method_is_a_file_of_the_folder_and_nothing_else(name):
    with pytest.raises(ValueError, match="no such file"):
        find_objective(name)


def test_wrong_parameters_are_named_with_their_dotted_path():
    with pytest.raises(ValueError, match=r"objectives.mine.params.weight: .*less than 1 \(got 2\)"):
        read_params(find_objective("selip"), {"weight": 2}, "objectives.mine.params")
