"""Self-supervised methods: networks and losses of each; an explicit table of names."""

from __future__ import annotations

from training.objectives.base import Objective
from training.objectives.selfie import Selfie, SelfieConfig

OBJECTIVES: dict[str, type[Objective]] = {"selfie": Selfie}

__all__ = ["OBJECTIVES", "Objective", "Selfie", "SelfieConfig"]
