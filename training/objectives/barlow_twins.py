"""Barlow Twins: features of two views correlate with themselves, not with others (Zbontar et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from selfie_hear.encoders import Encoder
from training.heads import mlp
from training.losses.redundancy import cross_correlation, off_diagonal, on_diagonal
from training.objectives.options import at_least
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class BarlowTwinsConfig:
    redundancy_weight: float = 0.005  # lambda
    head_hidden: int = 8192
    head_outputs: int = 8192

    def __post_init__(self) -> None:
        at_least(self, 0, "redundancy_weight")
        at_least(self, 1, "head_hidden", "head_outputs")


class BarlowTwins(Projected):
    """One network for both views; the correlations are those over the rows of all processes."""

    options = BarlowTwinsConfig
    paper = "Zbontar et al.: *Barlow Twins: self-supervised learning via redundancy reduction*"

    def __init__(self, encoder: Encoder, config: BarlowTwinsConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs, layers=3)
        super().__init__(encoder, projector, config, clips, ranks)
        self.redundancy_weight = config.redundancy_weight

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        correlation = cross_correlation(rows.first, rows.second)
        invariance, redundancy = on_diagonal(correlation), off_diagonal(correlation)
        loss = invariance + self.redundancy_weight * redundancy
        return {"loss": loss, "invariance_loss": invariance, "redundancy_loss": redundancy}
