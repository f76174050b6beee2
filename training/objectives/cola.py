"""COLA: which of the other crops is of the same clip, by a bilinear similarity (Saeed et al.; Emami et al.)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from training.heads import tanh_layer
from training.losses.contrastive import accuracy, bilinear, info_nce
from training.objectives.options import at_least
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class ColaConfig:
    head_outputs: int = 512
    layer_norm: bool = True  # before tanh, as COLA's own head has it; Emami et al. do not name it

    def __post_init__(self) -> None:
        at_least(self, 1, "head_outputs")


class Cola(Projected):
    """Two crops of one clip (`sampling.crops_per_clip=2`) are the pair, the crops of all other clips are negatives.

    The first view is the anchor and is told from all second ones, as the papers have it: one direction only. W begins
    as `nn.Bilinear` does; the papers do not say.
    """

    options = ColaConfig
    paper = "Saeed, Grangier, Zeghidour: *Contrastive learning of general-purpose audio representations*"

    def __init__(self, encoder: Encoder, config: ColaConfig, clips: int, ranks: Ranks) -> None:
        projector = tanh_layer(encoder.dim, config.head_outputs, config.layer_norm)
        super().__init__(encoder, projector, config, clips, ranks)
        self.similarity = nn.Linear(config.head_outputs, config.head_outputs, bias=False)

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        candidates = bilinear(rows.first, rows.second, self.similarity.weight, rows.clips)
        loss = info_nce(candidates)
        return {"loss": loss, "contrastive_loss": loss, "accuracy": accuracy(candidates)}
