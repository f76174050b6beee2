"""SwAV: each view predicts to which prototypes the other view is assigned (Caron et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from training.heads import mlp
from training.losses.contrastive import unit
from training.losses.swapped import swapped_prediction
from training.objectives.options import at_least, positive
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class SwavConfig:
    prototypes: int = 256  # not many more than there are clips in a batch, which they share evenly
    temperature: float = 0.1
    epsilon: float = 0.05  # smoothness of the assignments
    iterations: int = 3  # of Sinkhorn-Knopp
    frozen_steps: int = 0  # in which the prototypes do not move: SwAV's first epoch
    head_hidden: int = 2048
    head_outputs: int = 128

    def __post_init__(self) -> None:
        positive(self, "temperature", "epsilon")
        at_least(self, 1, "prototypes", "iterations", "head_hidden", "head_outputs")
        at_least(self, 0, "frozen_steps")


class Swav(Projected):
    """Rows and prototypes of unit length; the assignments share the batch of all processes among the prototypes.

    SwAV's queue of earlier rows, for batches smaller than the number of prototypes, is not there.
    """

    options = SwavConfig
    paper = "Caron et al.: *Unsupervised learning of visual features by contrasting cluster assignments*"

    steps: Tensor  # scalar: so far

    def __init__(self, encoder: Encoder, config: SwavConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs)
        super().__init__(encoder, projector, config, clips, ranks)
        self.config = config
        self.prototypes = nn.Parameter(unit(torch.randn(config.prototypes, config.head_outputs)))
        self.register_buffer("steps", torch.tensor(0))

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        config = self.config
        frozen = self.steps < config.frozen_steps
        prototypes = torch.where(frozen, self.prototypes.detach(), self.prototypes)  # a zero gradient, rather than none
        first, second = (unit(view) @ prototypes.T for view in (rows.first, rows.second))
        loss = swapped_prediction(first, second, config.temperature, config.epsilon, config.iterations)
        nearest, other = first.argmax(1), second.argmax(1)
        used = first.new_zeros(config.prototypes).index_fill(0, torch.cat([nearest, other]), 1.0)
        agreement = (nearest == other).to(used.dtype)
        return {
            "loss": loss,
            "swapped_loss": loss,
            "agreement": agreement.mean(),  # of the views on the nearest prototype
            "prototypes_used": used.mean(),  # share that is nearest to any row: low when collapsed
        }

    @torch.no_grad()
    def after_step(self) -> None:
        self.prototypes.copy_(unit(self.prototypes))
        self.steps += 1
