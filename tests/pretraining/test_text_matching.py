import math

import torch

from stages.pretraining.text_matching import TextMatching, hardest_negatives

D = 8


def test_the_hardest_negatives_by_hand():
    logits = torch.tensor([[5.0, 3.0, 4.0], [1.0, 9.0, 2.0], [7.0, 0.0, 8.0]])
    is_negative = torch.tensor([[False, True, False], [True, False, True], [False, True, False]])
    text_B, image_B, has_any_B = hardest_negatives(logits, is_negative)
    assert text_B.tolist() == [1, 2, 1]
    assert image_B.tolist() == [1, 0, 1]
    assert has_any_B.tolist() == [True, True, True]


def test_a_text_reads_the_memory_by_slow_attention():
    torch.manual_seed(0)
    matching, memory, text = TextMatching(D, 6, 1), torch.randn(2, 5, 6), torch.randn(2, D)
    for n in range(2):
        query = matching.query(text[n] / text[n].norm() * math.sqrt(D))
        key, value = matching.key_value(matching.memory_norm(memory[n])).chunk(2, dim=-1)
        scores = [math.exp((query @ one).item() / math.sqrt(6)) for one in key]
        read = sum(score / sum(scores) * one for score, one in zip(scores, value, strict=True))
        expected = matching.network(torch.cat([read, query, read * query]))
        torch.testing.assert_close(matching(memory, text)[n : n + 1], expected, rtol=1e-4, atol=1e-5)
