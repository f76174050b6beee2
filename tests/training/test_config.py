"""Training configurations: recipes, settings on top of them, and what is refused."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from typing import Any

import pytest

from selfie_hear.config import ConfigError, FrontEndConfig, from_dict, to_dict
from selfie_hear.encoders import ENCODERS
from training.config import WATCHING, TrainConfig, with_settings
from training.corpus.crops import SamplingConfig
from training.objectives import OBJECTIVES, SelfieConfig
from training.recipes import RECIPES, get_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    config = get_recipe(name)
    assert config.recipe == name
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_the_selfie_recipe_has_the_values_of_the_paper() -> None:
    config = get_recipe("selfie")
    assert config.model.front_end == FrontEndConfig(
        sample_rate=16000, n_fft=1024, win_length=1024, hop_length=160, n_mels=64, f_min=60.0, f_max=7800.0
    )
    assert (config.model.encoder.name, dict(config.model.encoder.options)) == ("audio_ntt", {})
    assert (config.crop_seconds, config.crop_samples) == (0.95, 15200)
    assert (config.batch, config.learning_rate, config.schedule, config.warmup_steps) == (512, 1e-4, "constant", 0)
    assert (config.augment.crop_scale, config.augment.crop_aspect) == ((0.6, 1.5), (0.75, 1.33))
    assert (config.augment.background_share, config.augment.fader_gain) == (0.2, 1.0)
    assert from_dict(SelfieConfig, config.objective_options) == SelfieConfig(
        diversity_weight=1.0, decorrelation_weight=1.0, decay=0.995, head_hidden=4096, head_outputs=256
    )


def test_an_unknown_recipe_names_those_that_exist() -> None:
    known = "selfie, selfie3_open10h, .*, byol_a, .*, swav"
    with pytest.raises(ConfigError, match=f"'selfy' is unknown; known recipes are {known}"):
        get_recipe("selfy")


def test_settings_change_values_of_any_depth_and_nothing_else() -> None:
    before = get_recipe("tiny")
    after = with_settings(
        before,
        [
            "batch=64",
            "learning_rate=1",
            "schedule=cosine",
            "augment.crop_scale=(0.5, 2)",
            "model.front_end.n_mels=32",
            "model.encoder.options.channels=6",
            "objective_options.decay=0.5",
            "objective_options.diversity_weight=2.0",
        ],
    )
    assert (after.batch, after.learning_rate, after.schedule) == (64, 1.0, "cosine")
    assert isinstance(after.learning_rate, float)
    assert after.augment == replace(before.augment, crop_scale=(0.5, 2.0))
    assert after.model.front_end == replace(before.model.front_end, n_mels=32)
    assert after.model.encoder.options == {"channels": 6, "hidden": 16}
    assert after.objective_options == {"decay": 0.5, "head_hidden": 32, "head_outputs": 8, "diversity_weight": 2.0}
    assert before == get_recipe("tiny")
    undone = replace(
        after,
        batch=before.batch,
        learning_rate=before.learning_rate,
        schedule=before.schedule,
        augment=before.augment,
        model=before.model,
        objective_options=before.objective_options,
    )
    assert undone == before


def test_the_last_of_two_settings_of_a_key_holds() -> None:
    assert with_settings(get_recipe("tiny"), ["batch=4", "batch=6"]).batch == 6


@pytest.mark.parametrize(
    "key", ["bach", "model.front_end.n_mel", "model.frontend.n_mels", "batch.size", "", "sampling.bye", "weights.bird"]
)
def test_an_unknown_key_is_refused_with_the_known_ones(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_settings(get_recipe("tiny"), [f"{key}=64"])
    message = str(caught.value)
    assert f"unknown key {key!r}" in message
    for known in (
        "batch",
        "model.front_end.n_mels",
        "augment.crop_scale",
        "objective_options.decay",
        "sampling.weights",
    ):
        assert known in message


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("batch=many", "batch: expected int, got 'many'"),
        ("batch=2.5", "batch: expected int, got 2.5"),
        ("batch=True", "batch: expected int, got True"),
        ("learning_rate=fast", "learning_rate: expected float, got 'fast'"),
        ("augment.crop_scale=(1,2,3)", r"augment.crop_scale: expected a list of 2 values, got \(1, 2, 3\)"),
        ("model=audio_ntt", "model: expected an object with keys"),
        ("batch", "expected key=value"),
        ("schedule=linear", "schedule: 'linear' is unknown; known are constant, cosine"),
        ("precision=fp16", "precision: 'fp16' is unknown; known are auto, bf16, fp32"),
        ("batch=0", "batch: must be at least 1, got 0"),
        ("steps=0", "steps: must be at least 1, got 0"),
        ("accumulate=0", "accumulate: must be at least 1, got 0"),
        ("checkpoint_every=-5", "checkpoint_every: must be at least 1, got -5"),
        ("keep_checkpoints=0", "keep_checkpoints: must be at least 1, got 0"),
        ("sampling.by=second", "sampling.by: 'second' is unknown; known are duration, clip"),
        ("sampling.crops_per_clip=3", "sampling.crops_per_clip: must be 1 or 2, got 3"),
        ("sampling.column=domain", "column and weights go together"),
        ("sampling.weights.bird=2", "column and weights go together"),
        ("sampling.weights=2", "sampling.weights: expected an object with keys, got 2"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        with_settings(get_recipe("tiny"), [setting])


@pytest.mark.parametrize(("batch", "accumulate"), [(2, 1), (4, 2), (512, 256), (6, 3)])
def test_a_batch_is_parts_of_at_least_two_crops(batch: int, accumulate: int) -> None:
    config = with_settings(get_recipe("tiny"), [f"batch={batch}", f"accumulate={accumulate}"])
    assert (config.batch, config.accumulate) == (batch, accumulate)


@pytest.mark.parametrize(("batch", "accumulate"), [(1, 1), (2, 2), (7, 2), (8, 3), (8, 16), (512, 512)])
def test_a_batch_that_cannot_be_parted_is_refused(batch: int, accumulate: int) -> None:
    with pytest.raises(ConfigError, match=f"a multiple of accumulate.*at least twice.*got {batch} and {accumulate}"):
        with_settings(get_recipe("tiny"), [f"batch={batch}", f"accumulate={accumulate}"])


def test_sampling_is_set_like_everything_else() -> None:
    config = with_settings(
        get_recipe("tiny"),
        [
            "sampling.weights.speech=2",
            "sampling.weights.bird=0.5",
            "sampling.column=domain",
            "sampling.by=clip",
            "sampling.crops_per_clip=2",
        ],
    )
    assert config.sampling == SamplingConfig("clip", 2, "domain", {"speech": 2, "bird": 0.5})
    assert from_dict(TrainConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_weights_of_values_that_are_no_key_are_set_together() -> None:
    settings = ["sampling.column=site", "sampling.weights={'freesound.org': 2, '': 0}"]
    assert with_settings(get_recipe("tiny"), settings).sampling.weights == {"freesound.org": 2, "": 0}


def test_what_may_change_in_a_run_are_keys_of_its_configuration() -> None:
    assert set(to_dict(get_recipe("tiny"))) > WATCHING


@pytest.mark.parametrize("values", [{"recipe": "x", "bach": 8}, {"batch": 8}, ["recipe"]])
def test_a_stored_configuration_with_unknown_or_missing_keys_is_refused(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'bach'|missing key 'recipe'|expected an object with keys"):
        from_dict(TrainConfig, values)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=-1", "seed: must not be negative"),
        ("warmup_steps=-5", "warmup_steps: must not be negative"),
        ("learning_rate=0.0", "learning_rate: must be positive"),
        ("crop_seconds=0.01", "crop_seconds: must be at least 8 mel frames"),
        ("steps=0", "steps: must be at least 1"),
        ("augment.background_share=1.0", r"background_share: must be in \[0, 1\)"),
        ("augment.crop_scale=[1.5, 0.6]", "crop_scale: expected 0 < low <= high"),
        ("augment.crop_canvas=[-1, 1]", "crop_canvas: must be positive"),
        ("schedule=linear", "schedule: 'linear' is unknown; known are constant, cosine"),
    ],
)
def test_values_without_sense_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_settings(get_recipe("tiny"), [setting])


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_of_what_there_is(name: str) -> None:
    """Its encoder and its method take the options that it gives; `train` would find out only later."""
    config = get_recipe(name)
    assert config.model.encoder.name in ENCODERS
    assert set(config.model.encoder.options) <= set(inspect.signature(ENCODERS[config.model.encoder.name]).parameters)
    from_dict(OBJECTIVES[config.objective].options, config.objective_options)
    assert (config.objective == "cola") <= (config.sampling.crops_per_clip == 2)
    recipe = RECIPES[name]
    assert recipe.source and recipe.data and recipe.summary and "\n" not in recipe.summary


def test_recipes_derive_by_what_differs() -> None:
    stretch, cola = get_recipe("cola_stretch"), get_recipe("cola")
    assert replace(stretch, recipe="cola", second_view=cola.second_view) == cola
    assert {**cola.second_view, "stretch_probability": 0.5, "stretch": 0.1} == stretch.second_view
    assert cola.augment.noise_probability == 1.0
    hybrid = get_recipe("hybrid_byol_s_cvt_1to4")
    assert dict(hybrid.objective_options) == {"decay": 0.99, "supervised_weight": 1, "self_supervised_weight": 4}
    assert hybrid.model.encoder.name == "cvt"
