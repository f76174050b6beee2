"""How an encoder normalises the log-mel that it is given."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError


class FixedNorm(nn.Module):
    """One mean and one standard deviation for all bands, found beforehand and never changed (BYOL-A's pre-norm)."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, mel: Tensor) -> Tensor:
        return (mel - self.mean) / self.std


def input_norm(mean: float | None, std: float | None) -> nn.Module:
    """BatchNorm, which gathers its statistics in training (SELFIE); with `mean` and `std`, in log-mel units, these.

    Raises:
        ConfigError: only one of them, or no positive deviation.
    """
    if mean is None and std is None:
        return nn.BatchNorm2d(1)
    if mean is None or std is None or not std > 0:
        raise ConfigError(
            "input_mean and input_std: expected both, and a deviation above 0, or neither (BatchNorm); "
            f"got {mean} and {std}"
        )
    return FixedNorm(float(mean), float(std))
