"""Precision: float32 whatever surrounds a call, bfloat16 where it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.audio import read_audio
from selfie_hear.config import ConfigError, EncoderConfig, ModelConfig
from selfie_hear.precision import encoder_precision
from tests.conftest import MELS, TINY, noise, tiny_embedder

OTHERS = (
    EncoderConfig("clstm", {"filters": 4, "hidden": 8, "outputs": 16, "segment": 64}),
    EncoderConfig("cvt", {"channels": [4, 4, 4], "heads": [1, 1, 1], "segment": 64}),
    EncoderConfig("resnetish34", {"channels": 4}),
)


def halved(config: ModelConfig) -> Embedder:
    model = tiny_embedder(config)
    model.precision = "bf16"
    return model


def test_bfloat16_points_the_same_way_on_real_clips(examples: list[Path], model: Embedder) -> None:
    clips = [torch.from_numpy(read_audio(path, 16000)) for path in examples]
    half = load_model(precision="bf16")
    exact, rounded = get_scene_embeddings(clips, model), get_scene_embeddings(clips, half)
    assert rounded.dtype == torch.float32
    assert float(torch.cosine_similarity(exact, rounded, dim=1).min()) > 0.999
    assert not torch.allclose(exact, rounded, atol=1e-3)  # it is really another precision
    for mine, theirs in zip(
        get_timestamp_embeddings(clips, half)[0], get_timestamp_embeddings(clips, model)[0], strict=True
    ):
        assert float(torch.cosine_similarity(mine, theirs, dim=1).min()) > 0.999


@pytest.mark.parametrize("config", TINY, ids=lambda config: config.encoder.name)
def test_bfloat16_embeds_a_clip_alike_in_any_company_and_any_blocks(config: ModelConfig) -> None:
    model = halved(config)
    clips = [noise(n, seed) for seed, n in enumerate((1, 9000, 16000, 400_000, 16000))]
    together = get_scene_embeddings(clips, model)
    for clip, embedding in zip(clips, together, strict=True):
        assert torch.equal(get_scene_embeddings(clip[None], model)[0], embedding)
    assert torch.equal(get_scene_embeddings(torch.stack([clips[2], clips[4]]), model), together[[2, 4]])
    with torch.no_grad():
        assert torch.equal(model.scene(clips[3][None].split(12_345, 1))[0], together[3])
        assert torch.equal(
            torch.cat(list(model.timestamps(clips[3][None].split(99_999, 1))), dim=1),
            get_timestamp_embeddings(clips[3][None], model)[0],
        )


@pytest.mark.parametrize("config", OTHERS, ids=lambda config: config.name)
def test_other_encoders_in_bfloat16(config: EncoderConfig) -> None:
    model = halved(ModelConfig(MELS, config))
    audio = noise(30_000)[None]
    rounded = get_scene_embeddings(audio, model)
    model.precision = "fp32"
    exact = get_scene_embeddings(audio, model)
    assert not torch.equal(rounded, exact)
    assert float(torch.cosine_similarity(rounded, exact)) > 0.999


def test_the_weights_stay_as_they_are_and_float32_comes_back() -> None:
    model = tiny_embedder(TINY[1])
    audio = noise(9000)[None]
    exact = get_scene_embeddings(audio, model)
    model.precision = "bf16"
    get_scene_embeddings(audio, model)
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    model.precision = "fp32"
    assert torch.equal(get_scene_embeddings(audio, model), exact)


def test_surroundings_do_not_show_in_bfloat16() -> None:
    model = halved(TINY[0])
    audio = noise(9000)[None]
    expected = get_scene_embeddings(audio, model)
    with torch.autocast("cpu", torch.float16):
        assert torch.equal(get_scene_embeddings(audio, model), expected)


def test_fine_tuning_gets_gradients_also_after_an_embedding_under_autocast() -> None:
    """Weights rounded for the embedding, without gradient, must not be taken from autocast's cache."""
    model = halved(TINY[0])
    audio = noise(9000)[None]
    with torch.autocast("cpu", torch.bfloat16):
        get_scene_embeddings(audio, model)
        model(audio).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_what_a_device_lacks_is_an_error() -> None:
    with (
        pytest.raises(ConfigError, match="precision 'bf16': device meta has no bfloat16; use precision='fp32'"),
        encoder_precision("bf16", torch.device("meta")),
    ):
        pass


def test_an_unknown_precision() -> None:
    with pytest.raises(ConfigError, match="precision: 'fp16' is unknown; known are fp32, bf16"):
        load_model(precision="fp16")


def test_the_command(tmp_path: Path, examples: list[Path]) -> None:
    command = Path(sys.executable).with_name("selfie-hear")
    words = [command, "embed", examples[0], "--precision", "bf16", "-o", tmp_path / "out.npz"]
    subprocess.run(words, check=True, capture_output=True)
    audio = torch.from_numpy(read_audio(examples[0], 16000))[None]
    with np.load(tmp_path / "out.npz") as out:
        np.testing.assert_array_equal(out["embeddings"], get_scene_embeddings(audio, load_model(precision="bf16")))
