import math
from dataclasses import replace

import pytest
import torch

from stages.pretraining.batch import Batch, Facts, SentenceSets
from stages.pretraining.objectives.clip import Clip
from stages.pretraining.objectives.mlip import Mlip, integrity_weights

B, N, P, S, D = 5, 4, 9, 2, 6
IS_HEAD_P = torch.tensor([1, 1, 1, 0, 1, 1, 1, 1, 0], dtype=torch.bool)
GLOBAL = {"image_to_text", "text_to_image"}
LOCAL = {"sentence_to_patch", "patch_to_sentence"}
CASES = {
    "as published": {},
    "no integrity": {"is_integrity_weighted": False},
    "plain attention": {"matching": "attention"},
    "sentences only": {"directions": "sentence_to_patch"},
    "patches only": {"directions": "patch_to_sentence"},
    "other weights": {"local_weight": 0.3, "reconstruction_weight": 0.2, "dust_cost": 0.3, "patches_per_sentence": 2.0},
    "few patches": {"local_patches": 2},
}


def mlip(**values):
    torch.manual_seed(3)
    return Mlip(Mlip.Params(**{"hidden_width": 8, **values}), Facts(D, patches_shape=(P, S), is_head_P=IS_HEAD_P))


def random_batch(seed=0, num_hidden=3, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)

    def leaf(*shape):
        return torch.randn(*shape, generator=random).to(dtype).requires_grad_()

    is_hidden_BP = torch.zeros(B, P, dtype=torch.bool)
    for row in range(B):
        is_hidden_BP[row, IS_HEAD_P.nonzero().squeeze(1)[torch.randperm(7, generator=random)[:num_hidden]]] = True
    is_present_BS = torch.tensor([[1, 1], [1, 0], [0, 1], [1, 1], [1, 1]], dtype=torch.bool)
    is_sentence_BN = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    # the report of image 3 states no finding, image 0 and 4 share a meaning, one finding has none
    is_finding_BN = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]]).bool()
    meaning_BN = torch.tensor([[4, -1, 2, 9], [-1, 3, 7, 7], [8, -1, 4, -1], [4, 4, 4, 4], [4, 5, -1, 2]])
    return Batch(
        leaf(B, D),
        leaf(B - 1, D),
        torch.tensor([0, 1, 2, 3, 0]),
        patches_BPS=torch.randn(B, P, S, generator=random),
        is_hidden_BPS=is_hidden_BP[:, :, None] & is_present_BS[:, None],
        patch_BPD=leaf(B, P, D),
        whole_patch_BPD=torch.randn(B, P, D, generator=random).to(dtype),
        sentences=SentenceSets(leaf(B, N, D), is_sentence_BN, is_finding_BN, meaning_BN),
    )


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def log_sum(values):
    return math.log(sum(math.exp(value) for value in values))


def slow_plan(cosines, params):
    """Mass from each finding sentence to each visible patch of one image: Sinkhorn, number by number."""
    if not cosines:
        return []
    if params.matching == "attention":
        return [[math.exp(c / params.regularisation - log_sum(v / params.regularisation for v in row)) for c in row]
                for row in cosines]  # fmt: skip
    num_sentences, num_patches = len(cosines), len(cosines[0])
    costs = [[*(1 - c for c in row), params.dust_cost] for row in cosines]
    costs.append([params.dust_cost] * num_patches + [0.0])
    capacity = 1 / params.patches_per_sentence
    sources, targets = [1.0] * num_sentences + [capacity * num_patches], [capacity] * num_patches + [num_sentences]
    gibbs = [[math.exp(-cost / params.regularisation) for cost in row] for row in costs]
    left, right = [1.0] * len(sources), [1.0] * len(targets)
    for _ in range(params.num_iterations):
        right = [targets[c] / sum(gibbs[r][c] * left[r] for r in range(len(left))) for c in range(len(right))]
        left = [sources[r] / sum(gibbs[r][c] * right[c] for c in range(len(right))) for r in range(len(left))]
    return [[left[s] * gibbs[s][p] * right[p] for p in range(num_patches)] for s in range(num_sentences)]


def slow_contrast(queries, temperature):
    """Queries are (mass, barycentre, own candidate, what it states)."""
    total = sum(mass for mass, *_ in queries)
    loss = 0.0
    for q, (mass, barycentre, own, stated) in enumerate(queries):
        logits = [
            cosine(barycentre, other[2]) / temperature
            for o, other in enumerate(queries) if o == q or other[3] != stated
        ]  # fmt: skip
        loss += mass / total * (log_sum(logits) - cosine(barycentre, own) / temperature)
    return loss


def slow_local(batch, params):
    sentences, from_sentences, from_patches = batch.sentences, [], []
    for i in range(B):
        visible = [p for p in range(P) if IS_HEAD_P[p] and not batch.is_hidden_BPS[i, p].any()]
        findings = [s for s in range(N) if sentences.is_finding_BN[i, s]]
        v = {p: batch.patch_BPD[i, p] / batch.patch_BPD[i, p].norm() for p in visible}
        t = {s: sentences.embedding_BND[i, s] / sentences.embedding_BND[i, s].norm() for s in findings}
        plan = slow_plan([[cosine(t[s], v[p]) for p in visible] for s in findings], params)
        mass = {(s, p): plan[a][b] for a, s in enumerate(findings) for b, p in enumerate(visible)}
        stated = {s: int(m) if (m := sentences.meaning_BN[i, s]) >= 0 else (i, s) for s in findings}
        for s in findings:
            moved = sum(mass[s, p] * v[p] for p in visible)
            from_sentences.append((sum(mass[s, p] for p in visible), moved, t[s], stated[s]))
        by_mass = sorted(visible, key=lambda p: -sum(mass[s, p] for s in findings)) if findings else []
        for p in by_mass[: params.local_patches]:
            giver = max(findings, key=lambda s: mass[s, p])
            moved = sum(mass[s, p] * t[s] for s in findings)
            from_patches.append((sum(mass[s, p] for s in findings), moved, v[p], stated[giver]))
    terms = {"sentence_to_patch": from_sentences, "patch_to_sentence": from_patches}
    used = {name: queries for name, queries in terms.items() if params.directions in ("both", name)}
    return {
        name: params.local_weight / len(used) * slow_contrast(queries, params.local_temperature)
        for name, queries in used.items()
    }


def slow_weights(batch, params):
    sentences, integrity = batch.sentences, {}
    for i in range(B):
        shares = []
        for s in range(N):
            if not sentences.is_finding_BN[i, s]:
                continue
            cosines = {p: cosine(sentences.embedding_BND[i, s], batch.whole_patch_BPD[i, p]) for p in range(P)}
            scores = {p: math.exp(c / params.local_temperature) for p, c in cosines.items() if IS_HEAD_P[p]}
            seen = sum(score for p, score in scores.items() if not batch.is_hidden_BPS[i, p].any())
            shares.append(seen / sum(scores.values()))
        if shares:
            integrity[i] = sum(shares) / len(shares)
    mean = sum(integrity.values()) / len(integrity)
    return [integrity[i] / mean if i in integrity and params.is_integrity_weighted else 1.0 for i in range(B)]


def slow_reconstruction(objective, batch):
    parts, errors = objective.reconstruction, []
    for i in range(B):
        for p in range(P):
            hidden = parts.of_patch(batch.patch_BPD[i, p]) + parts.of_image(batch.image_BD[i])
            told = parts.out(torch.nn.functional.gelu(hidden))
            errors += [float((told[s] - batch.patches_BPS[i, p, s]) ** 2)
                       for s in range(S) if batch.is_hidden_BPS[i, p, s]]  # fmt: skip
    return sum(errors) / len(errors)


@torch.no_grad()
def slow_terms(objective, batch):
    params = objective.params
    texts = batch.text_UD[batch.text_index_B]
    z = [[cosine(image, text) / params.temperature for text in texts] for image in batch.image_BD]
    weights = slow_weights(batch, params)
    return {
        "image_to_text": sum(w * (log_sum(z[i]) - z[i][i]) for i, w in enumerate(weights)) / B / 2,
        "text_to_image": sum(w * (log_sum(row[i] for row in z) - z[i][i]) for i, w in enumerate(weights)) / B / 2,
        **slow_local(batch, params),
        "hidden_patches": params.reconstruction_weight * slow_reconstruction(objective, batch),
    }


@pytest.mark.parametrize("case", CASES)
def test_every_term_is_the_slow_loop(case):
    objective, batch = mlip(**CASES[case]), random_batch()
    terms = {name: term.item() for name, term in objective(batch).losses.items()}
    assert terms == pytest.approx(slow_terms(objective, batch), rel=1e-4)


def test_two_pairs_by_hand():
    # Two images of two patches in the head; one patch of each is hidden. Sentences and visible patches of an image
    # agree, those of different images are orthogonal; all other cosines are 0 as well.
    eye = torch.eye(4)
    sentences = SentenceSets(
        eye[:2, None], torch.ones(2, 1, dtype=torch.bool), torch.ones(2, 1, dtype=torch.bool), torch.tensor([[0], [1]])
    )
    patch_BPD = torch.stack([eye[[0, 2]], eye[[3, 1]]])
    is_hidden = torch.tensor([[[False], [True]], [[True], [False]]])
    batch = Batch(
        eye[:2], eye[:2], torch.arange(2), patches_BPS=torch.zeros(2, 2, 1), is_hidden_BPS=is_hidden,
        patch_BPD=patch_BPD, whole_patch_BPD=torch.stack([eye[[0, 2]], eye[[1, 3]]]), sentences=sentences,
    )  # fmt: skip
    params = Mlip.Params(temperature=1.0, local_temperature=1.0, hidden_width=2, patches_per_sentence=1.0)
    objective = Mlip(params, Facts(4, patches_shape=(2, 1), is_head_P=torch.ones(2, dtype=torch.bool)))
    torch.nn.init.zeros_(objective.reconstruction.out.weight)
    torch.nn.init.constant_(objective.reconstruction.out.bias, 3.0)
    outcome = objective(batch)
    # Image 0 kept the patch its sentence attends to, image 1 lost it: h = e/(1 + e) and 1/(1 + e).
    weights = [2 * math.e / (1 + math.e), 2 / (1 + math.e)]
    cost = math.log(1 + math.e) - 1
    assert outcome.losses["image_to_text"].item() == pytest.approx(sum(weights) / 2 * cost / 2)
    assert outcome.logged["integrity_spread"].item() == pytest.approx((weights[0] - weights[1]) / 2)
    for name in LOCAL:
        assert outcome.losses[name].item() == pytest.approx(cost / 2)
    # With a gain of 2ξ = 1 and ε = 0.05 the matched share m has m / (1 - m) = exp(1 / 2ε).
    assert outcome.logged["matched_share"].item() == pytest.approx(1 / (1 + math.exp(-10)))
    assert outcome.losses["hidden_patches"].item() == pytest.approx(9.0)


def test_images_without_a_finding_weigh_one_and_so_does_the_mean():
    weight_B = integrity_weights(
        torch.tensor([[[0.5, 0.5]], [[0.9, 0.1]], [[0.0, 0.0]]]),
        torch.tensor([[True, False]] * 3),
        torch.tensor([[True], [True], [False]]),
    )
    torch.testing.assert_close(weight_B, torch.tensor([0.5 / 0.7, 0.9 / 0.7, 1.0]))


@pytest.mark.parametrize(("progress", "is_weighted"), [(0.0, False), (0.19, False), (0.2, True), (1.0, True)])
def test_pairs_weigh_alike_in_the_first_fifth_of_the_training(progress, is_weighted):
    outcome = mlip()(replace(random_batch(), progress=progress))
    assert bool(outcome.logged["integrity_spread"] > 0) == is_weighted


def test_integrity_has_no_gradient():
    batch = random_batch()
    sum(mlip()(batch).losses[name] for name in GLOBAL).backward()
    assert batch.sentences.embedding_BND.grad is None


@pytest.mark.parametrize("case", CASES)
def test_every_parameter_and_every_embedding_in_use_gets_a_gradient(case):
    objective, batch = mlip(**CASES[case]), random_batch()
    objective(batch).loss.backward()
    for tensor in [*objective.parameters(), batch.image_BD, batch.text_UD, batch.patch_BPD]:
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.abs().sum() > 0
    reached = batch.sentences.embedding_BND.grad.abs().sum(dim=2) > 0
    assert torch.equal(reached, batch.sentences.is_finding_BN)
    assert not batch.patch_BPD.grad[:, ~IS_HEAD_P].any()


def pick(batch, images):
    names = ["patches_BPS", "is_hidden_BPS", "patch_BPD", "whole_patch_BPD"]
    return Batch(
        batch.image_BD[images],
        batch.text_UD,
        batch.text_index_B[images],
        **{name: getattr(batch, name)[images] for name in names},
        sentences=SentenceSets(*(values[images] for values in vars(batch.sentences).values())),
    )


def test_the_order_of_images_does_not_matter():
    objective, batch = mlip(), random_batch()
    torch.testing.assert_close(objective(pick(batch, torch.tensor([3, 0, 4, 1, 2]))).loss, objective(batch).loss)


def test_neither_the_order_of_sentences_nor_their_padding_matters():
    objective, batch = mlip(), random_batch()
    order = torch.tensor([2, 0, 3, 1])
    moved = SentenceSets(*(values[:, order] for values in vars(batch.sentences).values()))
    torch.testing.assert_close(objective(replace(batch, sentences=moved)).loss, objective(batch).loss)
    one = torch.zeros(B, 1, dtype=torch.bool)
    padding = SentenceSets(torch.full((B, 1, D), float("nan")), one, one, torch.full((B, 1), 4))
    pairs = zip(vars(batch.sentences).values(), vars(padding).values(), strict=True)
    padded = SentenceSets(*(torch.cat(pair, dim=1) for pair in pairs))
    torch.testing.assert_close(objective(replace(batch, sentences=padded)).loss, objective(batch).loss)


def test_sentences_that_state_no_finding_have_no_influence():
    objective, batch = mlip(), random_batch()
    embedding_BND = batch.sentences.embedding_BND.detach().clone()
    embedding_BND[~batch.sentences.is_finding_BN] += 5.0
    changed = replace(batch, sentences=replace(batch.sentences, embedding_BND=embedding_BND))
    assert objective(changed).loss == objective(batch).loss


def test_what_states_the_same_is_no_negative():
    batch = random_batch()
    same = replace(batch, sentences=replace(batch.sentences, meaning_BN=torch.zeros(B, N, dtype=torch.long)))
    outcome = mlip()(same)
    assert [outcome.losses[name].item() for name in sorted(LOCAL)] == pytest.approx([0.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_half_precision_gives_a_finite_float32_loss_and_gradient(dtype):
    objective, batch = mlip(), random_batch(dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outcome = objective(batch)
    outcome.loss.backward()
    assert outcome.loss.dtype == torch.float32
    for tensor in (outcome.loss, batch.image_BD.grad, batch.patch_BPD.grad, batch.sentences.embedding_BND.grad):
        assert torch.isfinite(tensor).all()


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e4, 1e15])
@pytest.mark.parametrize("case", CASES)
def test_extreme_embeddings_stay_finite(case, scale):
    batch = random_batch()
    scaled = replace(
        batch,
        image_BD=batch.image_BD * scale,
        patch_BPD=batch.patch_BPD * scale,
        whole_patch_BPD=batch.whole_patch_BPD * scale,
        sentences=replace(batch.sentences, embedding_BND=batch.sentences.embedding_BND * scale),
    )
    assert torch.isfinite(mlip(**CASES[case])(scaled).loss)


@pytest.mark.parametrize("case", CASES)
def test_a_batch_without_any_finding_is_matched_as_a_whole_only(case):
    batch = random_batch()
    bare = replace(batch, sentences=replace(batch.sentences, is_finding_BN=torch.zeros(B, N, dtype=torch.bool)))
    outcome = mlip(**CASES[case])(bare)
    outcome.loss.backward()
    assert {outcome.losses[name].item() for name in LOCAL & set(outcome.losses)} == {0.0}
    assert outcome.logged["integrity_spread"] == 0
    for tensor in (batch.image_BD.grad, batch.patch_BPD.grad, batch.sentences.embedding_BND.grad):
        assert torch.isfinite(tensor).all()


def test_where_nothing_is_hidden_pairs_weigh_alike_and_nothing_is_reconstructed():
    batch = random_batch(num_hidden=0)
    outcome = mlip()(batch)
    outcome.loss.backward()
    assert outcome.losses["hidden_patches"] == 0
    assert outcome.logged["integrity_spread"].item() == pytest.approx(0.0, abs=1e-6)
    clip = Clip(Clip.Params(), Facts(D))(batch)
    for name in GLOBAL:
        torch.testing.assert_close(outcome.losses[name], clip.losses[name])


def test_where_the_whole_head_is_hidden_the_loss_and_its_gradient_stay_finite():
    batch = random_batch(num_hidden=7)
    outcome = mlip()(batch)
    outcome.loss.backward()
    assert torch.isfinite(outcome.loss)
    assert torch.isfinite(batch.patch_BPD.grad).all()
    assert {outcome.losses[name].item() for name in LOCAL} == {0.0}


@pytest.mark.parametrize(
    ("values", "changed", "gone"),
    [
        ({"is_integrity_weighted": False}, GLOBAL, set()),
        ({"integrity_warmup": 1.0}, set(), set()),
        ({"temperature": 0.1}, GLOBAL, set()),
        ({"matching": "attention"}, LOCAL, set()),
        ({"directions": "sentence_to_patch"}, {"sentence_to_patch"}, {"patch_to_sentence"}),
        ({"directions": "patch_to_sentence"}, {"patch_to_sentence"}, {"sentence_to_patch"}),
        ({"local_weight": 0.5}, LOCAL, set()),
        ({"local_weight": 0.0}, set(), LOCAL),
        ({"local_patches": 1}, {"patch_to_sentence"}, set()),
        ({"dust_cost": 0.2}, LOCAL, set()),
        ({"patches_per_sentence": 1.0}, LOCAL, set()),
        ({"regularisation": 0.2}, LOCAL, set()),
        ({"local_temperature": 0.2}, GLOBAL | LOCAL, set()),
        ({"reconstruction_weight": 0.5}, {"hidden_patches"}, set()),
        ({"reconstruction_weight": 0.0}, set(), {"hidden_patches"}),
    ],
)
def test_a_parameter_changes_its_own_terms_only(values, changed, gone):
    before, after = (mlip(**options)(random_batch()).losses for options in ({}, values))
    assert set(before) - set(after) == gone
    assert {name for name, term in after.items() if term != before[name]} == changed


def test_one_direction_weighs_as_much_as_both():
    both, one = (mlip(**options)(random_batch()).losses for options in ({}, {"directions": "patch_to_sentence"}))
    torch.testing.assert_close(one["patch_to_sentence"], 2 * both["patch_to_sentence"])


@pytest.mark.parametrize(
    ("values", "needed"),
    [
        ({}, {"patches", "whole_patches", "sentence_sets", "hidden_patches"}),
        ({"is_integrity_weighted": False}, {"patches", "sentence_sets", "hidden_patches"}),
        ({"is_integrity_weighted": False, "local_weight": 0}, {"patches", "hidden_patches"}),
        ({"is_integrity_weighted": False, "local_weight": 0, "reconstruction_weight": 0}, {"hidden_patches"}),
    ],
)
def test_it_needs_what_its_terms_read(values, needed):
    assert Mlip.needs(Mlip.Params(**values)) == needed
    batch = random_batch()
    missing = {"patches": "patch_BPD", "whole_patches": "whole_patch_BPD", "sentence_sets": "sentences"}
    bare = replace(batch, **{name: None for need, name in missing.items() if need not in needed})
    assert torch.isfinite(mlip(**values)(bare).loss)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"is_hidden_BPS": None, "patches_BPS": None}, "hidden patches"),
        ({"sentences": None}, "sentences"),
        ({"whole_patch_BPD": None}, "whole patches"),
        ({"patch_BPD": None, "whole_patch_BPD": None}, "whole patches"),
    ],
)
def test_what_is_needed_and_missing_is_refused(missing, message):
    with pytest.raises(ValueError, match=rf"^{message}: expected for MLIP, got None"):
        mlip()(replace(random_batch(), **missing))
    with pytest.raises(ValueError, match="patches of the head: expected for MLIP, got None"):
        Mlip(Mlip.Params(), Facts(D))


def test_what_is_known_of_the_head_is_no_part_of_the_state():
    assert "is_head_P" not in mlip().state_dict()
