"""Recipes: named training configurations; each a function, and one may derive from another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from selfie_hear.config import ConfigError, EncoderConfig, FrontEndConfig, ModelConfig
from training.config import TrainConfig
from training.corpus.crops import SamplingConfig


def selfie() -> TrainConfig:
    """The paper's values: Adam 1e-4, batch 512, tau 0.995; one crop of each clip is an epoch, and it trains 100."""
    return TrainConfig(recipe="selfie", objective_options={"decay": 0.995}, sampling=SamplingConfig(by="clip"))


def selfie_open10h() -> TrainConfig:
    """SELFIE's own encoder in the few steps that two CPU cores manage in an hour."""
    return replace(
        selfie(),
        recipe="selfie_open10h",
        sampling=SamplingConfig(by="duration"),
        batch=128,
        steps=1200,
        learning_rate=5e-4,
        schedule="cosine",
        warmup_steps=50,
        checkpoint_every=100,
    )


def selfie3_open10h() -> TrainConfig:
    """What the default weights were trained with: an encoder of three spectrograms, an hour on one CPU core."""
    return replace(
        selfie_open10h(),
        recipe="selfie3_open10h",
        model=ModelConfig(encoder=EncoderConfig("three_path_ntt"), scene_pooling="mean_max_moment"),
        objective_options={"decay": 0.99},
        steps=400,
        warmup_steps=40,
    )


def tiny() -> TrainConfig:
    """A network of a few thousand values that trains in seconds, for tests and for trying things out."""
    return replace(
        selfie(),
        recipe="tiny",
        sampling=SamplingConfig(by="duration"),
        model=ModelConfig(
            front_end=FrontEndConfig(n_mels=16),
            encoder=EncoderConfig(options={"channels": 4, "hidden": 16}),
        ),
        objective_options={"decay": 0.9, "head_hidden": 32, "head_outputs": 8},
        batch=8,
        steps=20,
        learning_rate=1e-3,
        precision="fp32",
        log_every=1,
        checkpoint_every=5,
    )


RECIPES: dict[str, Callable[[], TrainConfig]] = {
    recipe.__name__: recipe for recipe in (selfie, selfie_open10h, selfie3_open10h, tiny)
}


def get_recipe(name: str) -> TrainConfig:
    """The recipe of that name.

    Raises:
        ConfigError: unknown; the message lists the known ones.
    """
    if name not in RECIPES:
        raise ConfigError(f"recipe {name!r} is unknown; known recipes are {', '.join(RECIPES)}")
    return RECIPES[name]()
