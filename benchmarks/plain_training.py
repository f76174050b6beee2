"""SELFIE pre-training as it is usually written, for `benchmarks.training` to compare with.

Audio files are decoded whole and cut, log-mel and augmentations run on one clip at a time in DataLoader workers, the
network is NCHW in float32, the optimiser is Adam with foreach, the target is updated parameter by parameter.
"""

from __future__ import annotations

import copy
import time
from collections import deque
from pathlib import Path

import numpy as np
import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import FrontEndConfig
from selfie_hear.frontend import mel_matrix

RATE, CROP = 16000, 15200


class Views(torch.utils.data.Dataset):
    """Two augmented log-mel views of a random second of a random file."""

    def __init__(self, files: list[Path], length: int) -> None:
        self.files, self.length = files, length
        self.window = torch.hann_window(1024)
        self.mel = torch.from_numpy(mel_matrix(FrontEndConfig()))
        self.past: deque[Tensor] = deque(maxlen=2048)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        audio, _ = soundfile.read(self.files[number % len(self.files)], dtype="float32", always_2d=True)
        clip = torch.from_numpy(audio.mean(1))
        if len(clip) < CROP:
            clip = F.pad(clip, (0, CROP - len(clip)))
        start = int(np.random.randint(len(clip) - CROP + 1))
        power = (
            torch.stft(clip[start : start + CROP], 1024, 160, window=self.window, center=True, return_complex=True)
            .abs()
            .square()
        )
        mel = (self.mel @ power + 1e-7).log()[None]
        return self.augment(mel), self.augment(mel)

    def augment(self, mel: Tensor) -> Tensor:
        if self.past:
            share = 0.2 * float(np.random.rand())
            other = self.past[np.random.randint(len(self.past))]
            mixed = ((1 - share) * mel.exp() + share * other.exp()).log()
        else:
            mixed = mel
        self.past.append(mel)
        _, height, width = mixed.shape
        canvas = torch.zeros(1, height, int(1.5 * width))
        left = (canvas.shape[2] - width) // 2
        canvas[:, :, left : left + width] = mixed
        area, aspect = np.random.uniform(0.6, 1.5), np.random.uniform(0.75, 1.33)
        rows = min(height, max(1, int(height * (area / aspect) ** 0.5)))
        columns = min(canvas.shape[2], max(1, int(width * (area * aspect) ** 0.5)))
        top = np.random.randint(height - rows + 1)
        first = np.random.randint(canvas.shape[2] - columns + 1)
        box = canvas[None, :, top : top + rows, first : first + columns]
        resized = F.interpolate(box, (height, width), mode="bicubic", align_corners=True)[0]
        start, end = np.random.uniform(-1, 1, 2)
        return resized + torch.linspace(float(start), float(end), width)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.BatchNorm2d(1),
            nn.Conv2d(1, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.layers = nn.Sequential(nn.Linear(1024, 2048), nn.ReLU(), nn.Dropout(0.3), nn.Linear(2048, 2048), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x).permute(0, 3, 2, 1).flatten(2)
        x = torch.cat([x, self.layers(x)], dim=2)
        return x.mean(1) + x.amax(1)


def head(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 4096), nn.BatchNorm1d(4096), nn.ReLU(), nn.Linear(4096, 256))


def loss_of(prediction: Tensor, target: Tensor) -> Tensor:
    q, z = F.normalize(prediction, dim=1), F.normalize(target, dim=1)
    covariance = torch.cov(q.T)
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return (q - z).square().sum(1).mean() - torch.cdist(q, q).square().mean() + off_diagonal.square().sum()


def crops_per_second(files: list[Path], batch: int, steps: int, device: str, workers: int) -> float:
    """Of `steps` steps after one that is not counted."""
    online = nn.Sequential(Encoder(), head(3072)).to(device)
    predictor = head(256).to(device)
    target = copy.deepcopy(online).requires_grad_(False)
    optimiser = torch.optim.Adam([*online.parameters(), *predictor.parameters()], lr=1e-4, foreach=True)
    loader = torch.utils.data.DataLoader(
        Views(files, batch * (steps + 1)), batch, shuffle=True, num_workers=workers, drop_last=True
    )
    started = 0.0
    for number, views in enumerate(loader):
        if number == 1:
            started = time.perf_counter()
        first, second = (view.to(device) for view in views)
        with torch.no_grad():
            targets = target(first), target(second)
        loss = loss_of(predictor(online(first)), targets[1]) / 2 + loss_of(predictor(online(second)), targets[0]) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        for mine, theirs in zip(target.parameters(), online.parameters(), strict=True):
            mine.data = 0.995 * mine.data + 0.005 * theirs.data
        loss.item()
    return batch * steps / (time.perf_counter() - started)
