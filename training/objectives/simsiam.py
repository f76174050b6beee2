"""SimSiam: a network predicts its own projection of the other view, without a moving average (Chen, He 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from selfie_hear.pooling import mean_max
from training.heads import mlp
from training.losses.contrastive import widened
from training.losses.prediction import negative_cosine
from training.objectives.options import at_least
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class SimsiamConfig:
    head_hidden: int = 2048
    head_outputs: int = 2048
    predictor_hidden: int = 512  # a bottleneck

    def __post_init__(self) -> None:
        at_least(self, 1, "head_hidden", "head_outputs", "predictor_hidden")


class Simsiam(Projected):
    """Stop gradient and predictor are all that keeps it from collapse; both directions are averaged.

    Liu et al. say in their survey that it has no projector; Chen and He count theirs, of three layers, to the encoder,
    and end it in a BatchNorm that learns no weights. Here it is the projector: the embedding is what goes into it.
    """

    options = SimsiamConfig
    paper = "Chen, He: *Exploring simple Siamese representation learning*"

    def __init__(self, encoder: Encoder, config: SimsiamConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs, layers=3)
        # Its weights stay 1 and 0: a BatchNorm over several processes must have some.
        projector.append(nn.BatchNorm1d(config.head_outputs).requires_grad_(False))
        super().__init__(encoder, projector, config, clips, ranks)
        self.predictor = mlp(config.head_outputs, config.predictor_hidden, config.head_outputs)

    def project(self, network: nn.Module, view: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `(B, D)`, and projections beside predictions `(n, 2d)` of the rows of all processes."""
        parts = cast(nn.ModuleDict, network)
        embedding = mean_max([parts["encoder"](view)])
        projection = parts["projector"](embedding)
        both = torch.cat([widened(projection), widened(self.predictor(projection))], dim=1)
        return embedding, self.ranks.gather(both)

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        (projection, prediction), (other, other_prediction) = (view.chunk(2, dim=1) for view in rows[:2])
        loss = (negative_cosine(prediction, other) + negative_cosine(other_prediction, projection)) / 2
        return {"loss": loss, "cosine_loss": loss}
