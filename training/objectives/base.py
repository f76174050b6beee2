"""What every method promises to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from torch import Tensor, nn

from selfie_hear.config import ConfigError, ModelConfig
from selfie_hear.encoders import Encoder
from selfie_hear.pretrained import load_release, read_config


class Objective(nn.Module, ABC):
    """Networks that learn, what they learn from two views of a batch, and which encoders they leave.

    Under several processes each gives its own rows of the views, and gets the loss over the rows of all of them.
    """

    @abstractmethod
    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        """Loss terms of two views `(B, 1, F, T)` of a batch: `loss` to minimise, its parts, `embedding` to watch."""

    @abstractmethod
    def after_step(self) -> None:
        """What follows an optimiser step."""

    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders to release, by branch: `online`, and `target` where the method has one."""

    def adopt(self, release: Path, model: ModelConfig) -> None:
        """Start from the encoders of a release folder; the heads stay as they are.

        Raises:
            ConfigError: its model is not `model`.
            ReleaseError: it has not all branches, or is damaged.
        """
        theirs = read_config(release).model
        if theirs != model:
            raise ConfigError(f"--init {release}: its model is not the recipe's; it is {theirs}, the recipe's {model}")
        released = {branch: load_release(release, branch).encoder for branch in self.encoders()}
        for branch, encoder in self.encoders().items():
            encoder.load_state_dict(released[branch].state_dict())
