"""The log-mel front end against librosa's, and against itself."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch

from selfie_hear.config import ConfigError, FrontEndConfig
from selfie_hear.frontend import LogMel, mel_matrix
from tests.conftest import noise


@pytest.mark.parametrize(("n_mels", "f_min", "f_max"), [(64, 60.0, 7800.0), (32, 0.0, 8000.0), (16, 1500.0, 4000.0)])
def test_mel_matrix_is_librosas(n_mels: int, f_min: float, f_max: float) -> None:
    ours = mel_matrix(FrontEndConfig(n_mels=n_mels, f_min=f_min, f_max=f_max))
    theirs = librosa.filters.mel(sr=16000, n_fft=1024, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=False, norm="slaney")
    np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize(("window", "n_fft"), [(1024, 1024), (400, 512)])
def test_log_mel_is_librosas(window: int, n_fft: int) -> None:
    audio = noise(16000)
    power = librosa.feature.melspectrogram(
        y=audio.numpy(), sr=16000, n_fft=n_fft, win_length=window, hop_length=160, n_mels=64, fmin=60.0, fmax=7800.0,
        pad_mode="constant",
    )  # fmt: skip
    padded = torch.nn.functional.pad(audio, (window // 2, window // 2))[None]
    ours = LogMel(FrontEndConfig(n_fft=n_fft, win_length=window))(padded)
    assert ours.shape == (1, 1, 64, 101)
    np.testing.assert_allclose(ours[0, 0], np.log(power + FrontEndConfig().log_offset), atol=1e-5)


def test_a_frame_does_not_depend_on_its_neighbours_or_the_batch() -> None:
    front_end = LogMel(FrontEndConfig())
    audio = torch.stack([noise(20000, seed) for seed in range(3)])
    whole = front_end(audio)
    assert torch.equal(front_end(audio[1:2, 1600 : 1600 + 1024 + 9 * 160]), whole[1:2, :, :, 10:20])


def test_silence_gives_the_floor() -> None:
    mel = LogMel(FrontEndConfig())(torch.zeros(1, 2048))
    assert torch.allclose(mel, torch.tensor(FrontEndConfig().log_offset).log().expand_as(mel))


def test_a_tone_lights_its_own_band() -> None:
    time = torch.arange(16000) / 16000
    mel = LogMel(FrontEndConfig())(torch.sin(2 * torch.pi * 1000 * time)[None])[0, 0].mean(1)
    centres = librosa.mel_frequencies(66, fmin=60, fmax=7800)[1:-1]
    assert abs(centres[int(mel.argmax())] - 1000) < 40


def test_window_and_mel_matrix_travel_with_the_state() -> None:
    assert set(LogMel(FrontEndConfig()).state_dict()) == {"window", "mel"}


@pytest.mark.parametrize("change", [{"win_length": 2048}, {"win_length": 0}, {"f_max": 9000.0}, {"f_min": 8000.0}])
def test_impossible_settings_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="front_end"):
        LogMel(FrontEndConfig(**change))  # type: ignore[arg-type]
