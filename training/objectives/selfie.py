"""SELFIE: bootstrap alignment, made diverse and decorrelated (Nguyen, Uhlich, Cardinaux)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders import Encoder
from selfie_hear.pooling import mean_max
from training.ema import make_target, update_target
from training.heads import mlp
from training.losses import alignment, decorrelation, diversity
from training.objectives.base import Objective
from training.ranks import Ranks


@dataclass(frozen=True)
class SelfieConfig:
    diversity_weight: float = 1.0
    decorrelation_weight: float = 1.0
    decay: float = 0.995  # of the target's moving average
    head_hidden: int = 4096
    head_outputs: int = 256

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ConfigError(f"objective_options.decay: must be in [0, 1], got {self.decay}")


class Selfie(Objective):
    """Online network (encoder, projector, predictor) that predicts the projections of a slowly moving target network.

    Both views go through both networks and the two directions are averaged (BYOL). The losses are those of the rows of
    all processes: the diversity and decorrelation terms are statistics over all of its clips.
    """

    def __init__(self, encoder: Encoder, config: SelfieConfig, ranks: Ranks) -> None:
        super().__init__()
        self.config, self.ranks = config, ranks
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs)
        self.online = nn.ModuleDict({"encoder": encoder, "projector": projector})
        self.predictor = mlp(config.head_outputs, config.head_hidden, config.head_outputs)
        self.target = make_target(self.online)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        embedding, ahead = self._direction(first, second)
        _, back = self._direction(second, first)
        terms = {name: (ahead[name] + back[name]) / 2 for name in ahead}
        loss = (
            terms["align_loss"]
            + self.config.diversity_weight * terms["diversity_loss"]
            + self.config.decorrelation_weight * terms["decorrelation_loss"]
        )
        return {"loss": loss, **terms, "embedding": embedding.detach()}

    def _direction(self, view: Tensor, other: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        embedding = mean_max([self.online["encoder"](view)])
        prediction = self.predictor(self.online["projector"](embedding))
        with torch.no_grad():
            theirs = cast(nn.ModuleDict, self.target)
            target = theirs["projector"](mean_max([theirs["encoder"](other)]))
        with torch.autocast(prediction.device.type, enabled=False):  # the losses stay in float32
            prediction, target = (self.ranks.gather(_unit(rows)) for rows in (prediction, target))
            terms = {
                "align_loss": alignment(prediction, target),
                "diversity_loss": diversity(prediction),
                "decorrelation_loss": decorrelation(prediction),
            }
        return embedding, terms

    def after_step(self) -> None:
        update_target(self.target, self.online, self.config.decay)

    def encoders(self) -> dict[str, Encoder]:
        target = cast(nn.ModuleDict, self.target)
        return {"online": cast(Encoder, self.online["encoder"]), "target": cast(Encoder, target["encoder"])}


def _unit(rows: Tensor) -> Tensor:
    """Rows of unit length, in float32 at least."""
    return F.normalize(rows.to(torch.promote_types(rows.dtype, torch.float32)), dim=1)
