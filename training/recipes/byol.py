"""BYOL for audio and for speech, with every encoder of the paper, and with hand-made features as a second teacher."""

from __future__ import annotations

from selfie_hear.config import EncoderConfig, FrontEndConfig, ModelConfig
from training.augment import AugmentConfig
from training.recipes.base import Recipe
from training.recipes.selfie import SELFIE

PAPER = "Elbanna et al. (BYOL-S)"
SPEECH = "the speech part of AudioSet (`manifest audioset --speech`)"
WINDOW_25_MS = FrontEndConfig(win_length=400, n_fft=512)

# The two strengths are from memory of BYOL-A's own paper, the rest is in the papers here.
BYOL_A = SELFIE.derive(
    "byol_a",
    "BYOL with noise, independent resize crop and normalisation before and after",
    source="Nguyen et al., section 1; Elbanna et al., section 2.1; after Niizumi et al. (BYOL-A)",
    data="AudioSet",
    objective="byol",
    objective_options={"decay": 0.99},
    augment=AugmentConfig(
        crop_by="sides",
        crop_height=(0.6, 1.5),
        crop_width=(0.6, 1.5),
        background_share=0.4,
        fader_gain=0.0,
        post_norm=True,
    ),
    batch=256,
    learning_rate=3e-4,
)

BYOL_S = BYOL_A.derive(
    "byol_s",
    "BYOL-A on speech, with windows of 25 ms and the encoder of three blocks",
    source=f"{PAPER}, section 2",
    data=SPEECH,
    model=ModelConfig(WINDOW_25_MS, EncoderConfig(options={"blocks": 3})),
)


def _with_encoder(recipe: Recipe, encoder: str) -> Recipe:
    model = ModelConfig(WINDOW_25_MS, EncoderConfig(encoder))
    return recipe.derive(f"{recipe.name}_{encoder}", f"{recipe.name} with the encoder {encoder}", model=model)


HYBRID = BYOL_S.derive(
    "hybrid_byol_s",
    "BYOL-S that also predicts openSMILE's ComParE features of the crop (`train --targets`), 1 : 1",
    source=f"{PAPER}, section 2.2",
    objective="hybrid",
)
HYBRID_CVT = _with_encoder(HYBRID, "cvt")


def _with_ratio(alpha: int, beta: int) -> Recipe:
    return HYBRID_CVT.derive(
        f"hybrid_byol_s_cvt_{alpha}to{beta}",
        f"hybrid_byol_s_cvt with alpha : beta = {alpha} : {beta}",
        source=f"{PAPER}, section 3.4",
        objective_options={"decay": 0.99, "supervised_weight": alpha, "self_supervised_weight": beta},
    )


RECIPES = [
    BYOL_A,
    BYOL_S,
    *(_with_encoder(BYOL_S, encoder) for encoder in ("cvt", "clstm", "resnetish34")),
    HYBRID,
    HYBRID_CVT,
    *(
        BYOL_S.derive(
            f"byol_s_{milliseconds}ms",
            f"byol_s on crops of {milliseconds} ms",
            source=f"{PAPER}, section 3.2",
            crop_seconds=milliseconds / 1000,
        )
        for milliseconds in (500, 1425, 2000)
    ),
    *(_with_ratio(alpha, beta) for alpha, beta in ((1, 4), (1, 2), (2, 3), (3, 2), (2, 1), (4, 1))),
]
