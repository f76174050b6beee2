"""Any file that libsndfile reads to mono float32 at one sample rate, in blocks, so that length never matters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from selfie_hear.config import LOUDEST

BLOCK_SECONDS = 20.0
EXTENSIONS = frozenset(f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW").union(
    [".aif", ".aifc", ".oga", ".opus", ".wave"]
)  # what counts as audio when a folder is searched; a file that is named is tried whatever its name


class AudioError(ValueError):
    """A file that is not audio, holds no samples or is damaged; the message starts with its path."""


def stream_audio(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield a file's samples, mono (the mean of its channels) and resampled (soxr HQ) to `sample_rate` Hz.

    Yields:
        float32 arrays `(n,)` of about 20 s. An AudioError may come after some of them: only the end of the
        iteration says that the file was whole.

    Raises:
        AudioError: unreadable, empty, truncated or corrupt.
    """
    try:
        with soundfile.SoundFile(path) as file:
            yield from _checked(_resampled(file, sample_rate), path)
            if file.tell() < file.frames:
                raise AudioError(f"{path}: truncated or corrupt: {file.tell()} of {file.frames} frames could be read")
            _refuse_damaged(file, path)
    except (soundfile.SoundFileError, OSError) as error:
        reason = "no such file" if not Path(path).exists() else f"cannot be read as audio ({error})"
        raise AudioError(f"{path}: {reason}") from error


def read_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """A whole file as one float32 array `(n,)`; see `stream_audio`."""
    return np.concatenate(list(stream_audio(path, sample_rate)))


def _resampled(file: soundfile.SoundFile, sample_rate: int) -> Iterator[np.ndarray]:
    resampler = None
    if file.samplerate != sample_rate:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    for block in file.blocks(int(BLOCK_SECONDS * file.samplerate), dtype="float32", always_2d=True):
        mono = block.mean(axis=1, dtype=np.float32)
        yield mono if resampler is None else resampler.resample_chunk(mono)
    if resampler is not None:
        yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def _checked(blocks: Iterator[np.ndarray], path: str | Path) -> Iterator[np.ndarray]:
    heard = 0
    for block in blocks:
        if not len(block):
            continue
        if not np.isfinite(block).all():
            raise AudioError(f"{path}: holds NaN or infinite samples")
        if (peak := float(np.abs(block).max())) > LOUDEST:
            raise AudioError(f"{path}: has a peak of {peak:g}; accepted is audio in [-1, 1]")
        heard += len(block)
        yield block
    if not heard:
        raise AudioError(f"{path}: holds no samples")


def _refuse_damaged(file: soundfile.SoundFile, path: str | Path) -> None:
    """libsndfile quietly passes over some damage: what it noticed is in its log, the rest shows in the last page."""
    if "Corrupted bitstream" in file.extra_info or "reports a hole" in file.extra_info:
        raise AudioError(f"{path}: corrupt: parts of the stream are missing or unreadable")
    if file.format in ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF") and "should be" in file.extra_info:
        raise AudioError(f"{path}: truncated: the file is shorter than its header says")
    if file.format == "OGG":
        with Path(path).open("rb") as raw:
            raw.seek(max(0, Path(path).stat().st_size - 65536))  # an Ogg page has at most 65,307 bytes
            tail = raw.read()
        page = tail.rfind(b"OggS")
        if page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4:  # the flag "end of stream"
            raise AudioError(f"{path}: truncated: the last page does not end the Ogg stream")
