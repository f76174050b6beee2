"""Checks that the options of several methods share."""

from __future__ import annotations

from typing import Any

from selfie_hear.config import ConfigError


def at_least(options: Any, least: int, *names: str) -> None:
    """
    Raises:
        ConfigError: one of these options is less than that.
    """
    for name in names:
        if getattr(options, name) < least:
            raise ConfigError(f"objective_options.{name}: must be at least {least}, got {getattr(options, name)}")


def positive(options: Any, *names: str) -> None:
    """
    Raises:
        ConfigError: one of these options is not above 0.
    """
    for name in names:
        if not getattr(options, name) > 0:
            raise ConfigError(f"objective_options.{name}: must be positive, got {getattr(options, name)}")


def share(options: Any, *names: str) -> None:
    """
    Raises:
        ConfigError: one of these options is outside [0, 1].
    """
    for name in names:
        if not 0 <= getattr(options, name) <= 1:
            raise ConfigError(f"objective_options.{name}: must be in [0, 1], got {getattr(options, name)}")
