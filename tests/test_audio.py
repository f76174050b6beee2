"""Files of every kind to samples; damaged ones to errors with their path."""

from __future__ import annotations

import os
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
    assert max(map(len, blocks)) < 2**20
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


def test_whole_files_with_odd_headers_are_accepted(tmp_path: Path) -> None:
    """An odd number of bytes, sizes that a pipe left open, a wrong outer size: nothing is missing."""
    soundfile.write(tmp_path / "odd.wav", np.zeros(15999), 16000, subtype="PCM_24")
    soundfile.write(tmp_path / "a.wav", np.full(16000, 0.1), 16000)
    content = (tmp_path / "a.wav").read_bytes()
    place = content.index(b"data") + 4
    for name, outer, inner in (("ffmpeg", 0xFFFFFFFF, 0xFFFFFFFF), ("sox", 0x7FFFF024, 0x7FFFF000), ("riff", 9, 32000)):
        sizes = outer.to_bytes(4, "little"), inner.to_bytes(4, "little")
        edited = content[:4] + sizes[0] + content[8:place] + sizes[1] + content[place + 4 :]
        (tmp_path / f"{name}.wav").write_bytes(edited)
        assert len(read_audio(tmp_path / f"{name}.wav", 16000)) == 16000, name
    assert len(read_audio(tmp_path / "odd.wav", 16000)) == 15999
    soundfile.write(tmp_path / "gsm.wav", np.zeros(8000), 8000, subtype="GSM610")
    assert len(read_audio(tmp_path / "gsm.wav", 8000)) >= 8000
    soundfile.write(tmp_path / "piped.flac", np.full(16000, 0.1), 16000)
    flac = bytearray((tmp_path / "piped.flac").read_bytes())
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # the count of samples that an encoder does not know when it writes to a pipe
    (tmp_path / "piped.flac").write_bytes(flac)
    assert len(read_audio(tmp_path / "piped.flac", 16000)) == 16000


@pytest.mark.parametrize("rate", [16000, 44100, 48000, 192000])
@pytest.mark.parametrize("samples", [1, 2, 3, 7])
def test_a_few_samples_are_audio(tmp_path: Path, rate: int, samples: int) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(samples, 0.25), rate, subtype="FLOAT")
    assert len(read_audio(tmp_path / "a.wav", 16000)) >= 1


def test_several_ogg_streams_are_not_silently_cut(tmp_path: Path) -> None:
    one = write(tmp_path / "a.ogg").read_bytes()
    (tmp_path / "two.ogg").write_bytes(one + one)
    with pytest.raises(AudioError, match="holds 2 Ogg streams"):
        read_audio(tmp_path / "two.ogg", 16000)
    (tmp_path / "padded.ogg").write_bytes(one + bytes(100_000))
    assert len(read_audio(tmp_path / "padded.ogg", 16000)) == len(read_audio(tmp_path / "a.ogg", 16000))


def test_names_that_are_not_text(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")
    soundfile.write(os.fsencode(path), np.zeros(100), 16000)
    assert len(read_audio(path, 16000)) == 100
    with pytest.raises(AudioError, match=r"\\xfe\.wav: no such file"):
        read_audio(os.fsdecode(b"\xfe.wav"), 16000)


def test_what_is_not_audio(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "loud.wav", np.array([0.0, 20000.0]), 16000, subtype="FLOAT")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "headless.raw").write_bytes(bytes(100))
    reasons = {
        "pipe.wav": "not a regular file",
        "headless.raw": "cannot be read as audio",
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
