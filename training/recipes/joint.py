"""Methods of two equal networks without negatives: stop gradient, redundancy reduction, clustering."""

from __future__ import annotations

from typing import Any

from training.config import TrainConfig
from training.corpus.crops import SamplingConfig
from training.recipes.base import Recipe

SURVEY = "Liu et al. (survey)"


def _recipe(name: str, source: str, summary: str, **options: Any) -> Recipe:
    config = TrainConfig(
        recipe=name, objective=name, objective_options=options, sampling=SamplingConfig(by="clip"), learning_rate=3e-4
    )
    return Recipe(config, f"{SURVEY}; after {source}", "AudioSet", f"{summary}, with SELFIE's views")


RECIPES = [
    _recipe("simsiam", "Chen, He", "a network predicts its own projection of the other view"),
    _recipe("barlow_twins", "Zbontar et al.", "features of both views correlate with themselves alone"),
    _recipe("vicreg", "Bardes et al.", "invariance, variance and covariance of both views"),
    _recipe("swav", "Caron et al.", "the prototypes of one view are predicted from the other"),
]
