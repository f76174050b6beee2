"""A few seconds of a sound to see and to hear: the loudest, as a small spectrogram and as MP3."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from selfie_hear.audio import stream_audio
from selfie_hear.config import FrontEndConfig
from selfie_hear.explore.columns import Columns
from selfie_hear.frontend import LogMel

RATE = 16000  # Hz: what the models hear
MELS = 40
COLUMNS = 80
RANGE = 60.0  # dB from black to the loudest
HOP = RATE // 10  # samples: the loudest seconds begin at a multiple of it


@dataclass(frozen=True)
class Preview:
    """Part of a sound.

    Attributes:
        start: of the part in the sound, seconds.
        seconds: length of the whole sound.
        spectrogram: uint8 `(MELS, columns)`, low frequencies first, see `shade`.
        samples: float32 `(n,)` at `RATE`.
    """

    start: float
    seconds: float
    spectrogram: np.ndarray
    samples: np.ndarray


def read_preview(path: Path, seconds: float) -> Preview:
    """The loudest `seconds` of a file, or all of it when it is shorter; memory does not grow with the file.

    Raises:
        AudioError: see `stream_audio`.
    """
    start, total, samples = loudest(stream_audio(path, RATE), max(1, round(seconds * RATE / HOP)))
    columns = Columns(COLUMNS)
    for power in mel_power([samples]):
        columns.add(power)
    return Preview(start / RATE, total / RATE, shade(columns.value()), samples)


def loudest(blocks: Iterable[np.ndarray], hops: int) -> tuple[int, int, np.ndarray]:
    """The first run of `hops` hops with the most energy.

    Args:
        blocks: of samples, that follow each other.

    Returns:
        its first sample's number, the number of all samples, and the run itself: a shorter sound is returned whole.
    """
    held: deque[np.ndarray] = deque(maxlen=hops)
    energies: deque[float] = deque(maxlen=hops)
    best, most, begun, total = np.empty(0, np.float32), -1.0, 0, 0
    for hop in _hops(blocks):
        held.append(hop)
        energies.append(float(np.square(hop, dtype=np.float64).sum()))
        total += len(hop)
        if total <= hops * HOP or sum(energies) > most:
            best, most = np.concatenate(held), sum(energies)
            begun = total - len(best)
    return begun, total, best


def _hops(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    rest = np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // HOP * HOP
        yield from rest[:whole].reshape(-1, HOP)
        rest = rest[whole:]
    if len(rest):
        yield rest


def mel_power(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Mel power `(n, MELS)` every 10 ms of samples that come in blocks."""
    config = FrontEndConfig(n_mels=MELS)
    front_end = LogMel(config)
    tail = np.zeros(config.win_length // 2, np.float32)
    for block in blocks:
        samples = np.concatenate([tail, block])
        count = max(0, 1 + (len(samples) - config.win_length) // config.hop_length)
        if count:
            yield front_end(torch.from_numpy(samples)[None])[0, 0].exp().numpy().T
        tail = samples[count * config.hop_length :]
    if len(tail) > config.win_length // 2:  # the frames centred on the last samples
        last = np.pad(tail, (0, config.win_length // 2))
        last = np.pad(last, (0, max(0, config.win_length - len(last))))
        yield front_end(torch.from_numpy(last)[None])[0, 0].exp().numpy().T


def shade(power: np.ndarray) -> np.ndarray:
    """Power `(columns, mels)` as uint8 `(mels, columns)`: 255 is the loudest, 0 is `RANGE` dB below it or more."""
    quiet = FrontEndConfig().log_offset
    decibels = 10.0 * np.log10(np.maximum(power - quiet, quiet) / max(float(power.max()) - quiet, quiet))
    silent = power.max() <= 2 * quiet
    values = np.zeros_like(decibels) if silent else 255.0 * np.clip(1.0 + decibels / RANGE, 0.0, 1.0)
    shaded: np.ndarray = np.rint(values).astype(np.uint8).T
    return shaded


def to_mp3(blocks: Iterable[np.ndarray], level: float, constant: bool = False) -> bytes:
    """Samples at `RATE` as MP3, which every browser plays.

    Args:
        level: 0 is the best and biggest, 0.95 the smallest.
        constant: a constant bit rate, so that a browser finds a time in hours of sound without reading all.
    """
    out = io.BytesIO()
    with soundfile.SoundFile(
        out, "w", RATE, 1, format="MP3", subtype="MPEG_LAYER_III", compression_level=level,
        bitrate_mode="CONSTANT" if constant else "VARIABLE",
    ) as file:  # fmt: skip
        for block in blocks:
            for start in range(0, len(block), RATE):  # libsndfile has crashed on much at once
                file.write(np.clip(block[start : start + RATE], -1.0, 1.0))
    return out.getvalue()
