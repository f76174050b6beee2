"""SimCLR: each view finds the other view of its clip among the views of all clips (Chen et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from selfie_hear.encoders import Encoder
from training.heads import mlp
from training.losses.contrastive import accuracy, across_views, info_nce, unit
from training.objectives.options import at_least, positive
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class SimclrConfig:
    temperature: float = 0.1
    head_hidden: int = 2048
    head_outputs: int = 128

    def __post_init__(self) -> None:
        positive(self, "temperature")
        at_least(self, 1, "head_hidden", "head_outputs")


class Simclr(Projected):
    """NT-Xent over the 2n views of the batch: both directions, and views of the same side are negatives, too."""

    options = SimclrConfig
    paper = "Chen et al.: *A simple framework for contrastive learning of visual representations*"

    def __init__(self, encoder: Encoder, config: SimclrConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs)
        super().__init__(encoder, projector, config, clips, ranks)
        self.temperature = config.temperature

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        candidates = across_views(unit(rows.first), unit(rows.second), rows.clips, self.temperature)
        loss = info_nce(candidates)
        return {"loss": loss, "contrastive_loss": loss, "accuracy": accuracy(candidates)}
