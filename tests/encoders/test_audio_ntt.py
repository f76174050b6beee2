"""AudioNTT: its shape, its size, and its fast paths against the plain layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from selfie_hear.config import ConfigError, EncoderConfig
from selfie_hear.encoders import AudioNTT, build_encoder


def plain_forward(encoder: AudioNTT, mel: torch.Tensor) -> torch.Tensor:
    """The layers as the paper lists them, without folding, without the matrix product, ReLU before pooling."""
    x = encoder.norm0(mel.transpose(2, 3))
    if encoder.blocks == 3:
        x = torch.cat([x, torch.zeros(len(x), 1, -x.shape[2] % 8, x.shape[3], dtype=x.dtype)], dim=2)
    for block in range(1, encoder.blocks + 1):
        conv, norm = getattr(encoder, f"conv{block}"), getattr(encoder, f"norm{block}")
        x = F.max_pool2d(F.relu(norm(conv(x))), 2)
    local = x.permute(0, 2, 3, 1).flatten(2)
    last = F.relu(encoder.fc2(F.relu(encoder.fc1(local))))
    if encoder.blocks == 3:
        return torch.stack([last, last], dim=2).flatten(1, 2)[:, : mel.shape[3] // 4]
    return torch.cat([local, last], dim=2)


@pytest.fixture(params=[2, 3])
def encoder(request: pytest.FixtureRequest) -> AudioNTT:
    torch.manual_seed(0)
    encoder = AudioNTT(n_mels=16, channels=4, hidden=24, dropout=0.0, blocks=request.param)
    mel = torch.randn(8, 1, 16, 40) * 5 - 7
    for _ in range(20):
        encoder(mel)  # gathers statistics
    return encoder


def test_the_papers_size() -> None:
    encoder = AudioNTT()
    assert encoder.dim == 3072
    assert sum(p.numel() for p in encoder.parameters()) == 6_333_378


def test_the_size_of_three_blocks() -> None:
    encoder = AudioNTT(blocks=3)
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 2048
    assert count == 5_321_858
    assert abs(count - 5.3e6) < 0.05e6  # BYOL-S, table 1
    assert AudioNTT(hidden=0, blocks=3).dim == 512


@pytest.mark.parametrize("training", [False, True])
def test_the_fast_path_is_the_plain_one(encoder: AudioNTT, training: bool) -> None:
    encoder.train(training)
    mel = torch.randn(2, 1, 16, 33) * 5 - 7
    assert torch.allclose(encoder(mel), plain_forward(encoder, mel), atol=1e-5)
    assert encoder(mel).shape == (2, 8, 4 * 4 + 24 if encoder.blocks == 2 else 24)


def test_gradients_of_the_fast_path(encoder: AudioNTT) -> None:
    encoder.double()
    mel = torch.randn(2, 1, 16, 16, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(path.square().sum(), list(encoder.parameters()))
        for path in (encoder(mel), plain_forward(encoder, mel))
    )
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9)


def test_a_frame_sees_no_further_than_its_context(encoder: AudioNTT) -> None:
    encoder.eval()
    mel = torch.randn(1, 1, 16, 64)
    disturbed = mel.clone()
    disturbed[..., : 4 * 5 - encoder.context] += 10.0
    disturbed[..., 4 * 6 + encoder.context :] += 10.0
    assert torch.equal(encoder(mel)[:, 5], encoder(disturbed)[:, 5])


def test_dropout_keeps_the_mean_and_the_share() -> None:
    torch.manual_seed(0)
    dropout = AudioNTT(dropout=0.3).dropout
    out = dropout(torch.ones(100_003))
    assert out.unique().tolist() == pytest.approx([0.0, 256 / 179])
    assert float(out.mean()) == pytest.approx(1.0, abs=0.01)
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert torch.equal(dropout.eval()(torch.ones(10)), torch.ones(10))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (EncoderConfig(name="resnet"), "known encoders are audio_ntt"),
        (EncoderConfig(options={"hiden": 3}), "unknown option hiden; options are blocks, channels, dropout, hidden"),
    ],
)
def test_wrong_names_say_which_would_do(config: EncoderConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_encoder(config, 64)


def test_bands_must_divide() -> None:
    with pytest.raises(ConfigError, match="multiple of 4"):
        build_encoder(EncoderConfig(), 66)
    with pytest.raises(ConfigError, match="multiple of 8"):
        build_encoder(EncoderConfig(options={"blocks": 3}), 60)


@pytest.mark.parametrize("options", [{"blocks": 4}, {"channels": -1}, {"channels": "many"}])
def test_options_that_cannot_be_built(options: dict) -> None:
    with pytest.raises(ConfigError, match="audio_ntt"):
        build_encoder(EncoderConfig(options=options), 64)
