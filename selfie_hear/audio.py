"""Any file that libsndfile reads to mono float32 at one sample rate, in blocks, so that length never matters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from selfie_hear.config import LOUDEST

BLOCK = 2**20  # values read at once, whatever the number of channels: 22 s of stereo at 24 kHz
UNKNOWN = 2**60  # libsndfile's count of frames is beyond this where a streamed file does not say
EXTENSIONS = frozenset(f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW").union(
    [".aif", ".aifc", ".oga", ".opus", ".wave"]
)  # what counts as audio when a folder is searched; a file that is named is tried whatever its name


class AudioError(ValueError):
    """A file that is not audio, holds no samples or is damaged; the message starts with its path."""


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """Read front to back only: soundfile seeks after each read, which FLAC written to a pipe cannot."""

    def seekable(self) -> bool:
        return False


def printable(path: str | Path) -> str:
    """A path as text that can be printed and written as UTF-8, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def stream_audio(path: str | Path, sample_rate: int) -> Iterator[np.ndarray]:
    """Yield a file's samples, mono (the mean of its channels) and resampled (soxr HQ) to `sample_rate` Hz.

    Yields:
        float32 arrays `(n,)`. An AudioError may come after some of them: only the end of the iteration says that the
        file was whole.

    Raises:
        AudioError: unreadable, empty, truncated, corrupt, or out of [-1, 1] by far.
    """
    name = printable(path)
    if not os.path.isfile(path):  # noqa: PTH113 - Path raises for names that the system cannot hold
        raise AudioError(f"{name}: " + ("not a regular file" if os.path.exists(path) else "no such file"))  # noqa: PTH110
    try:
        with _Stream(os.fsencode(path)) as file:
            yield from _resampled(_mono(file, name), file.samplerate, sample_rate)
            _refuse_damaged(file, path, name)
    except AudioError:
        raise
    except (soundfile.SoundFileError, OSError, ValueError, TypeError, RuntimeError) as error:
        raise AudioError(f"{name}: cannot be read as audio ({error})") from error


def read_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """A whole file as one float32 array `(n,)`; see `stream_audio`."""
    return np.concatenate(list(stream_audio(path, sample_rate)))


def _mono(file: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    heard = 0
    while len(block := file.read(max(1, BLOCK // file.channels), dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise AudioError(f"{name}: holds NaN or infinite samples")
        if (peak := float(np.abs(block).max())) > LOUDEST:
            raise AudioError(f"{name}: has a peak of {peak:g}; accepted is audio in [-1, 1]")
        heard += len(block)
        yield block.mean(axis=1, dtype=np.float32)
    if heard < file.frames < UNKNOWN:
        raise AudioError(f"{name}: truncated or corrupt: {heard} of {file.frames} frames could be read")
    if not heard:
        raise AudioError(f"{name}: holds no samples")


def _resampled(blocks: Iterator[np.ndarray], source: int, sample_rate: int) -> Iterator[np.ndarray]:
    if source == sample_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(source, sample_rate, 1, dtype="float32", quality="HQ")
    given, first = 0, np.empty(0, np.float32)
    for block in blocks:
        first = first if len(first) else block[:1]
        out = resampler.resample_chunk(block)
        given += len(out)
        if len(out):
            yield out
    out = resampler.resample_chunk(np.empty(0, np.float32), last=True)
    if len(out):
        yield out
    elif not given:
        yield first  # a few samples at a high rate are less than one at the lower


def _refuse_damaged(file: soundfile.SoundFile, path: str | Path, name: str) -> None:
    """libsndfile quietly passes over some damage; what it noticed is in its log, the rest in an Ogg file's pages."""
    said = file.extra_info
    if "Corrupted bitstream" in said or "reports a hole" in said:
        raise AudioError(f"{name}: corrupt: parts of the stream are missing or unreadable")
    size = r"riff|Riff size" if file.format in ("W64", "RF64") else r"data|SSND|Data Size"
    for declared, found in re.findall(rf"^\s*(?:{size})\s*: (\d+) \(should be (\d+)\)", said, re.MULTILINE):
        streamed = file.format not in ("W64", "RF64") and int(declared) >= 0x7FFFF000  # written to a pipe: not known
        if int(declared) > int(found) and not streamed:
            raise AudioError(f"{name}: truncated: {found} bytes of audio where its header says {declared}")
    if file.format == "OGG":
        _refuse_ogg(path, name)


def _refuse_ogg(path: str | Path, name: str) -> None:
    """Walk the pages: libsndfile takes a missing end for the end, and reads the first of several streams only."""
    streams, ended, place = 0, False, 0
    with open(path, "rb") as raw:  # noqa: PTH123
        while (header := raw.read(27))[:4] == b"OggS" and len(header) == 27:
            streams += header[5] >> 1 & 1  # the flag "beginning of stream"
            ended = bool(header[5] & 4)
            place = raw.tell() + header[26] + sum(raw.read(header[26]))
            raw.seek(place)
        whole = ended and place <= raw.seek(0, os.SEEK_END)
    if streams > 1:
        raise AudioError(f"{name}: holds {streams} Ogg streams; only a file with one is accepted")
    if not whole:
        raise AudioError(f"{name}: truncated: the Ogg stream has no end")
