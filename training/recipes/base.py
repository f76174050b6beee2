"""What a recipe is: a configuration, and where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from training.config import TrainConfig


@dataclass(frozen=True)
class Recipe:
    """A named configuration.

    Attributes:
        config: what is trained.
        source: the paper and the place in it.
        data: what the paper trained on.
        summary: what it is, in one line.
    """

    config: TrainConfig
    source: str
    data: str
    summary: str

    @property
    def name(self) -> str:
        return self.config.recipe

    def derive(self, name: str, summary: str, *, source: str = "", data: str = "", **changes: Any) -> Recipe:
        """Another recipe, by what differs. A mapping given for a dataclass changes those of its fields."""
        values = {
            key: replace(getattr(self.config, key), **value) if _is_part(self.config, key, value) else value
            for key, value in changes.items()
        }
        config = replace(self.config, recipe=name, **values)
        return Recipe(config, source or self.source, data or self.data, summary)


def _is_part(config: TrainConfig, key: str, value: Any) -> bool:
    return isinstance(value, Mapping) and hasattr(getattr(config, key), "__dataclass_fields__")
