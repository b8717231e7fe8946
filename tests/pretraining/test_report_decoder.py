import pytest
import torch
from torch.nn import functional

from stages.pretraining.report_decoder import ReportDecoder, language_loss
from stages.pretraining.vocabulary import BEGIN, END, PADDING, UNKNOWN

B, M, L, V, W, D = 4, 5, 9, 17, 16, 12


def build(**changes):
    torch.manual_seed(0)
    sizes = {"vocabulary_size": V, "width": W, "depth": 2, "num_heads": 4, "max_tokens": L, "memory_width": D}
    return ReportDecoder(**(sizes | changes))


def memory():
    return torch.randn(B, M, D, generator=torch.Generator().manual_seed(1))


def tokens():
    token_BL = torch.randint(UNKNOWN, V, (B, L), generator=torch.Generator().manual_seed(2))
    token_BL[:, 0] = BEGIN
    return token_BL


def test_a_word_is_predicted_from_those_before_it_only():
    decoder, given, changed = build(), tokens(), tokens()
    changed[:, 5:] = (changed[:, 5:] + 3) % V
    before, after = decoder(memory(), given), decoder(memory(), changed)
    assert before.shape == (B, L, V)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert not torch.allclose(after[:, 5:], before[:, 5:])


def test_padding_does_not_matter():
    decoder, given = build(), tokens()[:, :6]
    padded = functional.pad(given, (0, 3), value=PADDING)
    torch.testing.assert_close(decoder(memory(), padded)[:, :6], decoder(memory(), given))
    loss = language_loss(decoder(memory(), padded), padded)
    torch.testing.assert_close(loss, language_loss(decoder(memory(), given), given))


@pytest.mark.parametrize("memory_length", [None, M])
def test_texts_written_with_a_cache_are_those_written_without(memory_length):
    decoder = build(memory_length=memory_length).eval()
    written = decoder.generate(memory())
    expected = torch.full((B, 1), BEGIN)
    is_over = torch.zeros(B, dtype=torch.bool)
    while expected.shape[1] < L and not is_over.all():
        logits = decoder(memory(), expected)[:, -1]
        logits[:, [PADDING, BEGIN, UNKNOWN]] = -torch.inf
        following = logits.argmax(dim=-1).masked_fill(is_over, PADDING)
        is_over |= following == END
        expected = torch.cat([expected, following[:, None]], dim=1)
    assert torch.equal(written, expected)


def test_the_loss_is_the_slow_reference():
    logits = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(3))
    token_BL = torch.tensor([[BEGIN, 4, 5, END], [BEGIN, 4, END, PADDING]])
    terms = [
        -logits[b, place].softmax(dim=-1)[token_BL[b, place + 1]].log()
        for b in range(2)
        for place in range(3)
        if token_BL[b, place + 1] != PADDING
    ]
    torch.testing.assert_close(language_loss(logits, token_BL), sum(terms) / len(terms))


def test_every_parameter_has_a_gradient_and_bf16_is_finite():
    decoder = build(memory_length=M)
    language_loss(decoder(memory(), tokens()), tokens()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in decoder.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = language_loss(decoder(memory(), tokens()), tokens())
    assert loss.isfinite()


def test_images_do_not_see_one_another():
    decoder, order = build(), [2, 0, 3, 1]
    torch.testing.assert_close(decoder(memory()[order], tokens()[order]), decoder(memory(), tokens())[order])


def test_a_few_texts_are_learned_by_heart_and_each_from_its_own_image():
    decoder = build(memory_length=M)
    token_BL = torch.tensor(
        [[BEGIN, 5, 6, 7, END, 0], [BEGIN, 8, 6, END, 0, 0], [BEGIN, 5, 9, 7, 10, END], [BEGIN, END, 0, 0, 0, 0]]
    )
    optimiser = torch.optim.AdamW(decoder.parameters(), lr=1e-2)
    for _ in range(80):
        optimiser.zero_grad()
        loss = language_loss(decoder(memory(), token_BL), token_BL)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    assert torch.equal(decoder.generate(memory()), token_BL)


def test_too_long_texts_are_refused():
    with pytest.raises(ValueError, match="at most 9"):
        build()(memory(), torch.ones(B, L + 1, dtype=torch.long))
