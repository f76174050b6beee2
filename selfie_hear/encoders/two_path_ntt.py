"""Two AudioNTTs side by side: one hears the spectrogram as it is, the other how it differs from the sound around it."""

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


class TwoPathNTT(Encoder):
    """AudioNTT on `relative_level`, and beside it the convolutions of another on the plain log-mel.

    `(B, 1, 64, T)` -> `plain_channels` * 16 local values of the plain spectrogram, which know levels and steady
    spectra, and `relative_channels` * 16 local and `hidden` global values of the relative one, which a voice, a
    microphone and a volume change less: `(B, T // 4, 3072)` as it stands, 5.3 M parameters.
    """

    stride = 4
    context = 4

    def __init__(
        self,
        n_mels: int = 64,
        plain_channels: int = 32,
        relative_channels: int = 32,
        hidden: int = 2048,
        dropout: float = 0.3,
        reach: int = 200,
    ) -> None:
        """
        Args:
            reach: mel frames before and after that a level is relative to.

        Raises:
            ConfigError: a reach that is no positive multiple of 4.
        """
        super().__init__()
        if reach <= 0 or reach % self.stride:
            raise ConfigError(f"two_path_ntt: reach must be a positive multiple of {self.stride} frames, got {reach}")
        self.reach = reach
        self.plain = AudioNTT(n_mels, plain_channels, 0)
        self.relative = AudioNTT(n_mels, relative_channels, hidden, dropout)
        self.dim = self.plain.dim + self.relative.dim

    def prepare(self, mel: Tensor) -> Tensor:
        """`(B, 1, F, T)` log-mel to `(B, 2, F, T)`: it, and the relative one."""
        return torch.cat([mel, relative_level(mel, self.stride, self.reach)], dim=1)

    def encode(self, planes: Tensor) -> Tensor:
        """`(B, 2, F, T)` to `(B, T // 4, dim)`."""
        plain, relative = planes.split(1, dim=1)
        return torch.cat([self.plain(plain), self.relative(relative)], dim=2)
