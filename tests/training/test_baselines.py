"""The baselines: log-mel by hand, the untrained encoder with the statistics of a folder; both as HEAR modules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from selfie_hear import Embedder, get_scene_embeddings
from selfie_hear.audio import AudioError
from selfie_hear.config import FrontEndConfig, ModelConfig
from selfie_hear.encoders import AudioNTT, ThreePathNTT
from selfie_hear.frontend import mel_matrix
from selfie_hear.pretrained import find_release, read_config
from tests.conftest import noise
from training.evaluate.baselines import log_mel, untrained
from training.evaluate.models import HearModel, find_models

RATE = 16000


def bands_of(clip: np.ndarray, hop: int) -> np.ndarray:
    """`(frames, bands)`: a frame of 64 ms centred on each `hop`th sample, silence before and after the clip."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    rows = []
    for centre in range(0, len(clip) + 1, hop):
        frame = np.array([clip[n] if 0 <= n < len(clip) else 0.0 for n in range(centre - 512, centre + 512)])
        power = np.abs(np.fft.rfft(frame * window)) ** 2
        rows.append(np.log(mel_matrix(FrontEndConfig()) @ power + 1e-7))
    return np.stack(rows)


@pytest.mark.parametrize("samples", [1, 159, 160, 3999, 4000])
def test_log_mel_scenes_by_hand(samples: int) -> None:
    model = log_mel.load_model()
    clips = torch.stack([noise(samples), noise(samples, 1)])
    found = log_mel.get_scene_embeddings(clips, model)
    assert found.dtype == torch.float32 and found.shape == (2, model.scene_embedding_size) == (2, 128)
    for row, clip in zip(found.numpy(), clips.double().numpy(), strict=True):
        bands = bands_of(clip, 160)
        np.testing.assert_allclose(row, np.concatenate([bands.mean(0), bands.std(0)]), atol=2e-3)
    torch.testing.assert_close(log_mel.get_scene_embeddings(clips[1:], model)[0], found[1])


@pytest.mark.parametrize("samples", [1, 799, 800, 4000, 16000, 16001, 23999])
def test_log_mel_timestamps_keep_the_rules_of_hear(samples: int) -> None:
    model = log_mel.load_model("/a/path/that/is/not/looked/at.pt")
    clips = torch.stack([noise(samples), noise(samples, 1)])
    found, times = log_mel.get_timestamp_embeddings(clips, model)
    assert found.dtype == times.dtype == torch.float32
    assert found.shape == (2, times.shape[1], model.timestamp_embedding_size) == (2, samples // 800 + 1, 64)
    assert torch.equal(times[0], times[1])
    assert times[0].tolist() == [50.0 * n for n in range(samples // 800 + 1)]  # regular, 50 ms at most
    end = 1000.0 * samples / RATE
    assert end - 50.0 <= times[0, -1] <= end
    np.testing.assert_allclose(found[1].numpy(), bands_of(clips[1].double().numpy(), 800), atol=5e-3)


@pytest.mark.parametrize("away", [0, 37, 320])
def test_log_mel_timestamps_are_centred(away: int) -> None:
    """A click as long before a moment as after it is heard alike, and loudest at the nearest moment."""
    clips = torch.zeros(2, RATE)
    clips[0, 8000 - away], clips[1, 8000 + away] = 1.0, 1.0
    found, times = log_mel.get_timestamp_embeddings(clips, log_mel.load_model())
    assert times[0, 10] == 500.0
    assert found.mean(2).argmax(1).tolist() == [10, 10]
    torch.testing.assert_close(found[0, 10], found[1, 10], atol=1e-3, rtol=1e-3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight clips, shorter and longer than the second of each that is listened to, some deeper and one hidden."""
    for number in range(8):
        path = tmp_path / "audio" / ("deep" if number > 5 else "") / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(RATE // 2 * (1 + number % 3), number).numpy(), RATE)
    (tmp_path / "audio" / ".hidden.wav").write_text("no audio")
    (tmp_path / "audio" / "notes.txt").write_text("no audio")
    return tmp_path / "audio"


def encoder_of(model: Embedder) -> AudioNTT:
    """That of the path which hears the log-mel as it is."""
    assert isinstance(model.encoder, ThreePathNTT)
    return model.encoder.plain


def statistics(model: Embedder) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_buffers() if "running" in name}


def seconds(folder: Path) -> Tensor:
    """The first second of each clip, in the order of their paths."""
    audio = torch.zeros(8, RATE)
    for row, path in enumerate(sorted(path for path in folder.rglob("[0-9].wav"))):
        start = torch.from_numpy(soundfile.read(path, dtype="float32")[0][:RATE])
        audio[row, : len(start)] = start
    return audio


def test_untrained_is_the_model_of_the_default_release_initialised_from_the_seed() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = untrained.load_model(), untrained.load_model("", 0), untrained.load_model(seed=1)
    assert torch.equal(before, torch.get_rng_state())
    default = read_config(find_release()).model
    assert not first.training and first.config == default
    torch.manual_seed(0)
    expected = Embedder(default).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in first.state_dict().items())
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    assert not torch.equal(encoder_of(first).conv1.weight, encoder_of(other).conv1.weight)
    assert untrained.load_model(release="selfie-open10h").config == ModelConfig()


def test_untrained_has_the_statistics_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    model = untrained.load_model(str(folder))
    assert torch.equal(before, torch.get_rng_state())
    assert not any(module.training for module in model.modules())
    plain = untrained.load_model()
    weights = dict(plain.named_parameters())
    assert all(torch.equal(value, weights[name]) for name, value in model.named_parameters())

    def heard(batches: list[Tensor]) -> list[Tensor]:
        """What the first normalisation is given."""
        inputs: list[Tensor] = []
        hook = encoder_of(plain).norm0.register_forward_pre_hook(lambda _module, given: inputs.append(given[0]))
        for batch in batches:
            get_scene_embeddings(batch, plain) if len(batch) == 1 else plain(batch).detach()
        hook.remove()
        return inputs

    (given,) = heard([seconds(folder)])
    norm = encoder_of(model).norm0
    assert norm.running_mean is not None and norm.running_var is not None
    torch.testing.assert_close(norm.running_mean, given.mean().detach()[None])
    torch.testing.assert_close(norm.running_var, given.var().detach()[None])
    monkeypatch.setattr(untrained, "BATCH", 3)
    averaged = encoder_of(untrained.load_model(str(folder))).norm0.running_mean
    assert averaged is not None
    means = torch.stack([batch.mean() for batch in heard(list(seconds(folder).split(3)))])
    assert len(means) == 3
    torch.testing.assert_close(averaged, means.mean().detach()[None])
    assert not torch.isclose(averaged, norm.running_mean, rtol=1e-6)


def test_with_its_statistics_every_layer_is_normalised(folder: Path) -> None:
    model = untrained.load_model(str(folder)).train()
    kept = {name: value.clone() for name, value in statistics(model).items()}
    assert len(kept) == 18
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # so that the statistics become those of the next batch
    with torch.no_grad():
        model(seconds(folder))
    for name, value in statistics(model).items():
        torch.testing.assert_close(value, kept[name], rtol=1e-3, atol=1e-5)


def test_of_many_files_some_are_taken_evenly(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrained, "CLIPS", 3)
    expected = statistics(untrained.load_model(str(folder)))
    for name in ("1.wav", "3.wav", "4.wav", "deep/6.wav", "deep/7.wav"):  # of 8, the numbers 0, 2 and 5 are taken
        (folder / name).write_bytes(b"RIFF, but not really")
    found = statistics(untrained.load_model(str(folder)))
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    (folder / "5.wav").write_bytes(b"RIFF, but not really")
    with pytest.raises(AudioError, match=r"5\.wav"):
        untrained.load_model(str(folder))


def test_untrained_without_audio_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(AudioError, match=f"{path}: no such file, and no audio files"):
            untrained.load_model(str(path))


def test_both_run_as_hear_models(folder: Path) -> None:
    clips = torch.stack([noise(8000, seed) for seed in range(3)])
    bands = HearModel(find_models("log-mel")[0])
    assert (bands.sample_rate, bands.size) == (RATE, 128)
    np.testing.assert_array_equal(
        bands.embed(clips.numpy()), log_mel.get_scene_embeddings(clips, log_mel.load_model()).numpy()
    )
    (spec,) = find_models("untrained")
    plain = HearModel(spec)
    normalised = HearModel(replace(spec, path=str(folder)))
    seeded = HearModel(replace(spec, options={"seed": 1}))
    expected = get_scene_embeddings(clips, untrained.load_model(str(folder))).numpy()
    np.testing.assert_array_equal(normalised.embed(clips.numpy()), expected)
    found = [model.embed(clips.numpy()) for model in (plain, normalised, seeded)]
    assert all(rows.shape == (3, 3584) and np.isfinite(rows).all() for rows in found)
    assert not np.allclose(found[0], found[1], atol=0.1) and not np.allclose(found[0], found[2], atol=0.1)
    assert len({plain.digest, normalised.digest, seeded.digest}) == 3
    soundfile.write(folder / "9.wav", np.ones(100) / 2, RATE)
    assert HearModel(replace(spec, path=str(folder))).digest != normalised.digest
