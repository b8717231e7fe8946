"""The answering head and its training on images whose answers are known."""

import numpy as np
import pytest
import torch
from answering_cohort import PARAMS, Bank, Encoder, studies, trainer
from torch import nn

from stages.evaluation.answering import AnsweringHead, StudyEmbeddings, embed_studies
from stages.evaluation.questions import Studies


def accuracy(trainer, answer_Q, kind):
    here = (trainer.asked.study_Q >= 44) & (trainer.asked.question_Q == kind)
    return np.mean(answer_Q[here] == trainer.asked.answer_Q[here])


def test_a_head_learns_what_is_there_and_on_which_side():
    own = trainer()
    answer_Q = own.run({0: Encoder()}, is_blind=False, num_threads=1)[0]
    assert accuracy(own, answer_Q, 0) == 1
    assert accuracy(own, answer_Q, 1) >= 0.9


def test_a_blind_head_gives_one_answer_to_a_question():
    own = trainer()
    answer_Q = own.run({0: Encoder()}, is_blind=True, num_threads=1)[0]
    for kind in (0, 1):
        assert len(set(answer_Q[own.asked.question_Q == kind])) == 1


def test_answers_depend_on_the_seed_but_not_on_threads_or_what_runs_beside():
    short = PARAMS.model_copy(update={"updates": 12})
    both = trainer(short).run({0: Encoder(), 1: Encoder()}, is_blind=False, num_threads=2)
    alone = trainer(short, batch_size=5).run({1: Encoder()}, is_blind=False, num_threads=1)
    np.testing.assert_array_equal(both[1], alone[1])
    assert (both[0] != both[1]).any()


def test_only_answers_of_the_kind_are_given():
    own = trainer(PARAMS.model_copy(update={"updates": 1}))
    answer_Q = own.run({0: Encoder()}, is_blind=False, num_threads=1)[0]
    assert own.asked.vocabulary.is_possible[own.asked.kinds, answer_Q].all()


def test_the_head_starts_from_the_same_weights_for_every_method():
    one, other = (trainer()._draw_head(Encoder(), 3) for _ in range(2))
    for name, values in one.state_dict().items():
        assert torch.equal(values, other.state_dict()[name]), name


def head():
    torch.manual_seed(0)
    return AnsweringHead(question_dim=6, embedding_dim=8, num_patches=5, num_answers=4, width=16, num_heads=2)


def inputs():
    return torch.randn(3, 6), torch.randn(3, 5, 8), torch.randn(3, 8), torch.ones(3, 4, dtype=torch.bool)


def test_every_parameter_of_the_head_gets_a_gradient():
    own = head()
    own(*inputs()).square().sum().backward()
    for name, parameter in own.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_attention_is_that_of_a_slow_loop():
    own, (question_BE, patch_BPD, image_BD, is_answer_BA) = head(), inputs()
    fast = own(question_BE, patch_BPD, image_BD, is_answer_BA)
    for b in range(3):
        question = nn.functional.gelu(own.question(question_BE[b]))
        found, places = [], []
        for h in range(2):
            sought = own.sought(question).view(2, 8)[h]
            place = own.sought_place(question).view(2, 16)[h]
            scores = torch.stack([sought @ patch_BPD[b, p] / 8**0.5 + place @ own.position[p] for p in range(5)])
            weights = scores.exp() / scores.exp().sum()
            found.append(sum(weights[p] * patch_BPD[b, p] for p in range(5)))
            places.append(sum(weights[p] * own.position[p] for p in range(5)))
        seen = own.found(torch.cat(found)) + own.found_place(torch.cat(places))
        whole = own.image(image_BD[b])
        parts = [question, nn.functional.gelu(seen) * question, nn.functional.gelu(whole) * question]
        torch.testing.assert_close(fast[b], own.answer(torch.cat(parts)))


def test_the_order_of_studies_in_a_batch_does_not_matter():
    own, parts = head(), inputs()
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(own(*parts)[order], own(*(part[order] for part in parts)))


def test_embeddings_are_standardised_by_training_studies_whatever_their_scale():
    values = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    for scale in (1.0, 50.0):
        own = StudyEmbeddings((scale * values + 3).half(), scale * values[:, 0].clone())
        own.standardise(np.array([0, 2, 3]))
        training = own.patch_NPD[[0, 2, 3]].float().flatten(0, 1)
        torch.testing.assert_close(training.mean(dim=0), torch.zeros(3), atol=5e-3, rtol=0)
        torch.testing.assert_close(training.std(dim=0, correction=0), torch.ones(3), atol=1e-2, rtol=0)
    constant = StudyEmbeddings(torch.ones(3, 2, 2).half(), torch.ones(3, 2))
    constant.standardise(np.array([0, 1]))
    assert not constant.patch_NPD.any()
    assert not constant.image_ND.any()


def test_several_images_of_a_study_are_averaged():
    own = Studies(["a", "b"], ["a", "b"], ["train"] * 2, [[0, 1], [2]], [frozenset()] * 2)
    both = embed_studies(Encoder(), Bank(), own, 2)
    single = embed_studies(Encoder(), Bank(), studies(), 64)
    torch.testing.assert_close(both.image_ND[0], single.image_ND[:2].mean(dim=0))
    torch.testing.assert_close(both.patch_NPD[0].float(), single.patch_NPD[:2].float().mean(dim=0), atol=5e-3, rtol=0)
    torch.testing.assert_close(both.image_ND[1], single.image_ND[2])


def test_a_step_of_bfloat16_stays_finite():
    own = head().to(torch.bfloat16)
    question_BE, patch_BPD, image_BD, is_answer_BA = inputs()
    values = own(question_BE.bfloat16(), patch_BPD.bfloat16(), image_BD.bfloat16(), is_answer_BA)
    values.float().sum().backward()
    assert torch.isfinite(values).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in own.parameters())


@pytest.mark.parametrize("kind", [0, 1])
def test_impossible_answers_have_no_chance(kind):
    question_BE, patch_BPD, image_BD, is_answer_BA = inputs()
    is_answer_BA[:] = torch.tensor([[True, True, False, False], [False, False, True, True]])[kind]
    chances = head()(question_BE, patch_BPD, image_BD, is_answer_BA).softmax(dim=1)
    assert (chances[~is_answer_BA] == 0).all()
