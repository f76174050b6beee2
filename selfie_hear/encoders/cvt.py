"""CvT: three stages of convolutional embedding and attention, the light form of BYOL-S."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.dropout import Dropout
from selfie_hear.encoders.strided import StridedEncoder

HEAD = 64  # values of an attention head
STEMS = ((7, 4), (3, 2), (3, 2))  # kernel and stride of the embedding of each stage (Wu et al. 2021, table 2)


class CvT(StridedEncoder):
    """The fourth encoder of BYOL-S (section 2.1.3), after Wu et al. (2021); 5.0 M parameters as it stands.

    `(B, 1, 64, T)` -> BatchNorm -> three stages, each a strided convolution to 64, 256, 512 channels and one
    transformer block -> the 4 frequencies by 512 channels of each frame, which makes the paper's 2048 ->
    `(B, T // 4, 2048)`. The heads are of 64 values, 1, 3 and 6 of them, as in CvT-13, whatever the channels; with
    heads that share the channels, as in the `transformers` library, the parameters would be 5.3 M.

    Its frames are of 16 mel frames (160 ms), and its attention is over a segment: there are no positions but those
    that the padding of convolutions gives, so segments may be longer than the crops that it is trained on.
    """

    def __init__(
        self,
        n_mels: int = 64,
        channels: Sequence[int] = (64, 256, 512),
        heads: Sequence[int] = (1, 3, 6),
        dropout: float = 0.0,
        segment: int = 256,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            channels, heads: of each stage.
            dropout: after attention and in the perceptrons.
            segment: mel frames over which attention looks; a multiple of 16.

        Raises:
            ConfigError: `n_mels` is no multiple of 16; not three stages; a wrong segment; see `input_norm`.
        """
        if n_mels % 16:
            raise ConfigError(f"cvt: n_mels must be a multiple of 16, got {n_mels}")
        if len(channels) != 3 or len(heads) != 3:
            raise ConfigError(f"cvt: channels and heads are of three stages, got {channels} and {heads}")
        super().__init__(16, segment=segment, input_mean=input_mean, input_std=input_std)
        self.stages = nn.ModuleList()
        inputs = 1
        for (kernel, stride), outputs, count in zip(STEMS, channels, heads, strict=True):
            embedding = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
            self.stages.append(nn.Sequential(embedding, ChannelNorm(outputs), Block(outputs, count, dropout)))
            inputs = outputs
        self.dim = n_mels // 16 * inputs

    def network(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x.permute(0, 3, 2, 1).flatten(2)  # (B, T // 16, F // 16 * C)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of `(B, C, F, T)`."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Block(nn.Module):
    """Attention and a perceptron of four times the width, each normalised before and added to what it was given."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attention = Attention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.fc1 = nn.Conv2d(channels, 4 * channels, 1)
        self.fc2 = nn.Conv2d(4 * channels, channels, 1)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        hidden = self.dropout(F.gelu(self.fc1(self.norm2(x))))
        change: Tensor = self.dropout(self.fc2(hidden))
        return x + change


class Attention(nn.Module):
    """Self-attention whose projections are convolutions; keys and values at half the resolution (Wu, section 3.2)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = separable(channels, heads * HEAD, 1)
        self.key_value = separable(channels, 2 * heads * HEAD, 2)
        self.out = nn.Conv2d(heads * HEAD, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, (key, value) = self.query(x), self.key_value(x).chunk(2, dim=1)
        query, key, value = (
            maps.unflatten(1, (self.heads, HEAD)).flatten(3).transpose(2, 3) for maps in (query, key, value)
        )
        found = F.scaled_dot_product_attention(query, key, value)  # (B, heads, F * T, HEAD)
        maps: Tensor = self.out(found.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))
        return maps


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution of each channel, BatchNorm, and a 1x1 convolution over channels."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
    )
