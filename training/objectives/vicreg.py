"""VICReg: views alike, features that vary and do not covary (Bardes, Ponce, LeCun 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from selfie_hear.encoders import Encoder
from training.heads import mlp
from training.losses.redundancy import covariance, invariance, variance
from training.objectives.options import at_least
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class VicregConfig:
    invariance_weight: float = 25.0
    variance_weight: float = 25.0
    covariance_weight: float = 1.0
    head_hidden: int = 8192
    head_outputs: int = 8192

    def __post_init__(self) -> None:
        at_least(self, 0, "invariance_weight", "variance_weight", "covariance_weight")
        at_least(self, 1, "head_hidden", "head_outputs")


class Vicreg(Projected):
    """One network for both views, whose projections are not normalised; the terms are over the rows of all processes.

    The variance and covariance terms of the two views are added up.
    """

    options = VicregConfig
    paper = "Bardes, Ponce, LeCun: *VICReg: variance-invariance-covariance regularization for self-supervised learning*"

    def __init__(self, encoder: Encoder, config: VicregConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs, layers=3)
        super().__init__(encoder, projector, config, clips, ranks)
        self.config = config

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        terms = {
            "invariance_loss": invariance(rows.first, rows.second),
            "variance_loss": variance(rows.first) + variance(rows.second),
            "covariance_loss": covariance(rows.first) + covariance(rows.second),
        }
        loss = (
            self.config.invariance_weight * terms["invariance_loss"]
            + self.config.variance_weight * terms["variance_loss"]
            + self.config.covariance_weight * terms["covariance_loss"]
        )
        return {"loss": loss, **terms}
