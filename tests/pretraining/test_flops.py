import torch
from torch import nn

from stages.pretraining.flops import count_flops, peak_flops


def test_a_linear_layer_costs_two_operations_a_weight_and_row():
    layer = nn.Linear(16, 8)
    assert [count_flops(lambda size=size: layer(torch.randn(size, 16))) for size in (1, 7)] == [256, 7 * 256]


def test_the_peak_of_a_processor_is_not_known():
    assert peak_flops(torch.device("cpu")) is None
