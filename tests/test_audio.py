"""Files of every kind to samples; damaged ones to errors with their path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from selfie_hear.audio import AudioError, read_audio, stream_audio

RATE = 44100
TIME = np.arange(3 * RATE) / RATE
STEREO = np.stack([0.3 * np.sin(2 * np.pi * 440 * TIME), 0.2 * np.sin(2 * np.pi * 1500 * TIME)], 1).astype(np.float32)
FORMATS = {
    "wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "aiff": {}, "au": {}, "w64": {}, "rf64": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
}  # fmt: skip


def write(path: Path, audio: np.ndarray = STEREO, rate: int = RATE) -> Path:
    rate = 48000 if path.suffix == ".opus" else rate
    with soundfile.SoundFile(path, "w", rate, audio.shape[1] if audio.ndim > 1 else 1, **FORMATS[path.suffix[1:]]) as f:
        for start in range(0, len(audio), rate):
            f.write(audio[start : start + rate])
    return path


@pytest.mark.parametrize("extension", FORMATS)
def test_formats(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}")
    audio = read_audio(path, 16000)
    seconds = len(STEREO) / (48000 if extension == "opus" else RATE)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert len(audio) == pytest.approx(16000 * seconds, abs=2)
    assert float(np.sqrt(np.mean(audio**2))) == pytest.approx(np.sqrt((0.15**2 + 0.1**2) / 2), rel=0.03)


def test_mono_is_the_mean_and_the_same_rate_is_untouched(tmp_path: Path) -> None:
    stereo = np.stack([np.linspace(-0.5, 0.5, 1000), np.full(1000, 0.25)], 1)
    soundfile.write(tmp_path / "a.wav", stereo, 16000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", 16000), stereo.mean(1), atol=1e-7)


def test_streaming_equals_resampling_at_once(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, 0.5, 50 * 22050).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", audio, 22050, subtype="FLOAT")
    blocks = list(stream_audio(tmp_path / "a.wav", 16000))
    assert len(blocks) > 2
    assert max(map(len, blocks)) <= 20.1 * 16000
    np.testing.assert_allclose(np.concatenate(blocks), soxr.resample(audio, 22050, 16000, "HQ"), atol=1e-5)


def test_resampling_leaves_no_alias(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 9500 * np.arange(48000) / 48000)
    soundfile.write(tmp_path / "a.wav", tone, 48000, subtype="FLOAT")
    assert float(np.abs(read_audio(tmp_path / "a.wav", 16000)[800:-800]).max()) < 1e-4


@pytest.mark.parametrize("extension", FORMATS)
def test_truncated_files_are_refused(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}")
    content = path.read_bytes()
    path.write_bytes(content[: int(0.6 * len(content))])
    with pytest.raises(AudioError, match=rf"a\.{extension}: .*(truncated|cannot be read|peak)"):
        read_audio(path, 16000)


@pytest.mark.parametrize("extension", ["flac", "ogg", "mp3", "opus"])
def test_corrupt_files_are_refused(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"a.{extension}")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"a\.{extension}: "):
        read_audio(path, 16000)


def test_what_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", np.array([0.0, 20000.0]), 16000, subtype="FLOAT")
    reasons = {
        "text.wav": "cannot be read as audio",
        "empty.wav": "cannot be read as audio",
        "none.wav": "holds no samples",
        "nan.wav": "NaN or infinite",
        "loud.wav": "peak of 20000",
        "missing.wav": "no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(AudioError, match=f"{name}: .*{reason}"):
            read_audio(tmp_path / name, 16000)
