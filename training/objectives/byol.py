"""BYOL: a network predicts the projections of its own moving average (Grill et al.; BYOL-A and BYOL-S for sound)."""

from __future__ import annotations

from torch import Tensor

from training.losses.selfie import alignment
from training.objectives.bootstrap import Bootstrap, BootstrapConfig, Direction


class Byol(Bootstrap):
    """Alignment alone: the squared distance of unit vectors, 2 - 2 cos (survey of Liu et al., Eq. 8)."""

    options = BootstrapConfig
    paper = "Grill et al.: *Bootstrap your own latent*, for audio Niizumi et al.: *BYOL for audio*"

    def terms(self, way: Direction) -> dict[str, Tensor]:
        return {"align_loss": alignment(self.unit(way.prediction), self.unit(way.projection))}

    def weights(self) -> dict[str, float]:
        return {"align_loss": 1.0}
