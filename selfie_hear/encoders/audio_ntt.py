"""AudioNTT: two or three convolution blocks, then two fully connected layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.base import Encoder
from selfie_hear.encoders.dropout import Dropout
from selfie_hear.encoders.input_norm import input_norm

Convolution = Callable[[Tensor, Tensor, Tensor], Tensor]


class AudioNTT(Encoder):
    """With 2 blocks the encoder of SELFIE (section 2.2) and of BYOL-A's journal version; 6.33 M parameters.

    `(B, 1, 64, T)` -> BatchNorm -> 2 x [Conv 3x3, BatchNorm, MaxPool 2x2, ReLU] -> 1024 local values a frame
    -> 2 x [Linear, ReLU] -> 2048 global values -> local and global `(B, T // 4, 3072)`.

    With 3 blocks the first form of BYOL-A and the default encoder of BYOL-S (section 2); 5.32 M parameters: 512 local
    values of a frame of 8 mel frames -> 2048 global values -> these alone, each frame twice: `(B, T // 4, 2048)`.
    At the end of a clip zeros complete its last frame.

    Inside, time comes before frequency and memory is channels-last, so that flattening frequency and channels
    moves no data. Max pooling comes before ReLU: the values are the same and it is four times less work.
    With `hidden` 0 it ends with the local values.
    """

    stride = 4
    context = 4  # the receptive field reaches 3 mel frames beyond an output frame's own; rounded up to the stride

    def __init__(
        self,
        n_mels: int = 64,
        channels: int = 64,
        hidden: int = 2048,
        dropout: float = 0.3,
        blocks: int = 2,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            channels: of each convolution.
            hidden: global values.
            blocks: 2 or 3.
            input_mean, input_std: see `input_norm`.

        Raises:
            ConfigError: another number of blocks; `n_mels` that does not divide; see `input_norm`.
        """
        super().__init__()
        if blocks not in (2, 3):
            raise ConfigError(f"audio_ntt: blocks must be 2 or 3, got {blocks}")
        if n_mels % 2**blocks:
            raise ConfigError(f"audio_ntt: n_mels must be a multiple of {2**blocks}, got {n_mels}")
        if blocks == 3:
            self.context, self.unit = 12, 8  # 7 mel frames beyond the 8 that two output frames are made of
        local = n_mels // 2**blocks * channels
        self.hidden, self.blocks = hidden, blocks
        self.dim = local + hidden if blocks == 2 else hidden or local
        self.norm0 = input_norm(input_mean, input_std)
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels)
        if blocks == 3:
            self.conv3 = nn.Conv2d(channels, channels, 3, padding=1)
            self.norm3 = nn.BatchNorm2d(channels)
        if hidden:
            self.fc1 = nn.Linear(local, hidden)
            self.fc2 = nn.Linear(hidden, hidden)
            self.dropout = Dropout(dropout)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, planes: Tensor) -> Tensor:
        """`(B, 1, F, T)` to `(B, T // 4, dim)`."""
        count = planes.shape[3] // self.stride
        x = self.norm0(planes.transpose(2, 3))  # (B, 1, T, F)
        if self.blocks == 3:
            x = F.pad(x, (0, 0, 0, -x.shape[2] % 8))
        x = F.relu(F.max_pool2d(self._convolve(_convolve_plane, x, self.conv1, self.norm1), 2))
        x = F.relu(F.max_pool2d(self._convolve(_convolve_maps, x, self.conv2, self.norm2), 2))
        if self.blocks == 3:
            x = F.relu(F.max_pool2d(self._convolve(_convolve_maps, x, self.conv3, self.norm3), 2))
        frames = x.permute(0, 2, 3, 1).flatten(2)  # (B, T // 4, F // 4 * C)
        if self.hidden:
            first = self.dropout(F.relu(self.fc1(frames)))
            last = F.relu(self.fc2(first))
            frames = torch.cat([frames, last], dim=2) if self.blocks == 2 else last
        return frames if self.blocks == 2 else frames.repeat_interleave(2, dim=1)[:, :count]

    def _convolve(self, convolve: Convolution, x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
        assert norm.running_var is not None  # for the type checker; both are there
        assert norm.running_mean is not None
        assert conv.bias is not None
        if self.training:
            return cast(Tensor, norm(convolve(x, conv.weight, conv.bias)))
        # With fixed statistics the normalisation is an affine map of the output channels: fold it into the weights.
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight = conv.weight * scale[:, None, None, None]
        return convolve(x, weight, (conv.bias - norm.running_mean) * scale + norm.bias)


def _convolve_maps(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=1)


def _convolve_plane(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3x3 convolution of one input channel as a matrix product, `(B, 1, T, F)` to `(B, C, T, F)` channels-last.

    On a CPU several times faster than the library's, whose rounding also depends on the length of the input.
    """
    count, _, frames, bands = x.shape
    padded = F.pad(x[:, 0], (1, 1, 1, 1))
    taps = [padded[:, row : row + frames, column : column + bands] for row in range(3) for column in range(3)]
    patches = torch.stack([*taps, torch.ones_like(taps[0])]).flatten(1)  # (10, B * T * F); the ones are for the bias
    maps = patches.t() @ torch.cat([weight.flatten(1), bias[:, None]], dim=1).t()
    return maps.view(count, frames, bands, -1).permute(0, 3, 1, 2)
