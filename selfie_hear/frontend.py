"""Waveform to log-mel spectrogram; the window and the mel matrix are buffers, so a release carries them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError, FrontEndConfig


def mel_matrix(config: FrontEndConfig) -> np.ndarray:
    """Triangular mel filters `(n_mels, n_fft // 2 + 1)`, Slaney's scale and area norm (Auditory Toolbox, 1998)."""
    # Slaney's scale: linear with 200/3 Hz a mel up to 1 kHz, logarithmic with 27 steps per factor 6.4 above.
    break_hz, mels_at_break, log_step = 1000.0, 15.0, np.log(6.4) / 27.0

    def to_mel(hz: float) -> float:
        return hz * 3.0 / 200.0 if hz < break_hz else mels_at_break + float(np.log(hz / break_hz)) / log_step

    mels = np.linspace(to_mel(config.f_min), to_mel(config.f_max), config.n_mels + 2)
    above = break_hz * np.exp(log_step * (mels - mels_at_break))
    edges = np.where(mels < mels_at_break, mels * 200.0 / 3.0, above)
    bins = np.linspace(0.0, config.sample_rate / 2.0, config.n_fft // 2 + 1)
    lower, centre, upper = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.maximum(0.0, np.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)))
    matrix: np.ndarray = (triangles * 2.0 / (upper - lower)).astype(np.float32)
    return matrix


class LogMel(nn.Module):
    """Log-mel power spectrogram with frames of `win_length` samples every `hop_length` samples.

    The module does not pad: what lies before the first and after the last sample of a clip is the
    caller's matter (`framing`), so that a piece of a clip gives the same frames as the whole clip.
    """

    window: Tensor
    mel: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        if not 0 < config.win_length <= config.n_fft:
            raise ConfigError(f"front_end: need 0 < win_length <= n_fft, got {config.win_length} and {config.n_fft}")
        if not 0 <= config.f_min < config.f_max <= config.sample_rate / 2:
            raise ConfigError(
                f"front_end: need 0 <= f_min < f_max <= {config.sample_rate / 2} Hz, "
                f"got f_min {config.f_min} and f_max {config.f_max}"
            )
        self.config = config
        self.register_buffer("window", torch.hann_window(config.win_length, periodic=True))
        self.register_buffer("mel", torch.from_numpy(mel_matrix(config).T.copy()))

    def forward(self, audio: Tensor) -> Tensor:
        """`(B, N)` samples to `(B, 1, n_mels, T)`, T = 1 + (N - win_length) // hop_length."""
        spans = audio.unfold(-1, self.config.win_length, self.config.hop_length)
        spectrum = torch.fft.rfft(spans * self.window, n=self.config.n_fft)
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = power @ self.mel
        return (mel + self.config.log_offset).log().transpose(1, 2).unsqueeze(1)
