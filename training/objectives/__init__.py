"""Self-supervised methods: networks and losses of each; an explicit table of names."""

from __future__ import annotations

import torch

from selfie_hear.config import ConfigError, from_dict
from selfie_hear.encoders import build_encoder
from training.config import TrainConfig
from training.objectives.base import Objective
from training.objectives.selfie import Selfie, SelfieConfig
from training.ranks import ALONE, Ranks

OBJECTIVES: dict[str, type[Objective]] = {"selfie": Selfie}

__all__ = ["OBJECTIVES", "Objective", "Selfie", "SelfieConfig", "build_objective"]


def build_objective(config: TrainConfig, ranks: Ranks = ALONE) -> Objective:
    """The networks of a run, initialised from its seed.

    Raises:
        ConfigError: an unknown objective or option; the message lists the known ones.
    """
    if config.objective not in OBJECTIVES:
        raise ConfigError(f"objective {config.objective!r} is unknown; known are {', '.join(OBJECTIVES)}")
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.model.encoder, config.model.front_end.n_mels)
    options = from_dict(SelfieConfig, config.objective_options, "objective_options")
    return OBJECTIVES[config.objective](encoder, options, ranks)
