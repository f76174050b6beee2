"""What every method promises to the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError, ModelConfig
from selfie_hear.encoders import Encoder
from selfie_hear.pretrained import branches_of, load_release, read_config
from training.ranks import Ranks


class Views(NamedTuple):
    """Two views of a batch, and where they are from."""

    first: Tensor  # (B, 1, F, T)
    second: Tensor  # (B, 1, F, T)
    clips: Tensor  # (B,): number of the clip in the pack
    targets: Tensor = torch.empty(1, 0, 0)  # (1 or 2, B, D): of the crop that each view shows; D is 0 without a table


class Objective(nn.Module, ABC):
    """Networks that learn, what they learn from two views of a batch, and which encoders they leave.

    Under several processes each gives its own rows of the views, and gets the loss over the rows of all of them.

    Attributes:
        options: dataclass of its `objective_options`.
        paper: whose method it is.
        target_size: values of the targets that it learns from; 0 where it needs none.
    """

    options: ClassVar[type[Any]]
    paper: ClassVar[str]
    target_size: int = 0

    @abstractmethod
    def __init__(self, encoder: Encoder, config: Any, clips: int, ranks: Ranks) -> None:
        """
        Args:
            encoder: the one to train.
            config: of type `options`.
            clips: in the pack.
            ranks: the processes that train together.
        """
        super().__init__()

    @abstractmethod
    def forward(self, views: Views) -> dict[str, Tensor]:
        """Loss terms of two views of a batch: `loss` to minimise, its parts, and `embedding` `(B, D)` to watch."""

    def after_step(self) -> None:
        """What follows an optimiser step; nothing, where a method does not say."""

    def watched(self) -> dict[str, float]:
        """What else to write down beside the loss terms, by name."""
        return {}

    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders to release, by branch: `online`, and `target` where the method has one."""

    def adopt(self, release: Path, model: ModelConfig) -> None:
        """Start from the encoders of a release folder; the heads stay as they are.

        Where a release has no target encoder, the target starts as a copy of the online one.

        Raises:
            ConfigError: its model is not `model`.
            ReleaseError: it is damaged.
        """
        theirs = read_config(release).model
        if theirs != model:
            raise ConfigError(f"--init {release}: its model is not the recipe's; it is {theirs}, the recipe's {model}")
        have = branches_of(release)
        released = {b: load_release(release, b if b in have else "online").encoder for b in self.encoders()}
        for branch, encoder in self.encoders().items():
            encoder.load_state_dict(released[branch].state_dict())
