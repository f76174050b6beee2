"""CLSTM: the paper's size, its layers written out, both directions of its recurrence."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from selfie_hear.config import ConfigError
from selfie_hear.encoders import CLSTM


def test_the_papers_size() -> None:
    encoder = CLSTM()
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 1024
    assert count == 18_643_714
    assert abs(count - 18.6e6) < 0.05e6  # BYOL-S, table 1
    assert encoder.conv1.kernel_size == (9, 9)
    assert encoder.conv2.kernel_size == (4, 3)  # frequency, time
    assert encoder.lstm.input_size == 14 * 256


def slow(encoder: CLSTM, x: torch.Tensor) -> torch.Tensor:
    """As the paper lists the layers, the recurrence step by step (Hochreiter and Schmidhuber, with a forget gate)."""
    for conv, norm in ((encoder.conv1, encoder.norm1), (encoder.conv2, encoder.norm2)):
        x = F.max_pool2d(F.relu(norm(conv(x))), 2)
    steps = [x[:, :, :, k].transpose(1, 2).flatten(1) for k in range(x.shape[3])]  # (B, frequencies * filters)
    heard = []
    for way, order in (("", steps), ("_reverse", steps[::-1])):
        weights = dict(encoder.lstm.named_parameters())
        hidden = cell = torch.zeros(len(x), encoder.lstm.hidden_size)
        states = []
        for step in order:
            gates = step @ weights[f"weight_ih_l0{way}"].T + weights[f"bias_ih_l0{way}"]
            gates = gates + hidden @ weights[f"weight_hh_l0{way}"].T + weights[f"bias_hh_l0{way}"]
            enter, forget, candidate, leave = gates.chunk(4, dim=1)
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            states.append(hidden)
        heard.append(torch.stack(states if way == "" else states[::-1], dim=1))
    return F.relu(encoder.fc(torch.cat(heard, dim=2)))


@pytest.mark.parametrize("training", [False, True])
def test_it_is_the_papers_layers(training: bool) -> None:
    torch.manual_seed(0)
    encoder = CLSTM(16, 4, 8, 12).train(training)
    mel = torch.randn(2, 1, 16, 48)
    with torch.no_grad():
        assert torch.allclose(encoder.network(mel), slow(encoder, mel), atol=1e-6)


def test_its_recurrence_runs_both_ways_over_a_segment_and_no_further() -> None:
    torch.manual_seed(0)
    encoder = CLSTM(16, 4, 8, 12, segment=32).eval()
    mel = torch.randn(1, 1, 16, 64)
    with torch.no_grad():
        before = encoder(mel)
        mel[..., 16:20] += 3.0
        changed = (encoder(mel) != before).any(2)[0].tolist()
    assert changed == [True] * 8 + [False] * 8


def test_too_few_bands() -> None:
    with pytest.raises(ConfigError, match="clstm: n_mels must be 10 at least, got 8"):
        CLSTM(8)
    assert CLSTM(10, 2, 2, 2).eval()(torch.randn(1, 1, 10, 8)).shape == (1, 2, 2)
