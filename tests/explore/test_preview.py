"""Previews: the loudest part, what is seen and what is heard of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import AudioError
from selfie_hear.config import FrontEndConfig
from selfie_hear.explore.preview import COLUMNS, HOP, MELS, RATE, loudest, mel_power, read_preview, shade, to_mp3
from selfie_hear.frontend import mel_matrix
from tests.conftest import noise
from tests.explore.sounds import tone


def pieces(samples: np.ndarray, seed: int) -> list[np.ndarray]:
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(samples), 5))
    return np.split(samples, cuts)


@pytest.mark.parametrize("count", [1, HOP - 1, 3 * HOP, 3 * HOP + 1, 40 * HOP + 77])
def test_the_loudest_run_is_that_of_a_search_through_all(count: int) -> None:
    samples = noise(count, seed=count).numpy()
    whole = [samples[start : start + 3 * HOP] for start in range(0, max(1, count - 3 * HOP + HOP), HOP)]
    energies = [float(np.square(run, dtype=np.float64).sum()) for run in whole]
    begun, total, run = loudest(pieces(samples, 1), 3)
    assert total == count
    assert begun % HOP == 0
    np.testing.assert_array_equal(run, samples[begun : begun + len(run)])
    if count <= 3 * HOP:
        assert len(run) == count
    else:
        assert float(np.square(run, dtype=np.float64).sum()) >= max(energies[:-1])
        assert 2 * HOP < len(run) <= 3 * HOP


def test_a_preview_of_a_file(tmp_path: Path) -> None:
    quiet = np.zeros(2 * RATE, np.float32)
    soundfile.write(tmp_path / "a.wav", np.concatenate([quiet, tone(1000, 1.0), quiet]), RATE)
    preview = read_preview(tmp_path / "a.wav", 1.5)
    assert preview.seconds == 5.0
    assert 1.4 < preview.start <= 2.0
    assert len(preview.samples) == 1.5 * RATE
    assert preview.spectrogram.dtype == np.uint8
    assert preview.spectrogram.shape[0] == MELS
    assert COLUMNS // 2 < preview.spectrogram.shape[1] <= COLUMNS
    matrix = mel_matrix(FrontEndConfig(n_mels=MELS))
    row = matrix[:, round(1000 * 1024 / RATE)].argmax()
    bright = preview.spectrogram[:, preview.spectrogram.max(axis=0) == 255]
    assert set(bright.argmax(axis=0)) == {row}


def test_a_shorter_sound_is_shown_whole(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(300, 0.25), RATE)
    preview = read_preview(tmp_path / "a.wav", 3.0)
    assert (preview.start, preview.seconds, len(preview.samples)) == (0.0, 0.25, RATE // 4)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        read_preview(tmp_path / "a.wav", 3.0)


@pytest.mark.parametrize("count", [1, 159, 160, 1024, 5000])
def test_the_spectrogram_does_not_depend_on_blocks(count: int) -> None:
    samples = noise(count).numpy()
    whole = np.concatenate(list(mel_power([samples])))
    assert count // 160 <= len(whole) <= count // 160 + 2
    np.testing.assert_allclose(np.concatenate(list(mel_power(pieces(samples, 2)))), whole, rtol=1e-4, atol=1e-9)


def test_shades_are_decibels_below_the_loudest() -> None:
    power = np.array([[10.0, 0.1], [1e-3, 1e-6]])
    np.testing.assert_array_equal(shade(power), [[255, 85], [170, 0]])
    assert not shade(np.full((5, 2), FrontEndConfig().log_offset)).any()


def test_mp3_decodes_to_the_sound_and_is_small(examples: list[Path]) -> None:
    samples = read_preview(next(path for path in examples if path.stem == "speech_1"), 3.0).samples
    for constant in (False, True):
        encoded = to_mp3([samples[:7000], samples[7000:]], 0.8, constant)
        assert encoded == to_mp3([samples], 0.8, constant)
        assert len(encoded) < 3.0 * 5500 + 1000
        heard, rate = soundfile.read(io.BytesIO(encoded), dtype="float32")
        assert (rate, len(heard)) == (RATE, len(samples))
        assert np.corrcoef(heard, samples)[0, 1] > 0.9


@pytest.mark.parametrize("samples", [np.zeros(1), np.full(500, 0.3), np.full(40000, 7.0)])
def test_mp3_of_odd_sounds(samples: np.ndarray) -> None:
    heard, _ = soundfile.read(io.BytesIO(to_mp3([samples.astype(np.float32)], 0.8)))
    assert len(heard) == len(samples)
    assert np.abs(heard).max() < 1.5
