"""Typed, frozen descriptions of a model and of a release; an unknown or missing key is an error."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

FORMAT_VERSION = 1  # of release folders
LOUDEST = 100.0  # peak of audio in [-1, 1] gone 40 dB over: louder is not audio but integers that nobody scaled

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key, the value and what is accepted."""


class InputError(ValueError):
    """Audio that cannot be embedded; the message says which clip, what is wrong and what is accepted."""


class MissingExtraError(ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


@dataclass(frozen=True)
class FrontEndConfig:
    """Waveform to log-mel (SELFIE section 2.2; Slaney mel scale and area norm)."""

    sample_rate: int = 16000  # Hz
    n_fft: int = 1024  # samples
    win_length: int = 1024  # samples: 64 ms
    hop_length: int = 160  # samples: 10 ms
    n_mels: int = 64
    f_min: float = 60.0  # Hz
    f_max: float = 7800.0  # Hz
    log_offset: float = 1e-7  # added to the mel power before the logarithm; above 16-bit quantisation noise


@dataclass(frozen=True)
class EncoderConfig:
    """Which encoder of `selfie_hear.encoders.ENCODERS`, and its constructor arguments."""

    name: str = "audio_ntt"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelConfig:
    """Everything that is needed to build an `Embedder`."""

    front_end: FrontEndConfig = FrontEndConfig()
    encoder: EncoderConfig = EncoderConfig()
    timestamp_window_ms: float = 200.0  # length of the window that a timestamp embedding pools over
    scene_pooling: str = "mean_max"  # or "mean_max_moment", see Embedder


@dataclass(frozen=True)
class ReleaseConfig:
    """`config.json` of a release folder."""

    format_version: int
    name: str
    summary: str
    licence: str  # SPDX identifier of the weights
    data: str  # what it was trained on, in one line
    model: ModelConfig
    training: Mapping[str, Any]  # the run's configuration and counters, for the record
    sha256: Mapping[str, str]  # file name -> digest of the weight files


def from_dict(cls: type[T], values: Any, where: str = "config") -> T:
    """Build the dataclass `cls` from plain JSON values.

    Raises:
        ConfigError: not an object, an unknown key, a missing key or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where}: expected an object with keys, got {type(values).__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(map(repr, unknown))}; known keys are {', '.join(fields)}")
    required = {
        n for n, f in fields.items() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    missing = sorted(required - set(values))
    if missing:
        raise ConfigError(f"{where}: missing key {', '.join(map(repr, missing))}")
    hints = typing.get_type_hints(cls)
    return cls(**{key: _coerce(hints[key], value, f"{where}.{key}") for key, value in values.items()})


def to_dict(config: Any) -> dict[str, Any]:
    """Plain JSON values of a configuration dataclass (the inverse of `from_dict`)."""
    return {
        f.name: to_dict(value) if dataclasses.is_dataclass(value) else _plain(value)
        for f in dataclasses.fields(config)
        for value in [getattr(config, f.name)]
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _coerce(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return value if isinstance(value, typing.cast(type, kind)) else from_dict(typing.cast(type, kind), value, where)
    if origin in (typing.Union, types.UnionType):  # only "X | None" is used
        inner = [arm for arm in typing.get_args(kind) if arm is not type(None)]
        return None if value is None else _coerce(inner[0], value, where)
    if origin is tuple:
        arms = typing.get_args(kind)
        if not isinstance(value, list | tuple) or len(value) != len(arms):
            raise ConfigError(f"{where}: expected a list of {len(arms)} values, got {value!r}")
        return tuple(_coerce(arm, item, f"{where}[{i}]") for i, (arm, item) in enumerate(zip(arms, value, strict=True)))
    if origin is not None:  # Mapping[str, ...]
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where}: expected an object with keys, got {value!r}")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Any or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    raise ConfigError(f"{where}: expected {kind.__name__}, got {value!r}")
