"""Log-mel bands as embeddings: of a clip, the mean and the standard deviation of each band; of a moment, the bands."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfie_hear.config import ModelConfig
from selfie_hear.frontend import LogMel

HOP = 5  # frames of 10 ms from one timestamp to the next


class LogMelBands(nn.Module):
    """The front end of the default model."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = LogMel(ModelConfig().front_end)
        self.sample_rate = self.front_end.config.sample_rate
        self.timestamp_embedding_size = self.front_end.config.n_mels
        self.scene_embedding_size = 2 * self.timestamp_embedding_size

    def forward(self, audio: Tensor) -> Tensor:
        """`(n_sounds, n_samples)` to `(n_sounds, bands, frames)`, a frame centred on every hop from the start."""
        half = self.front_end.config.win_length // 2
        bands: Tensor = self.front_end(nn.functional.pad(audio, (half, half)))[:, 0]
        return bands


def load_model(model_file_path: str = "") -> LogMelBands:  # noqa: ARG001 - the API's
    """Nothing is loaded; a path that hear-eval-kit insists on is not looked at."""
    return LogMelBands().eval()


@torch.no_grad()
def get_scene_embeddings(audio: Tensor, model: LogMelBands) -> Tensor:
    """`(n_sounds, n_samples)` to `(n_sounds, 2 x bands)`."""
    bands = model(audio)
    return torch.cat([bands.mean(2), bands.std(2, correction=0)], dim=1)


@torch.no_grad()
def get_timestamp_embeddings(audio: Tensor, model: LogMelBands) -> tuple[Tensor, Tensor]:
    """`(n_sounds, n_samples)` to the bands every 50 ms, `(n_sounds, T, bands)`, and the times `(n_sounds, T)` in ms."""
    bands = model(audio)[:, :, ::HOP].transpose(1, 2)
    step = 1000.0 * HOP * model.front_end.config.hop_length / model.sample_rate
    return bands, (torch.arange(bands.shape[1], device=audio.device) * step).expand(len(audio), -1)
