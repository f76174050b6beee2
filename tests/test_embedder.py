"""The chunked path: equal to one pass over the whole clip, in any blocks, at any length."""

from __future__ import annotations

import pytest
import torch

import selfie_hear.embedder as module
from selfie_hear import Embedder
from selfie_hear.config import ConfigError, EncoderConfig, ModelConfig
from tests.conftest import MELS, TINY, noise, tiny_embedder


@pytest.fixture(params=TINY, ids=lambda model: model.encoder.name)
def tiny(request: pytest.FixtureRequest) -> Embedder:
    """Of each kind of encoder."""
    return tiny_embedder(request.param)


def frames(model: Embedder, blocks: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat(list(model.frames(blocks)), dim=1)


def whole(model: Embedder, audio: torch.Tensor) -> torch.Tensor:
    """Front end and encoder over the whole clip at once, written out."""
    count = model.grid.frames(audio.shape[1])
    mels = model.grid.mel_frames(audio.shape[1])
    padded = torch.nn.functional.pad(audio, (512, max(0, 160 * (mels - 1) + 512 - audio.shape[1])))
    with torch.no_grad():
        mel = model.front_end(padded[:, : 160 * (mels - 1) + 1024])
        return model.encoder(mel)[:, :count]


@pytest.mark.parametrize("seconds", [0.3, 0.95, 10.0, 10.27, 20.47, 20.55, 33.3])
def test_chunks_are_bit_equal_to_the_whole(model: Embedder, seconds: float) -> None:
    audio = noise(int(16000 * seconds))[None]
    assert torch.equal(frames(model, [audio]), whole(model, audio))


@pytest.mark.parametrize("chunk", [4, 16, 100])
def test_chunks_of_any_size_agree(tiny: Embedder, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    audio = noise(16000 * 9)[None]
    expected = whole(tiny, audio)
    monkeypatch.setattr(module, "CHUNK", chunk)
    assert torch.allclose(frames(tiny, [audio]), expected, atol=1e-5)


@pytest.mark.parametrize("block", [999, 16000, 163_841])
def test_blocks_do_not_show(model: Embedder, block: int) -> None:
    audio = noise(16000 * 25 + 77)[None]
    assert torch.equal(frames(model, list(audio.split(block, 1))), frames(model, [audio]))


def test_no_segment_is_heard_for_two_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"channels": [4, 4, 4], "heads": [1, 1, 1], "segment": 96}
    embedder = tiny_embedder(ModelConfig(MELS, EncoderConfig("cvt", options)))
    heard = []
    embedder.encoder.stages[0].register_forward_hook(lambda *_: heard.append(1))
    monkeypatch.setattr(module, "CHUNK", 16)  # two thirds of a segment
    frames(embedder, [noise(160 * 96 * 3)[None]])
    assert len(heard) == 3


def test_every_length_up_to_a_second_is_whole_and_finite(tiny: Embedder) -> None:
    for samples in [*range(1, 700, 13), 1023, 1024, 1025, 15200, 15999]:
        audio = noise(samples)[None]
        out = frames(tiny, [audio])
        assert out.shape[1] == tiny.grid.frames(samples)
        assert torch.isfinite(out).all()
        assert torch.allclose(out, whole(tiny, audio), atol=1e-5)


def test_every_sample_counts(tiny: Embedder) -> None:
    audio = noise(5000)[None]
    embedding = tiny(audio)
    for sample in (0, 1, 2500, 4990, 4999):
        changed = audio.clone()
        changed[0, sample] += 0.9
        assert not torch.equal(tiny(changed), embedding), sample


def test_forward_takes_gradients_for_fine_tuning(tiny: Embedder) -> None:
    audio = torch.stack([noise(8000, 0), noise(8000, 1)])
    tiny(audio).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in tiny.parameters())


def test_no_audio_is_an_error(tiny: Embedder) -> None:
    for blocks in ([], [torch.zeros(1, 0)]):
        with pytest.raises(ValueError, match="zero samples"):
            tiny.scene(blocks)


def test_scene_embedding_is_the_mean_and_maximum_and_where_asked_for_the_moment(tiny: Embedder) -> None:
    """The moment is of the frames' values that the encoder says, under the power of their own mel frames."""
    audio = noise(50_000)[None]
    frames = torch.cat(list(tiny.frames([audio])), dim=1)
    tiny.scene_pooling = "mean_max"
    plain = tiny(audio)
    assert tiny.scene_embedding_size == plain.shape[1] == tiny.encoder.dim
    torch.testing.assert_close(plain, frames.mean(1) + frames.amax(1))

    tiny.scene_pooling = "mean_max_moment"
    both = tiny(audio)
    timed = frames[..., tiny.encoder.timed]
    assert tiny.scene_embedding_size == both.shape[1] == tiny.encoder.dim + timed.shape[2]
    assert torch.equal(both[:, : tiny.encoder.dim], plain)
    count = frames.shape[1]
    mel = tiny.front_end(torch.nn.functional.pad(audio, (512, 4000)))[0, 0].exp()
    energy = torch.stack([mel[:, 4 * frame : 4 * frame + 4].sum() / 4 for frame in range(count)]).double()
    weights, time = energy / energy.sum(), torch.arange(count)
    centre = (weights * time).sum()
    away = (time - centre) / (weights * (time - centre).square()).sum().sqrt()
    torch.testing.assert_close(both[0, tiny.encoder.dim :], ((weights * away) @ timed[0].double()).float())


def test_an_unknown_pooling_is_refused(tiny: Embedder) -> None:
    with pytest.raises(ConfigError, match="scene_pooling: 'median' is unknown; known are mean_max, mean_max_moment"):
        tiny.scene_pooling = "median"
