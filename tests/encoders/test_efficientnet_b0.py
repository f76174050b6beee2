"""EfficientNetB0: its size, what is set otherwise than in the library, how far it sees."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.encoders import EfficientNetB0
from tests.conftest import grown


def test_its_size() -> None:
    encoder = EfficientNetB0()
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 1280
    assert count == 4_006_974
    classifier = 1281 * 1000
    assert abs(count + classifier - 5.3e6) < 0.05e6  # Tan and Le, table 2; COLA prints no number


@pytest.mark.parametrize(("width", "dim"), [(0.125, 160), (0.33, 424), (0.5, 640)])
def test_narrow_ones(width: float, dim: int) -> None:
    encoder = EfficientNetB0(32, width).eval()
    assert encoder.dim == dim
    assert encoder(torch.randn(1, 1, 32, 40)).shape == (1, 10, dim)


def test_it_learns_from_scratch() -> None:
    torch.manual_seed(0)
    encoder = EfficientNetB0(32, 0.25)
    norms = [part for part in encoder.modules() if isinstance(part, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
    weights = [norm.weight.unique().tolist() for norm in norms]
    assert weights.count([0.0]) == 9  # of the 16 blocks 9 add to what they were given
    assert weights.count([1.0]) == len(norms) - 9
    gates = [part.weight for name, part in encoder.named_modules() if name.endswith("squeeze_excite.expand")]
    assert len(gates) == 16
    assert not any(gate.any() for gate in gates)
    assert {part.p for part in encoder.modules() if isinstance(part, nn.Dropout)} == {0.0}
    out = encoder(torch.randn(4, 1, 32, 96))
    assert float(out.detach().std()) > 0.1


def test_all_of_a_segment_is_weighed_and_no_more() -> None:
    torch.manual_seed(0)
    encoder = grown(EfficientNetB0(32, 0.125, segment=256)).eval()
    mel = torch.randn(1, 1, 32, 512)
    with torch.no_grad():
        before = encoder(mel)
        for place, first, heard in ((255, 0, True), (256, 0, False), (511, 64, True)):
            mel[..., place] += 20.0
            after = encoder(mel)
            assert torch.equal(after[:, first], before[:, first]) != heard, place
            before = after


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_mels": 48}, "efficientnet_b0: n_mels must be a multiple of 32, got 48"),
        ({"width": 0.0}, r"efficientnet_b0: width must be in \(0, 1\], got 0.0"),
        ({"width": 1.5}, r"efficientnet_b0: width must be in \(0, 1\], got 1.5"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EfficientNetB0(**options)


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"'efficientnet_b0' needs transformers: pip install 'selfie_hear\[tr"):
        EfficientNetB0()
