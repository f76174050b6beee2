"""What every method promises to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from selfie_hear.encoders import Encoder


class Objective(nn.Module, ABC):
    """Networks that learn, what they learn from two views of a batch, and which encoders they leave."""

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Loss terms of two views `(B, 1, F, T)` of a batch: `loss` to minimise, its parts, `embedding` to watch."""

    @abstractmethod
    def after_step(self) -> None:
        """What follows an optimiser step."""

    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders to release, by branch: `online`, and `target` where the method has one."""
