"""What tells kinds of embeddings apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfie_hear import Embedder
from selfie_hear.config import ConfigError
from selfie_hear.origin import Origin, weights_digest
from tests.conftest import TINY, tiny_embedder


def test_a_copy_is_the_same_and_a_changed_weight_is_not(tiny: Embedder) -> None:
    copy = tiny_embedder(TINY[0])
    assert Origin.of(tiny) == Origin.of(copy)
    with torch.no_grad():
        list(copy.buffers())[-1].add_(1)
    assert weights_digest(copy) != weights_digest(tiny)
    assert weights_digest(tiny_embedder(TINY[1])) != weights_digest(tiny)


def test_settings_at_run_time_count(tiny: Embedder) -> None:
    scene, times = Origin.of(tiny), Origin.of(tiny, True)
    assert scene.differences(scene) == []
    assert scene.differences(times) == ["scene embeddings, not timestamps"]
    tiny.timestamp_window_ms = 500
    assert times.differences(Origin.of(tiny, True)) == ["windows of 200.0 ms, not 500"]
    tiny.precision = "bf16"
    assert scene.differences(Origin.of(tiny)) == ["precision fp32, not bf16"]
    named = replace(scene, model="a", branch="target")
    assert scene.differences(named) == []  # the same weights, whatever they are called
    (text,) = named.differences(replace(scene, weights="f" * 64))
    assert text.startswith(f"model a (target, {scene.weights[:8]}), not the one given (online, ffffffff)")


def test_as_text(tiny: Embedder) -> None:
    origin = Origin.of(tiny, model="ü")
    assert Origin.from_json(origin.to_json()) == origin
    with pytest.raises(ConfigError, match="missing key"):
        Origin.from_json("{}")
