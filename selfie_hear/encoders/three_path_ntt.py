"""Three AudioNTTs side by side: on a spectrogram, on its difference from the sound around it, and on that smoothed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from selfie_hear.config import ConfigError
from selfie_hear.encoders.audio_ntt import AudioNTT
from selfie_hear.encoders.base import Encoder


def relative_level(mel: Tensor, step: int, reach: int) -> Tensor:
    """Log-mel less the logarithm of each band's mean power around each frame.

    What a microphone, a room, a voice's timbre or the volume multiply a band with falls out, as in cepstral mean
    normalisation; the mean is of power, so that silence around a sound does not count.

    Args:
        mel: `(B, 1, F, T)`.
        step: mel frames that share a mean.
        reach: mel frames on each side of these over which it is taken, as far as there are any; a multiple of `step`.

    Returns:
        `(B, 1, F, T)`.
    """
    blocks = F.avg_pool1d(mel[:, 0].exp(), step, ceil_mode=True)
    half = reach // step
    around = F.avg_pool1d(blocks, 2 * half + 1, 1, half, count_include_pad=False)
    return mel - around.log().repeat_interleave(step, dim=2)[:, None, :, : mel.shape[3]]


def smooth_bands(mel: Tensor, bands: int) -> Tensor:
    """Weighted mean over neighbouring mel bands (Hann window); the outermost band stands for those beyond it.

    Args:
        mel: `(B, 1, F, T)`.
        bands: width of the window, odd.

    Returns:
        `(B, 1, F, T)`.
    """
    weights = torch.hann_window(bands + 2, periodic=False, dtype=mel.dtype, device=mel.device)[1:-1]
    padded = F.pad(mel, (0, 0, bands // 2, bands // 2), mode="replicate")
    # Not a convolution of the library's: its rounding depends on the length of the input.
    shifted = (padded[:, :, band : band + mel.shape[2]] * weight for band, weight in enumerate(weights / weights.sum()))
    return sum(shifted, torch.zeros_like(mel))


class ThreePathNTT(Encoder):
    """Local values of three spectrograms and global values of one, `(B, 1, 64, T)` -> `(B, T // 4, 3072)`.

    The plain log-mel knows levels and steady spectra; its `relative_level` changes less with voice, microphone and
    volume; smoothed over bands that does not resolve the partials of a voice, whose formants and consonants then stand
    out: from it the `hidden` global values are made. `channels` * 16 local values each; 3.2 M parameters as it stands.
    """

    stride = 4
    context = 4

    def __init__(
        self,
        n_mels: int = 64,
        channels: int = 32,
        hidden: int = 1536,
        dropout: float = 0.3,
        reach: int = 200,
        bands: int = 5,
    ) -> None:
        """
        Args:
            reach: mel frames before and after that a level is relative to.
            bands: mel bands that the smoothed spectrogram is a mean over.

        Raises:
            ConfigError: a reach that is no positive multiple of 4, or a number of bands that is not odd.
        """
        super().__init__()
        if reach <= 0 or reach % self.stride:
            raise ConfigError(f"three_path_ntt: reach must be a positive multiple of {self.stride} frames, got {reach}")
        if bands < 1 or bands % 2 == 0:
            raise ConfigError(f"three_path_ntt: bands must be a positive odd number, got {bands}")
        self.reach, self.bands = reach, bands
        self.plain = AudioNTT(n_mels, channels, 0)
        self.relative = AudioNTT(n_mels, channels, 0)
        self.smoothed = AudioNTT(n_mels, channels, hidden, dropout)
        before = self.plain.dim + self.relative.dim
        self.dim = before + self.smoothed.dim
        self.timed = slice(before, self.dim - hidden)

    def prepare(self, mel: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to `(B, 3, F, T)`: it, the relative one, and that smoothed."""
        relative = relative_level(mel, self.stride, self.reach)
        return torch.cat([mel, relative, smooth_bands(relative, self.bands)], dim=1)

    def encode(self, planes: Tensor) -> Tensor:
        """`(B, 3, F, T)` to `(B, T // 4, dim)`."""
        plain, relative, smoothed = planes.split(1, dim=1)
        return torch.cat([self.plain(plain), self.relative(relative), self.smoothed(smoothed)], dim=2)
