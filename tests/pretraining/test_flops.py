import pytest
import torch
from torch import nn

from stages.pretraining.flops import flops_per_row, peak_flops


class Named(nn.Linear):
    def forward(self, features):
        return super().forward(features)


def test_a_linear_layer_costs_three_times_its_products():
    # 2 operations a weight in the forward pass, and three times that in a step
    assert flops_per_row(Named(16, 8), {"features": torch.randn(5, 16)}) == pytest.approx(3 * 2 * 16 * 8)


def test_the_batch_does_not_change_the_cost_of_a_row():
    tower = Named(16, 8)
    costs = [flops_per_row(tower, {"features": torch.randn(size, 16)}) for size in (1, 7)]
    assert costs[0] == costs[1]


def test_the_peak_of_a_processor_is_not_known():
    assert peak_flops(torch.device("cpu")) is None
