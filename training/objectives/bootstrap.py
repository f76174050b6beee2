"""A network that predicts the projections of its own moving average: what BYOL, SELFIE and Hybrid BYOL-S share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from selfie_hear.pooling import mean_max
from training.ema import make_target, update_target
from training.heads import mlp
from training.losses.contrastive import unit
from training.objectives.base import Objective, Views
from training.objectives.options import at_least, share
from training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class BootstrapConfig:
    decay: float = 0.99  # of the target's moving average
    head_hidden: int = 4096
    head_outputs: int = 256

    def __post_init__(self) -> None:
        share(self, "decay")
        at_least(self, 1, "head_hidden", "head_outputs")


class Direction(NamedTuple):
    """What the networks make of one view and of the other; rows of this process."""

    prediction: Tensor  # (B, d): of the online network for the one view
    projection: Tensor  # (B, d): of the target network for the other
    targets: Tensor  # (B, D): of the crop that the one view shows


class Bootstrap(Objective):
    """Online network (encoder, projector, predictor) that predicts the projections of a slowly moving target network.

    Both views go through both networks and the two directions are averaged (the papers on BYOL add them up, which is
    the same to Adam). The losses are those of the rows of all processes.
    """

    def __init__(self, encoder: Encoder, config: BootstrapConfig, clips: int, ranks: Ranks) -> None:
        super().__init__(encoder, config, clips, ranks)
        self.decay, self.ranks = config.decay, ranks
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs)
        self.online = nn.ModuleDict({"encoder": encoder, "projector": projector})
        self.predictor = mlp(config.head_outputs, config.head_hidden, config.head_outputs)
        self.target = make_target(self.online)

    @abstractmethod
    def terms(self, way: Direction) -> dict[str, Tensor]:
        """Loss terms of one direction, outside of autocast."""

    @abstractmethod
    def weights(self) -> dict[str, float]:
        """What each term counts in the loss."""

    def forward(self, views: Views) -> dict[str, Tensor]:
        embedding, ahead = self._direction(views.first, views.second, views.targets[0])
        _, back = self._direction(views.second, views.first, views.targets[-1])
        terms = {name: (ahead[name] + back[name]) / 2 for name in ahead}
        loss = cast(Tensor, sum(weight * terms[name] for name, weight in self.weights().items()))
        return {"loss": loss, **terms, "embedding": embedding.detach()}

    def _direction(self, view: Tensor, other: Tensor, targets: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        embedding = mean_max([self.online["encoder"](view)])
        prediction = self.predictor(self.online["projector"](embedding))
        with torch.no_grad():
            theirs = cast(nn.ModuleDict, self.target)
            projection = theirs["projector"](mean_max([theirs["encoder"](other)]))
        with torch.autocast(prediction.device.type, enabled=False):  # the losses stay in float32
            return embedding, self.terms(Direction(prediction, projection, targets))

    def unit(self, rows: Tensor) -> Tensor:
        """The rows of all processes, of unit length, in float32 at least."""
        return self.ranks.gather(unit(rows))

    def after_step(self) -> None:
        update_target(self.target, self.online, self.decay)

    def watched(self) -> dict[str, float]:
        return {"ema_decay": self.decay}

    def encoders(self) -> dict[str, Encoder]:
        target = cast(nn.ModuleDict, self.target)
        return {"online": cast(Encoder, self.online["encoder"]), "target": cast(Encoder, target["encoder"])}
