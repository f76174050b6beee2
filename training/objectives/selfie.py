"""SELFIE: bootstrap alignment, made diverse and decorrelated (Nguyen, Uhlich, Cardinaux)."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from selfie_hear.encoders import Encoder
from training.losses.selfie import alignment, decorrelation, diversity
from training.objectives.bootstrap import Bootstrap, BootstrapConfig, Direction
from training.ranks import Ranks


@dataclass(frozen=True)
class SelfieConfig(BootstrapConfig):
    diversity_weight: float = 1.0
    decorrelation_weight: float = 1.0
    decay: float = field(default=0.995, kw_only=True)  # of the target's moving average


class Selfie(Bootstrap):
    """BYOL with two more terms, which are statistics over the clips of all processes."""

    options = SelfieConfig
    paper = (
        "Nguyen, Uhlich, Cardinaux: *Improving self-supervised learning for audio representations by "
        "feature diversity and decorrelation*"
    )

    def __init__(self, encoder: Encoder, config: SelfieConfig, clips: int, ranks: Ranks) -> None:
        super().__init__(encoder, config, clips, ranks)
        self.config = config

    def terms(self, way: Direction) -> dict[str, Tensor]:
        prediction = self.unit(way.prediction)
        return {
            "align_loss": alignment(prediction, self.unit(way.projection)),
            "diversity_loss": diversity(prediction),
            "decorrelation_loss": decorrelation(prediction),
        }

    def weights(self) -> dict[str, float]:
        return {
            "align_loss": 1.0,
            "diversity_loss": self.config.diversity_weight,
            "decorrelation_loss": self.config.decorrelation_weight,
        }
