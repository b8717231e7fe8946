import math

import pytest
import torch

from stages.pretraining.knowledge import (
    AxialLayer,
    GroundedKnowledge,
    PromptLayout,
    RegionReader,
    permute_regions,
    pool_regions,
)

B, P, D, F, R, E, W, Q, V = 3, 6, 5, 4, 3, 7, 8, 2, 10


def images(seed=0):
    random = torch.Generator().manual_seed(seed)
    return (
        torch.randn(B, D, generator=random),
        torch.randn(B, P, D, generator=random),
        torch.rand(B, R, P, generator=random),
    )


def knowledge(*, is_head_P=None, **values):
    torch.manual_seed(1)
    settings = {"depth": 2, "num_heads": 2, "mlp_ratio": 2, "has_global_tokens": True} | values
    layout = PromptLayout(width=W, num_reads=Q, memory_width=V, **settings)
    return GroundedKnowledge(D, torch.randn(F, E), R, layout, is_head_P)


def test_pooling_is_the_slow_loop():
    _, patch, weight = images()
    weight[1, 2] = 0
    pooled = pool_regions(patch, weight)
    for b in range(B):
        for r in range(R):
            mass = sum(float(weight[b, r, p]) for p in range(P))
            for d in range(D):
                total = sum(float(weight[b, r, p] * patch[b, p, d]) for p in range(P))
                assert pooled[b, r, d].item() == pytest.approx(total / mass if mass else 0.0, abs=1e-6)


def test_reading_is_the_slow_loop():
    torch.manual_seed(0)
    reader, patch, (_, _, weight) = RegionReader(W, Q), torch.randn(B, P, W), images()
    weight[0, 1] = 0
    reads = reader(patch, weight)
    assert reads.shape == (B, R, Q, W)
    for b in range(B):
        for r in range(R):
            for q in range(Q):
                share = [
                    float(weight[b, r, p])
                    * math.exp(10 * math.tanh((reader.score.weight[q] @ patch[b, p]).item() / 10))
                    for p in range(P)
                ]
                total = sum(share) or 1.0
                value = sum(share[p] / total * patch[b, p] for p in range(P)) + reader.position[q]
                torch.testing.assert_close(reads[b, r, q], reader.norm(value), rtol=1e-4, atol=1e-5)


def test_a_layer_is_slow_attention_within_each_row_and_its_context():
    torch.manual_seed(0)
    layer = AxialLayer(W, 1, 2, has_context=True)
    rows, context = torch.randn(2, 4, W), torch.randn(2, 3, W)
    updated = layer(rows, context)
    for n in range(2):
        query, key, value = layer.query_key_value(layer.attention_norm(rows[n])).chunk(3, dim=-1)
        further_key, further_value = layer.context_key_value(context[n]).chunk(2, dim=-1)
        keys, values = [*key, *further_key], [*value, *further_value]
        for x in range(4):
            scores = [math.exp((query[x] @ one).item() / math.sqrt(W)) for one in keys]
            seen = sum(score / sum(scores) * one for score, one in zip(scores, values, strict=True))
            expected = rows[n, x] + layer.attention_out(seen)
            expected = expected + layer.network(layer.network_norm(expected))
            torch.testing.assert_close(updated[n, x], expected, rtol=1e-4, atol=1e-5)


def test_prompts_are_the_formula():
    grounded, (_, patch, weight) = knowledge(), images()
    prompts = grounded.prompts(patch, weight)
    assert prompts.shape == (B, F, R, W)
    known = grounded.knowledge_projection(grounded.knowledge_FE)
    seen = pool_regions(grounded.patch_norm(patch), weight) @ grounded.patch_projection.weight.T
    for b in range(B):
        for f in range(F):
            for r in range(R):
                expected = grounded.prompt_norm(known[f] + seen[b, r] + grounded.position[r])
                torch.testing.assert_close(prompts[b, f, r], expected, rtol=1e-4, atol=1e-5)


def test_evidence_is_the_slow_product_of_knowledge_and_prompt():
    grounded = knowledge()
    prompts, evidence, _ = grounded(*images())
    asked = grounded.finding_query(grounded.knowledge_FE)
    for b in range(B):
        for f in range(F):
            for r in range(R):
                expected = sum(prompts[b, f, r, w].item() * asked[f, w].item() for w in range(W)) / math.sqrt(W)
                assert evidence[b, f, r].item() == pytest.approx(expected, abs=1e-5)


def test_memory_is_the_slow_loop_over_prompts_by_their_evidence():
    grounded = knowledge()
    prompts, evidence, memory = grounded(*images())
    for b in range(B):
        told = [[prompts[b, f, r] / (1 + math.exp(-evidence[b, f, r].item())) for r in range(R)] for f in range(F)]
        for r in range(R):
            expected = grounded.region_memory(torch.cat([told[f][r] for f in range(F)]))
            torch.testing.assert_close(memory[b, r], expected, rtol=1e-4, atol=1e-5)
        for f in range(F):
            expected = grounded.finding_memory(torch.cat(told[f]))
            torch.testing.assert_close(memory[b, R + f], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth", [2, 3])
def test_prompts_and_memory_have_their_shapes_at_any_depth(depth):
    prompts, evidence, memory = knowledge(depth=depth)(*images())
    assert prompts.shape == (B, F, R, W)
    assert evidence.shape == (B, F, R)
    assert memory.shape == (B, R + F + 1 + Q, V)


def test_findings_can_be_listed_in_any_order():
    grounded, given = knowledge(), images()
    prompts, evidence, _ = grounded(*given)
    order = torch.tensor([2, 0, 3, 1])
    grounded.knowledge_FE = grounded.knowledge_FE[order]
    moved = grounded(*given)
    torch.testing.assert_close(moved.prompt_BFRW, prompts[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(moved.evidence_BFR, evidence[:, order], rtol=1e-4, atol=1e-5)


def test_a_prompt_reaches_every_prompt_of_its_image_and_none_of_another():
    grounded, (image, patch, weight) = knowledge(has_global_tokens=False), images()
    weight[:] = 0
    for r in range(R):
        weight[:, r, r] = 1
    patch.requires_grad_()
    grounded(image, patch, weight)[0][1, 0, 0, 0].backward()
    reached = patch.grad.abs().sum(dim=-1) > 0
    assert reached[1].tolist() == [True] * R + [False] * (P - R)
    assert not reached[[0, 2]].any()


def test_only_global_tokens_see_beyond_the_regions():
    image, patch, weight = images()
    weight[..., -1] = 0
    moved = patch.clone()
    moved[:, -1] = torch.randn(D)
    for has_global_tokens in (True, False):
        grounded = knowledge(has_global_tokens=has_global_tokens)
        for before, after, other in zip(
            grounded(image, patch, weight), grounded(image, moved, weight), grounded(-image, patch, weight), strict=True
        ):
            assert torch.equal(before, after) != has_global_tokens
            assert torch.equal(before, other) != has_global_tokens


def test_patches_outside_the_head_are_no_part_of_the_global_tokens():
    image, patch, weight = images()
    weight[..., -1] = 0
    moved = patch.clone()
    moved[:, -1] = torch.randn(D)
    grounded = knowledge(is_head_P=torch.arange(P) < P - 1)
    torch.testing.assert_close(grounded(image, moved, weight)[2], grounded(image, patch, weight)[2])


def test_an_image_without_regions_is_finite_and_so_is_its_gradient():
    grounded, (image, patch, weight) = knowledge(), images()
    weight[1] = 0
    patch.requires_grad_()
    prompts, _, memory = grounded(image, patch, weight)
    (prompts.sum() + memory.square().sum()).backward()
    assert torch.isfinite(prompts).all()
    assert torch.isfinite(memory).all()
    assert torch.isfinite(patch.grad).all()
    assert all(torch.isfinite(parameter.grad).all() for parameter in grounded.parameters())


def test_permuted_regions_are_those_of_the_order():
    _, _, weight = images()
    order = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 0, 2]])
    permuted = permute_regions(weight, order)
    for b in range(B):
        for r in range(R):
            assert torch.equal(permuted[b, r], weight[b, order[b, r]])
