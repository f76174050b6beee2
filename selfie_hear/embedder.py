"""Front end -> encoder -> pooling as one module; works through a clip in chunks, so memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError, ModelConfig
from selfie_hear.encoders import build_encoder
from selfie_hear.framing import FrameGrid
from selfie_hear.frontend import LogMel
from selfie_hear.moment import TimeMoment
from selfie_hear.pooling import mean_max, sliding_mean_max
from selfie_hear.precision import PRECISIONS, encoder_precision

SCENE_POOLINGS = ("mean_max", "mean_max_moment")
CHUNK = 256  # output frames (10.24 s) per pass: the fastest on a CPU, and 30 MB of activations


@dataclass
class _Heard:
    """The part of a clip that is still needed, and how much has been heard in all."""

    audio: Tensor  # (B, n)
    origin: int = 0  # sample number of audio[:, 0]

    @property
    def total(self) -> int:
        return self.origin + self.audio.shape[1]

    def cut(self, first: int, last: int) -> Tensor:
        """Samples `[first, last)`, silence where the clip has none."""
        inside = self.audio[:, max(0, first) - self.origin : max(0, last - self.origin)]
        return torch.nn.functional.pad(inside, (max(0, -first), max(0, last - self.total)))

    def forget(self, first: int) -> None:
        """Drop what lies before sample `first`."""
        drop = min(max(0, first - self.origin), self.audio.shape[1])
        self.audio, self.origin = self.audio[:, drop:], self.origin + drop


class Embedder(nn.Module):
    """Any mono audio to embeddings.

    Attributes:
        sample_rate: Hz that the audio must have.
        scene_embedding_size, timestamp_embedding_size: values per embedding.
        timestamp_window_ms: length of the window that a timestamp embedding pools over; may be set.
        scene_pooling: "mean_max" (SELFIE section 2.2), or "mean_max_moment", which appends the `TimeMoment` of some
            values to it; may be set.
        precision: "fp32", or "bf16": the encoder's products are of bfloat16, all else is of float32; may be set.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        self.encoder = build_encoder(config.encoder, config.front_end.n_mels)
        encoder = self.encoder
        self.grid = FrameGrid.of(config.front_end, encoder.stride, encoder.context, encoder.reach, encoder.unit)
        self.timestamp_window_ms = config.timestamp_window_ms
        self.scene_pooling = config.scene_pooling
        self.precision = "fp32"
        self.sample_rate = config.front_end.sample_rate
        self.timestamp_embedding_size = self.encoder.dim

    @property
    def timestamp_window_ms(self) -> float:
        return self._timestamp_window_ms

    @timestamp_window_ms.setter
    def timestamp_window_ms(self, milliseconds: float) -> None:
        self._window = self.grid.window_frames(milliseconds)
        self._timestamp_window_ms = milliseconds

    @property
    def scene_pooling(self) -> str:
        return self._scene_pooling

    @scene_pooling.setter
    def scene_pooling(self, pooling: str) -> None:
        if pooling not in SCENE_POOLINGS:
            raise ConfigError(f"scene_pooling: {pooling!r} is unknown; known are {', '.join(SCENE_POOLINGS)}")
        self._scene_pooling = pooling

    @property
    def precision(self) -> str:
        return self._precision

    @precision.setter
    def precision(self, precision: str) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"precision: {precision!r} is unknown; known are {', '.join(PRECISIONS)}")
        self._precision = precision

    @property
    def scene_embedding_size(self) -> int:
        timed = len(range(*self.encoder.timed.indices(self.encoder.dim)))
        return self.encoder.dim + (timed if self.scene_pooling == "mean_max_moment" else 0)

    @property
    def device(self) -> torch.device:
        return self.front_end.window.device

    def forward(self, audio: Tensor) -> Tensor:
        """Scene embeddings `(B, D)` of `(B, N)` samples: their frames pooled over the whole clip."""
        return self.scene([audio])

    def scene(self, blocks: Iterable[Tensor]) -> Tensor:
        """Scene embeddings `(B, D)` of audio that comes in blocks `(B, n_i)`."""
        if self.scene_pooling == "mean_max":
            return mean_max(self.frames(blocks))
        moment = TimeMoment()
        pooled = mean_max(moment.watch(self._pieces(blocks), self.encoder.timed))
        return torch.cat([pooled, moment.value()], dim=1)

    def timestamps(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Timestamp embeddings in pieces `(B, t, D)`, together one per output frame, of audio that comes in blocks."""
        return sliding_mean_max(self.frames(blocks), self._window)

    def frames(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Output frames in pieces `(B, t, D)` of audio that comes in blocks `(B, n_i)`.

        The pieces do not depend on where one block ends and the next begins. Memory: one block and one chunk.
        """
        return (frames for frames, _ in self._pieces(blocks))

    def _pieces(self, blocks: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """`frames` with the energy of each, `(B, t)`."""
        heard: _Heard | None = None
        done, chunk = 0, self.grid.whole_units(CHUNK)  # so that no unit is encoded for two chunks
        for block in blocks:
            if heard is None:
                heard = _Heard(block)
            else:
                heard.audio = torch.cat([heard.audio, block], dim=1)
            while heard.total >= self.grid.samples_to_emit(done + chunk):
                yield self._encode(heard, done, done + chunk, None)
                done += chunk
                heard.forget(self.grid.samples_behind(done - chunk, done)[0])  # the last chunk may reach back that far
        if heard is None or heard.total == 0:
            raise ValueError("no audio to embed: zero samples")
        count, mels = self.grid.frames(heard.total), self.grid.mel_frames(heard.total)
        while done < count:
            stop = min(done + chunk, count)
            start = max(0, stop - chunk)  # as long as the others: matrix kernels for fewer rows round differently
            frames, energy = self._encode(heard, start, stop, mels)
            yield frames[:, done - start :], energy[:, done - start :]
            done = stop

    def _encode(self, heard: _Heard, start: int, stop: int, mels: int | None) -> tuple[Tensor, Tensor]:
        """Output frames `[start, stop)` as those of the whole clip, whose context they see, and the mean power of their
        own mel frames."""
        lo, hi = self.grid.mel_span(start, stop, mels)
        first, last = self.grid.seen_span(lo, hi, mels)
        mel = self.front_end(heard.cut(*self.grid.sample_span(first, last)))
        planes = self.encoder.prepare(mel)[..., lo - first : hi - first]
        skip, count = start - lo // self.grid.stride, stop - start
        with encoder_precision(self.precision, planes.device):
            frames = self.encoder.encode(planes)[:, skip : skip + count].to(planes.dtype)
        own = mel[:, 0, :, start * self.grid.stride - first :][..., : count * self.grid.stride]
        return frames, own.exp().sum(1).unflatten(1, (count, self.grid.stride)).mean(2)
