"""ResNetish-34: the residual network of 34 layers whose first convolution does not stride."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.strided import StridedEncoder, half_field

DEPTHS = (3, 4, 6, 3)  # blocks of two convolutions in each stage (He et al. 2016, table 1)


class ResNetish34(StridedEncoder):
    """The second encoder of BYOL-S (section 2.1.1), after Hershey et al. (2017); 21.3 M parameters as it stands.

    `(B, 1, 64, T)` -> BatchNorm -> Conv 7x7, BatchNorm, ReLU, MaxPool 3x3 of stride 2 -> 16 residual blocks in four
    stages of `channels` * 1, 2, 4, 8 -> the 4 frequencies by 512 channels of each frame -> `(B, T // 4, 2048)`.

    Its frames are of 16 mel frames (160 ms) and see 226 (2.3 s) on each side of their centres: a context that is
    bounded, so a clip is heard as a whole.
    """

    def __init__(
        self, n_mels: int = 64, channels: int = 64, input_mean: float | None = None, input_std: float | None = None
    ) -> None:
        """
        Raises:
            ConfigError: `n_mels` is no multiple of 16; see `input_norm`.
        """
        if n_mels % 16:
            raise ConfigError(f"resnetish34: n_mels must be a multiple of 16, got {n_mels}")
        strides = [2 if stage and not block else 1 for stage, depth in enumerate(DEPTHS) for block in range(depth)]
        layers = [(7, 1), (3, 2), *[layer for stride in strides for layer in ((3, stride), (3, 1))]]
        super().__init__(16, half_field=half_field(layers), input_mean=input_mean, input_std=input_std)
        self.stem = nn.Sequential(
            nn.Conv2d(1, channels, 7, padding=3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        self.stages = nn.ModuleList()
        inputs = channels
        for stage, depth in enumerate(DEPTHS):
            outputs = channels * 2**stage
            first = Block(inputs, outputs, 2 if stage else 1)
            self.stages.append(nn.Sequential(first, *[Block(outputs, outputs) for _ in range(depth - 1)]))
            inputs = outputs
        self.dim = n_mels // 16 * inputs
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Block):  # begins as its shortcut (Goyal et al. 2017): little gets through 16
                nn.init.zeros_(module.norm2.weight)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def network(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x.permute(0, 3, 2, 1).flatten(2)  # (B, T // 16, F // 16 * C)


class Block(nn.Module):
    """relu(x + two 3x3 convolutions of x); where size or channels change, x goes through a 1x1 convolution (He)."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(first)) + self.shortcut(x))
