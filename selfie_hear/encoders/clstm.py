"""CLSTM: two convolutions, then a recurrent layer that runs both ways."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders.strided import StridedEncoder


class CLSTM(StridedEncoder):
    """The third encoder of BYOL-S (section 2.1.2), after Passricha and Aggarwal (2020); 18.6 M parameters.

    `(B, 1, 64, T)` -> BatchNorm -> [Conv 9x9, BatchNorm, ReLU, MaxPool 2x2] -> [Conv 4x3, the same] -> 14 frequencies
    by 256 channels of each frame -> BiLSTM of 2 x 512 -> Linear, ReLU -> `(B, T // 4, 1024)`. Kernels are frequency
    by time. The paper prints neither padding nor pooling; with these (the second convolution is not padded in
    frequency) the parameters are as many as it says.

    Its recurrence runs over a segment, which is longer than the crops that it is trained on.
    """

    def __init__(
        self,
        n_mels: int = 64,
        filters: int = 256,
        hidden: int = 512,
        outputs: int = 1024,
        segment: int = 256,
        input_mean: float | None = None,
        input_std: float | None = None,
    ) -> None:
        """
        Args:
            hidden: values of the recurrence in each direction.
            segment: mel frames over which it runs; a multiple of 4.

        Raises:
            ConfigError: fewer than 10 mel bands; a wrong segment; see `input_norm`.
        """
        if n_mels < 10:
            raise ConfigError(f"clstm: n_mels must be 10 at least, got {n_mels}")
        super().__init__(4, segment=segment, centre=1.5, input_mean=input_mean, input_std=input_std)
        self.dim = outputs
        self.conv1 = nn.Conv2d(1, filters, (9, 9), padding=4)
        self.norm1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, (4, 3), padding=(0, 1))
        self.norm2 = nn.BatchNorm2d(filters)
        self.lstm = nn.LSTM((n_mels // 2 - 3) // 2 * filters, hidden, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * hidden, outputs)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def network(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.norm1(self.conv1(x)), 2))
        x = F.relu(F.max_pool2d(self.norm2(self.conv2(x)), 2))
        heard, _ = self.lstm(x.permute(0, 3, 2, 1).flatten(2))  # of (B, T // 4, frequencies * filters)
        return F.relu(self.fc(heard))
