"""SELFIE as published, its ablations, and as it can be trained in an hour on open audio."""

from __future__ import annotations

from selfie_hear.config import EncoderConfig, FrontEndConfig, ModelConfig
from training.config import TrainConfig
from training.corpus.crops import SamplingConfig
from training.recipes.base import Recipe

PAPER = "Nguyen, Uhlich, Cardinaux (SELFIE)"

SELFIE = Recipe(
    TrainConfig(recipe="selfie", objective_options={"decay": 0.995}, sampling=SamplingConfig(by="clip")),
    f"{PAPER}, section 2",
    "AudioSet, or FSD50K",
    "the paper's values: Adam 1e-4, batch 512, decay 0.995; one crop of each clip is an epoch, 100 of them",
)


def _without(name: str, summary: str, **weights: float) -> Recipe:
    options = {**SELFIE.config.objective_options, **{f"{term}_weight": weight for term, weight in weights.items()}}
    return SELFIE.derive(name, summary, source=f"{PAPER}, table 3", data="FSD50K", objective_options=options)


ABLATIONS = [
    _without("selfie_no_diversity", "SELFIE without its diversity loss", diversity=0.0),
    _without("selfie_no_decorrelation", "SELFIE without its decorrelation loss", decorrelation=0.0),
    _without("selfie_align_only", "SELFIE's alignment alone, which is BYOL", diversity=0.0, decorrelation=0.0),
    *(
        SELFIE.derive(
            f"selfie_batch{batch}",
            f"SELFIE with batches of {batch}",
            source=f"{PAPER}, table 4",
            data="FSD50K",
            batch=batch,
        )
        for batch in (256, 1024, 2048)
    ),
]

OPEN10H = SELFIE.derive(
    "selfie_open10h",
    "SELFIE's own encoder in the few steps that two CPU cores manage in an hour: selfie-open10h",
    source="this repository",
    data="10 h of open audio",
    sampling=SamplingConfig(by="duration"),
    batch=128,
    steps=1200,
    learning_rate=5e-4,
    schedule="cosine",
    warmup_steps=50,
    checkpoint_every=100,
)

THREEPATH = OPEN10H.derive(
    "selfie3_open10h",
    "SELFIE on an encoder of three spectrograms, an hour on one CPU core: selfie3-open10h",
    model=ModelConfig(encoder=EncoderConfig("three_path_ntt"), scene_pooling="mean_max_moment"),
    objective_options={"decay": 0.99},
    steps=400,
    warmup_steps=40,
)

TINY = SELFIE.derive(
    "tiny",
    "a network of a few thousand values that trains in seconds, for tests and for trying things out",
    source="this repository",
    data="any",
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
