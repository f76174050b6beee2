"""Configurations from JSON values: what is built, what is refused."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from selfie_hear.config import ConfigError, EncoderConfig, FrontEndConfig, ModelConfig, from_dict, to_dict


@dataclass(frozen=True)
class Sample:
    size: int
    rate: float = 1.0
    pair: tuple[float, float] = (0.0, 1.0)
    name: str | None = None


def test_round_trip() -> None:
    config = ModelConfig(FrontEndConfig(n_mels=32), EncoderConfig(options={"channels": 8}), 250.0)
    assert from_dict(ModelConfig, to_dict(config)) == config


def test_integers_become_floats_and_lists_become_tuples() -> None:
    assert from_dict(Sample, {"size": 1, "rate": 2, "pair": [3, 4], "name": None}) == Sample(1, 2.0, (3.0, 4.0), None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "expected an object with keys, got list"),
        ({}, "missing key 'size'"),
        ({"size": 1, "colour": 2}, "unknown key 'colour'; known keys are size, rate, pair, name"),
        ({"size": "1"}, r"config\.size: expected int, got '1'"),
        ({"size": 1.5}, r"config\.size: expected int, got 1\.5"),
        ({"size": True}, r"config\.size: expected int, got True"),
        ({"size": 1, "rate": "fast"}, r"config\.rate: expected float"),
        ({"size": 1, "pair": [1]}, r"config\.pair: expected a list of 2 values"),
        ({"size": 1, "pair": [1, "b"]}, r"config\.pair\[1\]: expected float"),
        ({"size": 1, "name": 3}, r"config\.name: expected str"),
    ],
)
def test_refusals(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(Sample, values)


def test_nested_errors_say_where() -> None:
    with pytest.raises(ConfigError, match=r"config\.front_end: unknown key 'hop'"):
        from_dict(ModelConfig, {"front_end": {"hop": 10}})
