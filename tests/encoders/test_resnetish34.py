"""ResNetish34: the paper's size, how far it sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders import ResNetish34
from selfie_hear.encoders.resnetish34 import Block
from tests.conftest import grown


def test_the_papers_size() -> None:
    encoder = ResNetish34()
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 2048
    assert count == 21_278_402
    assert abs(count - 21.3e6) < 0.05e6  # BYOL-S, table 1
    kernels = [part.kernel_size for part in encoder.modules() if isinstance(part, nn.Conv2d)]
    assert kernels.count((7, 7)) + kernels.count((3, 3)) == 33  # the 34th layer is the classifier of He et al.


def test_a_block_adds_to_what_it_was_given() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    same, other = Block(4, 4).eval(), Block(4, 8, 2).eval()
    for block in (same, other):
        assert not torch.equal(block(x), block.shortcut(x).relu())
        nn.init.zeros_(block.norm2.weight)
        assert torch.equal(block(x), block.shortcut(x).relu())
    assert torch.equal(same(x), x.relu())
    assert other(x).shape == (2, 8, 3, 3)


def test_its_blocks_begin_as_their_shortcuts() -> None:
    torch.manual_seed(0)
    encoder = ResNetish34(16, 2, input_mean=0.0, input_std=1.0).eval()
    mel = torch.randn(1, 1, 16, 64)
    with torch.no_grad():
        expected = encoder(mel)
        blocks = [part for part in encoder.modules() if isinstance(part, Block)]
        for block in blocks:
            block.conv1.weight.neg_()
        assert torch.equal(encoder(mel), expected)
        nn.init.ones_(blocks[0].norm2.weight)
        assert not torch.equal(encoder(mel), expected)


def test_its_field() -> None:
    """With positive weights nothing hides a loud mel frame: 226 away it is heard, and no further."""
    torch.manual_seed(0)
    network = grown(ResNetish34(16, 2, input_mean=0.0, input_std=1.0)).double().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_()
        mel = torch.rand(1, 1, 16, 640, dtype=torch.float64)
        expected = network.network(mel)[:, 20]
        for away, heard in ((-227, False), (-226, True), (226, True), (227, False)):
            louder = mel.clone()
            louder[..., 16 * 20 + away] += 1e6
            assert torch.equal(network.network(louder)[:, 20], expected) != heard, away
    assert network.context == 226 + 8 + 2  # half a frame more, rounded up to 4


def test_bands_must_divide() -> None:
    with pytest.raises(ConfigError, match="resnetish34: n_mels must be a multiple of 16, got 40"):
        ResNetish34(40)
