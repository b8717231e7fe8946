import math
from dataclasses import replace

import pytest
import torch

from stages.pretraining.batch import Batch, Facts, Regions
from stages.pretraining.objectives.clip import Clip
from stages.pretraining.objectives.gk_mvlp import GkMvlp, presence_loss

B, U, D, P, R, F, E, L, VOCABULARY = 6, 5, 8, 7, 4, 3, 5, 6, 11
INDEX = (0, 1, 2, 3, 4, 1)
SMALL = {"width": 8, "decoder_width": 8, "decoder_heads": 2}


def facts(**changes):
    random = torch.Generator().manual_seed(3)
    return replace(
        Facts(
            D,
            regions=("frontal_left", "frontal_right", "pons_left", "pons_right"),
            findings=("infarct", "mass", "cyst"),
            definition_FE=torch.randn(F, E, generator=random),
            name_FE=torch.randn(F, E, generator=random),
            vocabulary_size=VOCABULARY,
            max_tokens=L,
        ),
        **changes,
    )


def gk_mvlp(**values):
    torch.manual_seed(0)
    return GkMvlp(GkMvlp.Params(**SMALL | values), facts())


def make_batch(seed=0):
    random = torch.Generator().manual_seed(seed)
    similarity = torch.rand(U, U, generator=random)
    token_BL = torch.randint(4, VOCABULARY, (B, L), generator=random)
    token_BL[:, 0] = 1
    token_BL[0, 2:] = torch.tensor([2, 0, 0, 0])
    return Batch(
        torch.randn(B, D, generator=random).requires_grad_(),
        torch.randn(U, D, generator=random).requires_grad_(),
        torch.tensor(INDEX),
        torch.maximum(similarity, similarity.T).fill_diagonal_(1),
        patch_BPD=torch.randn(B, P, D, generator=random).requires_grad_(),
        regions=Regions(
            torch.rand(B, R, P, generator=random),
            torch.randint(0, 2, (B, F, R), generator=random).float(),
            torch.rand(B, F, R, generator=random) < 0.6,
        ),
        token_BL=token_BL,
    )


def visual(batch):
    return batch.image_BD, batch.patch_BPD, batch.regions.weight_BRP


def test_the_contrast_is_that_of_clip_and_trains_the_exported_embeddings():
    objective, batch = gk_mvlp(), make_batch()
    contrast = objective(batch).losses["contrast"]
    torch.testing.assert_close(contrast, Clip(Clip.Params(), facts())(batch).loss)
    contrast.backward()
    for tensor in (batch.image_BD, batch.text_UD, objective.scale.log_scale):
        assert tensor.grad.abs().sum() > 0


def slow_matching_loss(objective, batch, threshold):
    """Every image with its own text, the likeliest other text, and every text with the likeliest other image."""
    memory, text = objective.knowledge_tokens(*visual(batch)), batch.text_UD
    cosine = [[torch.cosine_similarity(v, text[u], dim=0).item() for u in INDEX] for v in batch.image_BD]
    costs = []
    for i in range(B):
        others = [
            j for j in range(B)
            if INDEX[j] != INDEX[i] and float(batch.similarity_UU[INDEX[i], INDEX[j]]) <= threshold
        ]  # fmt: skip
        if not others:
            continue
        wrong_text = max(others, key=lambda j: cosine[i][j])
        wrong_image = max(others, key=lambda j: cosine[j][i])
        for image, of, is_own in ((i, i, True), (i, wrong_text, False), (wrong_image, i, False)):
            logit = objective.matching(memory[image : image + 1], text[[INDEX[of]]]).item()
            costs.append(math.log(1 + math.exp(-logit if is_own else logit)))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_matching_is_the_slow_loop(threshold):
    objective, batch = gk_mvlp(negative_threshold=threshold), make_batch()
    expected = slow_matching_loss(objective, batch, threshold)
    assert objective(batch).losses["matching"].item() == pytest.approx(expected, rel=1e-4)


def test_neither_equal_nor_similar_texts_are_negatives():
    similarity_UU = torch.full((U, U), 0.9)
    similarity_UU[0, 1] = similarity_UU[1, 0] = 0.1
    batch = replace(make_batch(), similarity_UU=similarity_UU.fill_diagonal_(1))
    objective = gk_mvlp()
    assert objective(batch).losses["matching"].item() == pytest.approx(slow_matching_loss(objective, batch, 0.8))
    # Images 0, 1 and 5 have a negative, the others take no part.
    image_BD = batch.image_BD.detach().clone()
    image_BD[2:5] = torch.randn(3, D)
    moved = replace(batch, image_BD=image_BD)
    assert torch.equal(objective(moved).losses["matching"], objective(batch).losses["matching"])


def test_a_batch_whose_texts_are_all_alike_has_no_matching_loss():
    objective, batch = gk_mvlp(), replace(make_batch(), similarity_UU=torch.ones(U, U))
    outcome = objective(batch)
    assert outcome.losses["matching"].item() == 0
    outcome.loss.backward()
    assert torch.isfinite(batch.image_BD.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in objective.parameters())


def test_language_is_the_slow_loop_over_words_and_ends():
    objective, batch = gk_mvlp(), make_batch()
    logits = objective.decoder(objective.knowledge_tokens(*visual(batch)), batch.token_BL)
    costs = []
    for b in range(B):
        for place in range(1, L):
            token = int(batch.token_BL[b, place])
            if token:
                scores = logits[b, place - 1].tolist()
                costs.append(math.log(sum(map(math.exp, scores))) - scores[token])
    assert objective(batch).losses["language"].item() == pytest.approx(sum(costs) / len(costs), rel=1e-5)


def test_padding_beyond_the_longest_report_changes_nothing():
    objective, batch = gk_mvlp(), make_batch()
    padded = replace(batch, token_BL=torch.nn.functional.pad(batch.token_BL, (0, 20)))
    assert torch.equal(objective(padded).losses["language"], objective(batch).losses["language"])


@pytest.mark.parametrize("is_balanced", [True, False])
def test_presence_is_the_slow_loop_over_known_cells_of_regions_in_the_image(is_balanced):
    objective, batch = gk_mvlp(is_presence_balanced=is_balanced), make_batch()
    weight = batch.regions.weight_BRP.clone()
    weight[1], weight[2, 3] = 0, 0
    batch = replace(batch, regions=replace(batch.regions, weight_BRP=weight))
    chance = torch.sigmoid(objective.presence_logits(*visual(batch))).tolist()
    costs = {True: [], False: []}
    for b in range(B):
        for f in range(F):
            for r in range(R):
                is_shown = sum(weight[b, r].tolist()) > 0
                if is_shown and batch.regions.is_known_BFR[b, f, r]:
                    is_present = bool(batch.regions.presence_BFR[b, f, r])
                    costs[is_present].append(-math.log(chance[b][f][r] if is_present else 1 - chance[b][f][r]))
    means = [sum(part) / len(part) for part in costs.values()]
    both = costs[True] + costs[False]
    expected = sum(means) / 2 if is_balanced else sum(both) / len(both)
    assert objective(batch).losses["presence"].item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_in_which_nothing_is_present_still_has_a_finite_loss():
    regions = replace(make_batch().regions, presence_BFR=torch.zeros(B, F, R))
    loss = presence_loss(torch.zeros(B, F, R), regions, is_balanced=True)
    assert loss.item() == pytest.approx(math.log(2) / 2)


def test_what_a_report_does_not_say_has_no_influence():
    objective, batch = gk_mvlp(), make_batch()
    presence = batch.regions.presence_BFR.masked_fill(~batch.regions.is_known_BFR, float("nan"))
    unsaid = replace(batch, regions=replace(batch.regions, presence_BFR=presence))
    assert torch.equal(objective(unsaid).loss, objective(batch).loss)


@pytest.mark.parametrize("is_balanced", [True, False])
def test_a_batch_without_any_known_cell_has_no_presence_loss(is_balanced):
    batch = make_batch()
    silent = replace(batch.regions, is_known_BFR=torch.zeros(B, F, R, dtype=torch.bool))
    logits = torch.randn(B, F, R, requires_grad=True)
    loss = presence_loss(logits, silent, is_balanced=is_balanced)
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_images_without_regions_are_finite():
    batch = make_batch()
    batch = replace(batch, regions=replace(batch.regions, weight_BRP=torch.zeros(B, R, P)))
    objective = gk_mvlp()
    outcome = objective(batch)
    outcome.loss.backward()
    assert outcome.losses["presence"].item() == 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in objective.parameters())
    assert torch.isfinite(batch.patch_BPD.grad).all()


@pytest.mark.parametrize("depth", [2, 3])
def test_nothing_of_the_report_enters_the_prompts(depth, monkeypatch):
    objective, batch = gk_mvlp(depth=depth), make_batch()
    seen = []
    ground = objective.knowledge.forward
    monkeypatch.setattr(objective.knowledge, "forward", lambda *given: seen.append(ground(*given)) or seen[-1])
    regions = batch.regions
    reports = [
        batch,
        replace(batch, text_UD=torch.randn(U, D)),
        replace(batch, text_index_B=batch.text_index_B.flip(0), similarity_UU=torch.eye(U)),
        replace(batch, token_BL=batch.token_BL.flip(0)),
        replace(batch, regions=replace(regions, presence_BFR=1 - regions.presence_BFR)),
        replace(batch, regions=replace(regions, is_known_BFR=~regions.is_known_BFR)),
    ]
    losses = [objective(report).loss.item() for report in reports]
    assert len(set(losses)) == len(reports)
    for grounded in seen[1:]:
        for told, expected in zip(grounded, seen[0], strict=True):
            assert torch.equal(told, expected)


def test_every_term_but_the_contrast_trains_the_patches():
    for term in ("matching", "language", "presence"):
        batch = make_batch()
        gk_mvlp()(batch).losses[term].backward()
        assert (batch.patch_BPD.grad.abs().sum(dim=-1) > 0).all()


def test_terms_are_weighted():
    batch, names = make_batch(), ("contrast", "matching", "language", "presence")
    plain = gk_mvlp()(batch).losses
    weighted = gk_mvlp(**{f"{name}_weight": weight for weight, name in enumerate(names, 2)})(batch).losses
    assert tuple(plain) == names
    for weight, name in enumerate(names, 2):
        torch.testing.assert_close(weighted[name], weight * plain[name])


def test_permuted_regions_differ_by_image_and_step_while_labels_stay(monkeypatch):
    objective, batch = gk_mvlp(regions="permuted"), make_batch()
    given = []
    ground = objective.knowledge.forward
    monkeypatch.setattr(objective.knowledge, "forward", lambda *parts: given.append(parts[2]) or ground(*parts))
    for _ in range(2):
        objective(batch)
    weight = batch.regions.weight_BRP
    orders = []
    for step in given:
        is_same_BRR = (step[:, :, None] == weight[:, None]).all(dim=-1)
        assert (is_same_BRR.sum(dim=1) == 1).all()
        orders.append(is_same_BRR.float().argmax(dim=2))
    assert (orders[0] != orders[1]).any()
    assert len({tuple(order) for order in orders[0].tolist()}) > 1


def test_a_resumed_training_draws_the_orders_that_it_would_have_drawn():
    objective, batch = gk_mvlp(regions="permuted"), make_batch()
    objective(batch)
    state = {name: value.clone() for name, value in objective.state_dict().items()}
    torch.manual_seed(99)
    resumed = GkMvlp(objective.params, facts())
    resumed.load_state_dict(state)
    torch.rand(5)
    for _ in range(2):
        assert torch.equal(resumed(batch).loss, objective(batch).loss)


def test_validation_does_not_move_the_orders_on():
    objective, batch = gk_mvlp(regions="permuted"), make_batch()
    objective.eval()
    first = objective(batch).loss
    assert torch.equal(objective(batch).loss, first)
    objective.train()
    assert torch.equal(objective(batch).loss, first)
    assert not torch.equal(objective(batch).loss, first)


def test_trained_right_and_tested_shuffled_is_left_to_the_caller():
    objective, batch = gk_mvlp(regions="permuted"), make_batch()
    first = objective.presence_logits(*visual(batch))
    assert torch.equal(objective.presence_logits(*visual(batch)), first)
    shuffled = batch.regions.weight_BRP[:, [1, 2, 3, 0]]
    assert not torch.equal(objective.presence_logits(batch.image_BD, batch.patch_BPD, shuffled), first)


def test_written_reports_begin_end_in_time_and_depend_on_their_image_only():
    objective, batch = gk_mvlp(), make_batch()
    written = objective.describe(*visual(batch))
    assert (written[:, 0] == 1).all()
    assert written.shape[1] <= L
    assert torch.equal(objective.describe(*(part[[2, 0]] for part in visual(batch)))[:, :3], written[[2, 0], :3])


def test_the_whole_is_built_again_from_parameters_facts_and_state():
    objective, batch = gk_mvlp(), make_batch()
    torch.manual_seed(5)
    again = GkMvlp(objective.params, facts())
    again.load_state_dict(objective.state_dict())
    for name in ("knowledge_tokens", "presence_logits", "describe"):
        assert torch.equal(getattr(again, name)(*visual(batch)), getattr(objective, name)(*visual(batch)))


def test_without_its_loss_there_is_no_presence_to_ask_for():
    objective, batch = gk_mvlp(has_presence_loss=False), make_batch()
    assert set(objective(batch).losses) == {"contrast", "matching", "language"}
    with pytest.raises(ValueError, match="presence: expected evidence trained for it, got none"):
        objective.presence_logits(*visual(batch))


def test_it_learns_where_a_finding_is_that_one_patch_shows():
    """The finding is present in a region if a patch of it has a large first entry."""
    random = torch.Generator().manual_seed(0)
    objective = gk_mvlp()
    optimiser = torch.optim.Adam(objective.parameters(), lr=1e-2)
    for step in range(150):
        batch, patch = make_batch(step), torch.randn(B, R * 3, D, generator=random)
        weight = torch.eye(R).repeat_interleave(3, dim=1).expand(B, R, R * 3)
        is_present_BR = torch.rand(B, R, generator=random) < 0.5
        patch[..., 0] = 0
        patch[:, ::3, 0] = 4 * is_present_BR.float()
        presence_BFR = is_present_BR[:, None].float().expand(B, F, R)
        known = Regions(weight, presence_BFR, torch.ones(B, F, R, dtype=torch.bool))
        logits = objective.presence_logits(batch.image_BD.detach(), patch, weight)
        loss = presence_loss(logits, known, is_balanced=False)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.2


def test_what_is_missing_is_named():
    batch = make_batch()
    with pytest.raises(ValueError, match="patches, regions, tokens: expected all, got None"):
        gk_mvlp()(replace(batch, token_BL=None))
    with pytest.raises(ValueError, match="similarity: expected a tensor, got None"):
        gk_mvlp()(replace(batch, similarity_UU=None))
    with pytest.raises(ValueError, match="embedding of each finding's definition, got 4 regions, 11 words and 0"):
        GkMvlp(GkMvlp.Params(**SMALL), facts(definition_FE=None))
    with pytest.raises(ValueError, match="expected at most 6"):
        gk_mvlp()(replace(batch, token_BL=torch.full((B, L + 1), 5)))


def test_it_says_what_it_needs():
    assert GkMvlp.needs(GkMvlp.Params()) == {"patches", "regions", "tokens", "similarity"}
