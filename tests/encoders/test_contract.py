"""What every encoder of the table is held to: any length, any company, any chunks, training, saving."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import selfie_hear.embedder as module
from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.config import ConfigError, EncoderConfig, FrontEndConfig, ModelConfig
from selfie_hear.encoders import ENCODERS, build_encoder
from selfie_hear.frontend import LogMel
from tests.conftest import grown, noise
from tests.test_embedder import whole

BANDS = 32
SMALL = {
    "audio_ntt": EncoderConfig("audio_ntt", {"channels": 4, "hidden": 24}),
    "audio_ntt of 3 blocks": EncoderConfig("audio_ntt", {"channels": 4, "hidden": 24, "blocks": 3}),
    "clstm": EncoderConfig("clstm", {"filters": 4, "hidden": 8, "outputs": 16, "segment": 64}),
    "cvt": EncoderConfig("cvt", {"channels": [8, 16, 24], "heads": [1, 1, 2], "dropout": 0.1, "segment": 64}),
    "efficientnet_b0": EncoderConfig("efficientnet_b0", {"width": 0.125, "segment": 128}),
    "resnet50": EncoderConfig("resnet50", {"channels": 4}),
    "resnetish34": EncoderConfig("resnetish34", {"channels": 4}),
    "three_path_ntt": EncoderConfig("three_path_ntt", {"channels": 4, "hidden": 24, "reach": 40}),
}
SEGMENTED = ["clstm", "cvt", "efficientnet_b0"]


def small_embedder(config: EncoderConfig, opened: bool = True) -> Embedder:
    """Untrained, with the statistics of some sound; in eval mode.

    Args:
        opened: what begins at zero is not.
    """
    torch.manual_seed(0)
    embedder = Embedder(ModelConfig(FrontEndConfig(n_mels=BANDS), config)).train()
    if opened:
        grown(embedder)
    norms = [part for part in embedder.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    with torch.no_grad():
        for seed in range(4):
            embedder(torch.stack([noise(15_200, seed), noise(15_200, seed + 10)]))
    for norm in norms:
        norm.momentum = 0.1
    return embedder.eval()


@pytest.fixture(scope="module")
def embedders() -> dict[str, Embedder]:
    return {name: small_embedder(config) for name, config in SMALL.items()}


@pytest.fixture(params=SMALL)
def embedder(request: pytest.FixtureRequest, embedders: dict[str, Embedder]) -> Embedder:
    """Of each kind of encoder."""
    return copy.deepcopy(embedders[request.param])


def mel(frames: int, clips: int = 2) -> torch.Tensor:
    """Log-mel of noise `(clips, 1, BANDS, frames)`."""
    audio = torch.stack([noise(160 * frames + 864, seed + 20) for seed in range(clips)])
    return LogMel(FrontEndConfig(n_mels=BANDS))(audio)


def test_every_encoder_is_held_to_the_contract() -> None:
    assert {config.name for config in SMALL.values()} == set(ENCODERS)


def test_shapes_and_what_it_declares(embedder: Embedder) -> None:
    encoder = embedder.encoder
    assert encoder.stride * 10 <= 50  # ms: HEAR's longest step of timestamps
    assert encoder.context % encoder.stride == 0
    assert encoder.reach % encoder.stride == 0
    assert encoder.unit == 1 or encoder.unit % encoder.stride == 0
    for frames in (4, 7, 50, 64, 97, 200):
        with torch.no_grad():
            out = encoder(mel(frames))
        assert out.shape == (2, frames // encoder.stride, encoder.dim)
        assert torch.isfinite(out).all()


def test_the_input_comes_through(embedder: Embedder) -> None:
    """Weights as they are at the start of training let clips and times be told apart."""
    torch.manual_seed(0)
    encoder = build_encoder(embedder.config.encoder, BANDS).train()
    with torch.no_grad():
        out = encoder(mel(96, clips=4))
    assert float(out.mean(1).std(0).mean()) > 0.01 * float(out.abs().mean())
    assert float(out.std(1).mean()) > 0.01 * float(out.abs().mean())


def test_a_frame_is_made_of_what_its_grid_says(embedder: Embedder) -> None:
    """In double precision, so that what is different is different and not rounded differently."""
    encoder, grid = embedder.encoder.double(), embedder.grid
    total = 2 * (encoder.context + encoder.reach + encoder.unit) + 101
    clip = mel(total, clips=1).double()
    with torch.no_grad():
        expected = encoder(clip)
        for frame in (0, total // 8, total // 4 - 1):
            lo, hi = grid.mel_span(frame, frame + 1, total)
            first, last = grid.seen_span(lo, hi, total)
            outside, inside = clip.clone(), clip.clone()
            outside[..., :first] += 5.0
            outside[..., last:] -= 5.0
            inside[..., 4 * frame : 4 * frame + 4] += 5.0
            assert torch.allclose(encoder(outside)[:, frame], expected[:, frame], rtol=0, atol=1e-10)
            assert not torch.allclose(encoder(inside)[:, frame], expected[:, frame], rtol=0, atol=1e-3)
            alone = encoder.encode(encoder.prepare(clip[..., first:last])[..., lo - first : hi - first])
            assert torch.allclose(alone[:, frame - lo // grid.stride], expected[:, frame], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", SMALL)
def test_a_sound_shows_where_it_is(name: str) -> None:
    """On average over places: frames of the network are centred where the output frames that repeat them say."""
    # Open gates carry a change into all of a segment; the shortcuts of a ResNet alone step over most of it.
    embedder = small_embedder(SMALL[name], opened=name != "efficientnet_b0")
    encoder, grid = embedder.encoder.double(), embedder.grid
    clip = mel(384, clips=1).double()
    errors = []
    with torch.no_grad():
        expected = encoder(clip)
        for place in range(128, 256, 8):
            louder = clip.clone()
            louder[..., place] += 3.0
            change = (encoder(louder) - expected).square().sum(2)[0]
            centres = torch.arange(len(change)) * grid.stride + (grid.stride - 1) / 2
            errors.append(float((change * centres).sum() / change.sum()) - place)
    assert abs(sum(errors) / len(errors)) < 3  # mel frames


@pytest.mark.parametrize("name", SEGMENTED)
def test_segments_are_cut_at_fixed_places_and_bit_equal(embedders: dict[str, Embedder], name: str) -> None:
    encoder = embedders[name].encoder
    size = encoder.unit
    clip = mel(3 * size + 20, clips=1)  # three segments, and one that ends with the clip
    with torch.no_grad():
        frames = encoder(clip)
        for start in range(0, 3 * size, size):
            alone = encoder(clip[..., start : start + size])
            assert torch.equal(frames[:, start // 4 : (start + size) // 4], alone)
        assert torch.equal(frames[:, 3 * size // 4 :], encoder(clip[..., 2 * size :])[:, size // 4 :])
        assert not torch.allclose(frames[:, 3 * size // 4 :], encoder(clip[..., 3 * size :]), atol=1e-3)


def test_chunks_equal_the_whole(embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In double precision to the last digits; in single, where kernels may round differently, nearly."""
    for precision, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        embedder.to(precision)
        for samples, chunk in ((16 * 5400 + 5, 4), (16 * 4777, 100)):
            audio = noise(samples)[None].to(precision)
            with torch.no_grad():
                monkeypatch.setattr(module, "CHUNK", 256)
                expected = torch.cat(list(embedder.frames([audio])), dim=1)
                monkeypatch.setattr(module, "CHUNK", chunk)
                pieces = torch.cat(list(embedder.frames(audio.split(12_345, 1))), dim=1)
            assert torch.allclose(pieces, expected, rtol=tolerance, atol=tolerance), (precision, samples)


def test_any_length_keeps_the_rules_of_hear(embedder: Embedder) -> None:
    for samples in (1, 16, 239, 240, 640, 15_999, 16_000, 16_480, 41_003):
        audio = noise(samples)[None]
        embeddings, times = get_timestamp_embeddings(audio, embedder)
        scene = get_scene_embeddings(audio, embedder)
        assert scene.shape == (1, embedder.scene_embedding_size)
        assert embeddings.shape == (1, times.shape[1], embedder.timestamp_embedding_size)
        assert torch.isfinite(scene).all()
        assert torch.isfinite(embeddings).all()
        end = samples / 16  # ms
        assert 0 < float(times[0, 0]) <= 40.0
        assert end - 50.0 < float(times[0, -1]) <= end
        assert torch.allclose(times.diff(dim=1), torch.tensor(40.0))


def test_half_a_minute_equals_one_pass(embedder: Embedder) -> None:
    audio = noise(30 * 16_000)[None]
    with torch.no_grad():
        frames = torch.cat(list(embedder.frames(audio.split(100_001, 1))), dim=1)
        at_once = whole(embedder, audio)
    if embedder.config.encoder.name in (*SEGMENTED, "audio_ntt"):
        assert torch.equal(frames, at_once)
    else:  # a kernel may round by the size of what it is given
        assert torch.allclose(frames, at_once, rtol=1e-4, atol=1e-4)


def test_a_clip_is_embedded_alike_in_any_company(embedder: Embedder) -> None:
    clips = [noise(n, seed) for seed, n in enumerate((1, 9000, 16_000, 16_000))]
    together = get_scene_embeddings(clips, embedder)
    for clip, embedding in zip(clips, together, strict=True):
        assert torch.equal(get_scene_embeddings(clip[None], embedder)[0], embedding)
    assert torch.equal(get_scene_embeddings(torch.stack(clips[2:]), embedder), together[2:])
    with torch.no_grad():
        batch = embedder(torch.stack(clips[2:]))  # in one pass, as on an accelerator
    assert torch.allclose(batch, together[2:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_on_crops_reaches_every_parameter_and_statistic(embedder: Embedder, bfloat16: bool) -> None:
    encoder = embedder.encoder
    before = copy.deepcopy(encoder.state_dict())
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        out = encoder.train()(mel(96)).float()
    (out.mean(1) + out.amax(1)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in encoder.parameters())
    moved = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert moved >= {name for name in before if name.endswith(("running_mean", "running_var"))}


def test_fine_tuning_with_fixed_statistics_reaches_every_parameter(embedder: Embedder) -> None:
    encoder = embedder.encoder
    before = copy.deepcopy(encoder.state_dict())
    encoder(mel(96)).square().sum().backward()
    assert [name for name, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_saved_and_loaded_it_embeds_alike(embedder: Embedder, tmp_path: Path) -> None:
    weights = {name: value.contiguous() for name, value in embedder.state_dict().items()}
    save_file(weights, tmp_path / "weights.safetensors")
    torch.manual_seed(9)
    other = Embedder(embedder.config).eval()
    audio = noise(20_000)[None]
    assert not torch.equal(get_scene_embeddings(audio, other), get_scene_embeddings(audio, embedder))
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=True)
    assert torch.equal(get_scene_embeddings(audio, other), get_scene_embeddings(audio, embedder))


@pytest.mark.parametrize("name", ["audio_ntt", "resnet50", "resnetish34", *SEGMENTED])
def test_fixed_statistics_of_the_input(name: str) -> None:
    def build(mean: float, std: float) -> torch.nn.Module:
        torch.manual_seed(0)
        options = {**SMALL[name].options, "input_mean": mean, "input_std": std}
        return build_encoder(EncoderConfig(name, options), BANDS).eval()

    fixed, plain = build(-6.5, 4.0), build(0.0, 1.0)
    state = {key: float(value) for key, value in fixed.state_dict().items() if key.startswith("norm0")}
    assert state == {"norm0.mean": -6.5, "norm0.std": 4.0}
    with torch.no_grad():
        assert torch.allclose(fixed(mel(40)), plain((mel(40) + 6.5) / 4.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_wrong_options(name: str) -> None:
    wrong: list[dict[str, object]] = [{"unheard_of": 1}]
    if name != "three_path_ntt":
        wrong += [{"input_mean": 1.0}, {"input_std": 1.0}, {"input_mean": 1.0, "input_std": 0.0}]
    if name in SEGMENTED:
        wrong += [{"segment": 30}]
    for options in wrong:
        with pytest.raises(ConfigError):
            build_encoder(EncoderConfig(name, options), BANDS)
