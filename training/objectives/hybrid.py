"""Hybrid BYOL-S: BYOL whose online network also predicts hand-made features of the crop (Elbanna et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from selfie_hear.encoders import Encoder
from training.losses.contrastive import unit, widened
from training.losses.prediction import squared_error
from training.losses.selfie import alignment
from training.objectives.bootstrap import Bootstrap, BootstrapConfig, Direction
from training.objectives.options import at_least
from training.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class HybridConfig(BootstrapConfig):
    supervised_weight: float = 1.0  # alpha
    self_supervised_weight: float = 1.0  # beta
    head_outputs: int = 6373  # those of the targets

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "supervised_weight", "self_supervised_weight")


class Hybrid(Bootstrap):
    """alpha L_sup + beta L_ss (Eq. 1): squared error to openSMILE's ComParE 2016 functionals, and BYOL's alignment.

    The paper (section 2.2) has L_sup between "the outputs of the online and DSP-based networks" and L_ss between "the
    online and target outputs". The online output in the second is the prediction, so it is here in the first, too: what
    the predictor gives, before it is scaled to unit length for the alignment. Heads are as wide as the targets, as in
    the paper.

    It leaves open: whether the targets are standardised (here over the table, as their sizes differ by many orders of
    magnitude); whether the error is a mean or a sum over the values (a mean, as "mean squared error" has it); and
    whether L_ss is the sum or the mean of both directions (both losses are means of both, which leaves their ratio what
    it is with two sums). In its figures alpha : beta = 1 : 1 is best for speech and environmental sound, and worst
    for music.
    """

    options = HybridConfig
    paper = "Elbanna et al.: *BYOL-S: learning self-supervised speech representations by bootstrapping*"

    def __init__(self, encoder: Encoder, config: HybridConfig, clips: int, ranks: Ranks) -> None:
        super().__init__(encoder, config, clips, ranks)
        self.config, self.target_size = config, config.head_outputs

    def terms(self, way: Direction) -> dict[str, Tensor]:
        values, targets = self.ranks.gather(widened(way.prediction)), self.ranks.gather(way.targets)
        return {
            "supervised_loss": squared_error(values, targets.to(values.dtype)),
            "align_loss": alignment(unit(values), self.unit(way.projection)),
        }

    def weights(self) -> dict[str, float]:
        return {
            "supervised_loss": self.config.supervised_weight,
            "align_loss": self.config.self_supervised_weight,
        }
