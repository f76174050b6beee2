"""ResNet50: its size, its stacked mels, how far it sees, what it says without its extra."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.encoders import ResNet50
from tests.conftest import grown


@pytest.mark.parametrize(("stacked", "expected"), [(1, 23_501_762), (3, 23_508_034)])
def test_its_size(stacked: int, expected: int) -> None:
    encoder = ResNet50(stacked=stacked)
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 2048
    assert count == expected
    classifier = 2049 * 1000
    assert abs(count + classifier - 25.6e6) < 0.1e6  # as others count He et al.'s; Lin prints no number


def test_three_stacked_mels_hear_what_one_does() -> None:
    torch.manual_seed(0)
    three, one = (ResNet50(32, stacked, 4, input_mean=-7.0, input_std=3.0).eval() for stacked in (3, 1))
    state = three.state_dict()
    first = "resnet.embedder.embedder.convolution.weight"
    state[first] = state[first].sum(1, keepdim=True)
    one.load_state_dict(state)
    mel = torch.randn(2, 1, 32, 96) * 3 - 7
    with torch.no_grad():
        assert torch.allclose(one(mel), three(mel), rtol=1e-4, atol=1e-4)


def test_its_blocks_begin_as_their_shortcuts() -> None:
    torch.manual_seed(0)
    encoder = ResNet50(32, 1, 4, input_mean=0.0, input_std=1.0).eval()
    mel = torch.randn(1, 1, 32, 96)
    with torch.no_grad():
        expected = encoder(mel)
        spatial = [part for name, part in encoder.named_modules() if name.endswith("layer.1.convolution")]
        assert len(spatial) == 16
        for convolution in spatial:
            convolution.weight.neg_()
        assert torch.equal(encoder(mel), expected)
        nn.init.ones_(encoder.resnet.encoder.stages[0].layers[0].layer[-1].normalization.weight)
        assert not torch.equal(encoder(mel), expected)


def test_its_field() -> None:
    """With positive weights nothing hides a loud mel frame: 213 away it is heard, and no further."""
    torch.manual_seed(0)
    encoder = grown(ResNet50(32, 1, 4, input_mean=0.0, input_std=1.0)).double().eval()
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.abs_()
        mel = torch.rand(1, 1, 32, 640, dtype=torch.float64)
        expected = encoder.network(mel)[:, 10]
        for away, heard in ((-214, False), (-213, True), (213, True), (214, False)):
            louder = mel.clone()
            louder[..., 32 * 10 + away] += 1e6
            assert torch.equal(encoder.network(louder)[:, 10], expected) != heard, away
    assert encoder.context == 213 + 16 + 3  # half a frame more, rounded up to 4


def test_one_or_three() -> None:
    with pytest.raises(ConfigError, match="resnet50: stacked must be 1 or 3, got 2"):
        ResNet50(stacked=2)


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"'resnet50' needs transformers: pip install 'selfie_hear\[transf"):
        ResNet50()
