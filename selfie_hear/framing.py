"""Pure time arithmetic: which samples belong to which frame. Nothing else knows about milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from selfie_hear.config import ConfigError, FrontEndConfig

LONGEST_WINDOW = 60_000  # ms; the work of sliding windows grows with their length


@dataclass(frozen=True)
class FrameGrid:
    """The regular grid of an encoder's output frames over a clip.

    Mel frame t is centred on sample `hop * t` and reaches `window // 2` samples to either side. Output frame k is
    made of the mel frames `stride * k ... stride * (k + 1) - 1`; its centre is the middle of their centres. A clip
    has every output frame whose centre is not beyond its end, at least one, so no tail is dropped; what a frame
    sees beyond the ends of the clip is silence.
    """

    sample_rate: int  # Hz
    hop: int  # samples between mel frames
    window: int  # samples in a mel frame
    stride: int  # mel frames per output frame
    context: int  # mel frames that the encoder sees on each side of an output frame
    reach: int = 0  # mel frames on each side of these that its preparation sees
    unit: int = 1  # mel frames; what the encoder is given begins at a multiple of it

    @classmethod
    def of(cls, config: FrontEndConfig, stride: int, context: int, reach: int = 0, unit: int = 1) -> FrameGrid:
        return cls(config.sample_rate, config.hop_length, config.win_length, stride, context, reach, unit)

    @property
    def step(self) -> int:
        """Samples between output frames."""
        return self.hop * self.stride

    @property
    def first_centre(self) -> int:
        """Centre of output frame 0, in samples."""
        return self.hop * (self.stride - 1) // 2

    def frames(self, samples: int) -> int:
        """Output frames of a clip of `samples` samples."""
        return max(1, (samples - self.first_centre) // self.step + 1)

    def mel_frames(self, samples: int) -> int:
        """Mel frames of a clip: those centred inside it, and those that complete its last output frame."""
        return max(1 + samples // self.hop, self.stride * self.frames(samples))

    def centres_ms(self, samples: int) -> list[float]:
        """Centres of a clip's output frames in ms: exact integer products, divided once, so they never drift."""
        n = self.frames(samples)
        if n == 1:  # a clip shorter than one frame is centred on itself
            return [1000 * min(self.first_centre, samples / 2) / self.sample_rate]
        return [1000 * (self.first_centre + self.step * k) / self.sample_rate for k in range(n)]

    def window_frames(self, milliseconds: float) -> int:
        """The odd number of output frames whose span is nearest to `milliseconds`, so that a window has a centre.

        Raises:
            ConfigError: not a positive length, or more than a minute.
        """
        if not 0 < milliseconds <= LONGEST_WINDOW:
            raise ConfigError(
                f"timestamp window: expected more than 0 and at most {LONGEST_WINDOW} ms, got {milliseconds}"
            )
        half = round((milliseconds * self.sample_rate / (1000 * self.step) - 1) / 2)
        return 2 * max(0, half) + 1

    def mel_span(self, start: int, stop: int, total: int | None) -> tuple[int, int]:
        """Mel frames `[lo, hi)` to give to the encoder for the output frames `[start, stop)`.

        `total` is the clip's number of mel frames, or None while its end is not known.
        """
        hi = -(-(self.stride * stop + self.context) // self.unit) * self.unit
        hi = hi if total is None else min(hi, total)
        # At the end of the clip `hi` may be within a unit: the last `unit` frames are given all the same.
        lo = max(0, min(self.stride * start - self.context, hi - self.unit))
        return lo // self.unit * self.unit, hi

    def seen_span(self, lo: int, hi: int, total: int | None) -> tuple[int, int]:
        """Mel frames that the preparation of the mel frames `[lo, hi)` sees."""
        return max(0, lo - self.reach), hi + self.reach if total is None else min(hi + self.reach, total)

    def whole_units(self, frames: int) -> int:
        """The least number of output frames, `frames` or more, that is made of whole units."""
        step = max(1, self.unit // self.stride)
        return -(-frames // step) * step

    def sample_span(self, lo: int, hi: int) -> tuple[int, int]:
        """Samples `[first, last)` that the mel frames `[lo, hi)` see; below 0 and beyond the clip is silence."""
        return self.hop * lo - self.window // 2, self.hop * (hi - 1) + self.window - self.window // 2

    def samples_behind(self, start: int, stop: int) -> tuple[int, int]:
        """Samples `[first, last)` that the output frames `[start, stop)` are made of while the clip goes on."""
        return self.sample_span(*self.seen_span(*self.mel_span(start, stop, None), None))

    def samples_to_emit(self, stop: int) -> int:
        """Samples that must be known before the output frames up to `stop` are final, whatever follows."""
        return self.samples_behind(0, stop)[1]
