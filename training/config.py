"""A training run as typed values, and `--set key=value` on top of a recipe."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfie_hear.config import ConfigError, ModelConfig, from_dict, to_dict
from training.augment.config import AugmentConfig
from training.corpus.crops import SamplingConfig

WATCHING = frozenset(["log_every", "checkpoint_every", "keep_checkpoints"])  # may change when a run is resumed
FIXED = ("recipe", "init")  # said by the command itself


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run computes, except its data."""

    recipe: str
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    objective: str = "selfie"
    objective_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    augment: AugmentConfig = dataclasses.field(default_factory=AugmentConfig)
    second_view: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what of `augment` it has otherwise
    sampling: SamplingConfig = dataclasses.field(default_factory=SamplingConfig)
    crop_seconds: float = 0.95
    batch: int = 512  # of all processes together
    accumulate: int = 1  # parts that a batch goes through in; losses and BatchNorm see one part at a time
    steps: int = 100_000
    learning_rate: float = 1e-4
    schedule: str = "constant"  # or "cosine": down to zero at the last step
    warmup_steps: int = 0
    precision: str = "auto"  # "bf16", "fp32", or "auto": bf16 where the device multiplies bf16 matrices in hardware
    seed: int = 0
    init: str = ""  # the release that the encoders started from
    log_every: int = 10  # steps
    checkpoint_every: int = 200  # steps
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        _accept("schedule", self.schedule, ("constant", "cosine"))
        _accept("precision", self.precision, ("auto", "bf16", "fp32"))
        for name in ("batch", "accumulate", "steps", "log_every", "checkpoint_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: must be at least 1, got {getattr(self, name)}")
        if self.batch % self.accumulate or self.batch // self.accumulate < 2:
            raise ConfigError(
                f"batch: must be a multiple of accumulate and at least twice that, as the losses are statistics over "
                f"a part of the batch; got {self.batch} and {self.accumulate}"
            )
        for name in ("seed", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: must not be negative, got {getattr(self, name)}")
        if self.learning_rate <= 0:
            raise ConfigError(f"learning_rate: must be positive, got {self.learning_rate}")
        if self.crop_samples < 8 * self.model.front_end.hop_length:
            raise ConfigError(f"crop_seconds: must be at least 8 mel frames, got {self.crop_seconds} s")
        self.augment_second  # noqa: B018 - checks it

    @property
    def augment_second(self) -> AugmentConfig:
        """The augmentation of the second view."""
        return from_dict(AugmentConfig, {**to_dict(self.augment), **self.second_view}, "second_view")

    @property
    def crop_samples(self) -> int:
        return round(self.crop_seconds * self.model.front_end.sample_rate)


def _accept(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigError(f"{name}: {value!r} is unknown; known are {', '.join(known)}")


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """Apply settings such as `batch=64` or `model.front_end.n_mels=32`; values are Python literals or plain words.

    Raises:
        ConfigError: not `key=value`, an unknown key (the message lists the known ones) or a value of another type.
    """
    values = to_dict(config)
    fixed = {name: values.pop(name) for name in FIXED}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting!r}: expected key=value")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        *parents, leaf = key.split(".")
        place: Any = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        free = bool(parents) and parents[-1] in ("options", "objective_options", "second_view", "weights")
        if not isinstance(place, dict) or (leaf not in place and not free):
            raise ConfigError(f"--set: unknown key {key!r}; known keys are {', '.join(_keys(values))}")
        place[leaf] = value
    return from_dict(TrainConfig, {**fixed, **values}, "--set")


def _keys(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, value in values.items():
        keys += _keys(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else [prefix + name]
    return keys
