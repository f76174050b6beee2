"""A bundled model as it is usually written, for `benchmarks.inference` to compare with.

Layers in the order of training, NCHW, BatchNorm not folded, ReLU before pooling, whole clips, the whole batch at
once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear import Embedder
from selfie_hear.encoders import AudioNTT, ThreePathNTT


class PlainPath(nn.Module):
    """The layers of an AudioNTT of two blocks."""

    def __init__(self, path: AudioNTT) -> None:
        super().__init__()
        layers = [path.norm0]
        for conv, norm in ((path.conv1, path.norm1), (path.conv2, path.norm2)):
            layers += [conv, norm, nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.layers = nn.Sequential(path.fc1, nn.ReLU(), path.dropout, path.fc2, nn.ReLU()) if path.hidden else None

    def forward(self, x: Tensor) -> Tensor:
        local = self.features(x.transpose(2, 3)).permute(0, 2, 3, 1).flatten(2)
        return local if self.layers is None else torch.cat([local, self.layers(local)], dim=2)


class PlainModel(nn.Module):
    """Log-mel by torch.stft, the paths one after the other, mean + max, and the temporal moment where there is one."""

    def __init__(self, model: Embedder) -> None:
        super().__init__()
        self.grid, self.front_end, self.encoder = model.grid, model.front_end, model.encoder
        self.moment = model.scene_pooling == "mean_max_moment"
        three = isinstance(model.encoder, ThreePathNTT)
        paths = (model.encoder.plain, model.encoder.relative, model.encoder.smoothed) if three else (model.encoder,)
        self.paths = nn.ModuleList(PlainPath(path) for path in paths)
        self.to(memory_format=torch.contiguous_format)

    def log_mel(self, audio: Tensor) -> Tensor:
        """`(B, N)` to `(B, 1, F, T)`, silence around the clip."""
        config, frames = self.front_end.config, self.grid.mel_frames(audio.shape[1])
        half = config.win_length // 2
        end = max(0, (frames - 1) * config.hop_length + half - audio.shape[1])
        spectrum = torch.stft(
            F.pad(audio, (half, end)), config.n_fft, config.hop_length, config.win_length, self.front_end.window,
            center=False, return_complex=True,
        )  # fmt: skip
        power = spectrum.abs().square().transpose(1, 2)
        return (power @ self.front_end.mel + self.front_end.config.log_offset).log().transpose(1, 2).unsqueeze(1)

    def planes(self, mel: Tensor) -> list[Tensor]:
        return list(self.encoder.prepare(mel).split(1, dim=1))

    def frames(self, mel: Tensor) -> Tensor:
        """`(B, 1, F, T)` to `(B, T // 4, D)`."""
        return torch.cat([path(plane) for path, plane in zip(self.paths, self.planes(mel), strict=True)], dim=2)

    def forward(self, audio: Tensor) -> Tensor:
        """Scene embeddings `(B, D)` of `(B, N)` samples."""
        mel = self.log_mel(audio)
        frames = self.frames(mel)[:, : self.grid.frames(audio.shape[1])]
        pooled = frames.mean(1) + frames.amax(1)
        if not self.moment:
            return pooled
        count = frames.shape[1]
        energy = mel[:, 0, :, : 4 * count].exp().sum(1).unflatten(1, (count, 4)).mean(2).double()
        weights = energy / energy.sum(1, keepdim=True)
        time = torch.arange(count, device=audio.device)
        away = time - (weights * time).sum(1, keepdim=True)
        deviation = (weights * away.square()).sum(1, keepdim=True).sqrt().clamp(min=1.0)
        scaled = (weights * away / deviation).to(frames.dtype)
        return torch.cat([pooled, torch.einsum("bt,btd->bd", scaled, frames[..., self.encoder.timed])], dim=1)
