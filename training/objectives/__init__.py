"""Self-supervised methods: networks and losses of each; an explicit table of names."""

from __future__ import annotations

import torch

from selfie_hear.config import ConfigError, from_dict
from selfie_hear.encoders import build_encoder
from training.config import TrainConfig
from training.objectives.barlow_twins import BarlowTwins
from training.objectives.base import Objective, Views
from training.objectives.byol import Byol
from training.objectives.cola import Cola
from training.objectives.hybrid import Hybrid
from training.objectives.moco import Moco
from training.objectives.npid import Npid
from training.objectives.selfie import Selfie, SelfieConfig
from training.objectives.simclr import Simclr
from training.objectives.simsiam import Simsiam
from training.objectives.swav import Swav
from training.objectives.vicreg import Vicreg
from training.ranks import ALONE, Ranks

OBJECTIVES: dict[str, type[Objective]] = {
    "selfie": Selfie,
    "byol": Byol,
    "hybrid": Hybrid,
    "cola": Cola,
    "simclr": Simclr,
    "moco": Moco,
    "npid": Npid,
    "simsiam": Simsiam,
    "barlow_twins": BarlowTwins,
    "vicreg": Vicreg,
    "swav": Swav,
}

__all__ = ["OBJECTIVES", "Objective", "Selfie", "SelfieConfig", "Views", "build_objective"]


def build_objective(config: TrainConfig, clips: int, ranks: Ranks = ALONE) -> Objective:
    """The networks of a run, initialised from its seed.

    Args:
        clips: in the pack that it trains on.

    Raises:
        ConfigError: an unknown objective or option; the message lists the known ones.
    """
    if config.objective not in OBJECTIVES:
        raise ConfigError(f"objective {config.objective!r} is unknown; known are {', '.join(OBJECTIVES)}")
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.model.encoder, config.model.front_end.n_mels)
    kind = OBJECTIVES[config.objective]
    options = from_dict(kind.options, config.objective_options, "objective_options")
    return kind(encoder, options, clips, ranks)
