"""Recipes: named training configurations, each with where it is from; one derives from another by what differs."""

from __future__ import annotations

from selfie_hear.config import ConfigError
from training.config import TrainConfig
from training.recipes import byol, contrastive, joint, selfie
from training.recipes.base import Recipe

_ALL = [
    selfie.SELFIE,
    selfie.THREEPATH,
    selfie.OPEN10H,
    selfie.TINY,
    *selfie.ABLATIONS,
    *byol.RECIPES,
    *contrastive.RECIPES,
    *joint.RECIPES,
]
RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in _ALL}

__all__ = ["RECIPES", "Recipe", "get_recipe"]


def get_recipe(name: str) -> TrainConfig:
    """The configuration of the recipe of that name.

    Raises:
        ConfigError: unknown; the message lists the known ones.
    """
    if name not in RECIPES:
        raise ConfigError(f"recipe {name!r} is unknown; known recipes are {', '.join(RECIPES)}")
    return RECIPES[name].config
