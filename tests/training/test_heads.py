"""The heads, layer by layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from training.heads import tanh_layer


@pytest.mark.parametrize("layer_norm", [True, False])
def test_tanh_layer_is_a_linear_map_normalised_if_so_and_squashed(layer_norm: bool) -> None:
    torch.manual_seed(0)
    head = tanh_layer(5, 7, layer_norm)
    rows = 10 * torch.randn(4, 5)
    expected = F.linear(rows, head[0].weight, head[0].bias)
    if layer_norm:
        variance, mean = torch.var_mean(expected, dim=1, keepdim=True, correction=0)
        expected = (expected - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(head(rows), expected.tanh())


def test_layer_norm_keeps_large_inputs_from_saturating_tanh() -> None:
    torch.manual_seed(0)
    rows = 1000 * torch.randn(16, 5)
    saturated = [(tanh_layer(5, 64, layer_norm)(rows).abs() > 0.99).float().mean() for layer_norm in (True, False)]
    assert saturated[0] < 0.1 and saturated[1] > 0.9
