"""Methods that tell a clip from others: by a bilinear score, in a batch, a queue or a memory."""

from __future__ import annotations

from selfie_hear.config import EncoderConfig, FrontEndConfig, ModelConfig
from training.augment import AugmentConfig
from training.config import TrainConfig
from training.corpus.crops import SamplingConfig
from training.recipes.base import Recipe

EMAMI = "Emami, Tran, Koishida (augmented contrastive)"
SURVEY = "Liu et al. (survey)"
LIN = "Lin (contrastive feature learning)"
WINDOW_25_MS = FrontEndConfig(win_length=400, n_fft=512)
TWO_CROPS = SamplingConfig(by="clip", crops_per_clip=2)
OF_ITS_OWN = AugmentConfig(crop_by="none", background_share=0.0, fader_gain=0.0)  # SELFIE's three are off

# Emami et al. name the augmentations and give the values of time stretch; those of the others are ours.
COLA = Recipe(
    TrainConfig(
        recipe="cola",
        model=ModelConfig(WINDOW_25_MS, EncoderConfig("efficientnet_b0")),
        objective="cola",
        augment=AugmentConfig(crop_by="none", background_share=0.0, fader_gain=0.0, noise_probability=1.0),
        second_view={"noise_probability": 0.0},
        sampling=TWO_CROPS,
        batch=128,
        learning_rate=1e-3,
    ),
    f"{EMAMI}, section 3; after Saeed et al. (COLA)",
    "AudioSet",
    "a crop with noise finds another of its clip among those of other clips, by a bilinear score",
)


def _with(name: str, what: str, **augment: float) -> Recipe:
    """The crop that is to be found is augmented; the one that looks for it has noise."""
    second = {**COLA.config.second_view, **augment}
    return COLA.derive(name, f"COLA with {what}", source=f"{EMAMI}, section 2.1, tables 1 and 2", second_view=second)


STRETCH = {"stretch_probability": 0.5, "stretch": 0.1}
ROOM = {"room_probability": 1.0}
MASKS = {"time_masks": 1, "frequency_masks": 1}

SIMCLR = Recipe(
    TrainConfig(recipe="simclr", objective="simclr", sampling=SamplingConfig(by="clip"), learning_rate=1e-3),
    f"{SURVEY}, section 4.2; after Chen et al. (SimCLR)",
    "AudioSet",
    "both views of a crop find each other among all of the batch, with SELFIE's views",
)

MOCO = Recipe(
    TrainConfig(
        recipe="moco",
        model=ModelConfig(encoder=EncoderConfig("resnet50")),
        objective="moco",
        augment=AugmentConfig(
            crop_by="none",
            background_share=0.0,
            fader_gain=0.0,
            flip_probability=0.5,
            padding_seconds=0.1,
            pitch_probability=0.5,
            pitch_semitones=2.0,
            time_masks=1,
            frequency_masks=1,
        ),
        sampling=TWO_CROPS,
        batch=256,
    ),
    f"{LIN}, section 2; after He et al. (MoCo)",
    "FSD50K",
    "a view finds its key, of a slowly moving encoder, among those of earlier batches",
)

RECIPES = [
    COLA,
    _with("augmented_contrastive", "time stretch and masks, its best", **STRETCH, **MASKS),
    _with("cola_stretch", "time stretch", **STRETCH),
    _with("cola_room", "room responses", **ROOM),
    _with("cola_masks", "time and frequency masks", **MASKS),
    _with("cola_all", "time stretch, room responses and masks", **STRETCH, **ROOM, **MASKS),
    SIMCLR,
    SIMCLR.derive(
        "clar",
        "SimCLR with augmentations of the waveform: pitch, fade, stretch, coloured noise, and time masks",
        source=f"{SURVEY}, section 4.2; after Al-Tahan, Mohsenzadeh (CLAR)",
        data="Speech Commands, NSynth and others",
        augment=AugmentConfig(
            crop_by="none",
            background_share=0.0,
            fader_gain=0.0,
            pitch_probability=0.5,
            pitch_semitones=15.0,
            stretch_probability=0.5,
            stretch=0.5,
            fade_probability=0.5,
            noise_probability=0.5,
            noise_slope=(-6.0, 0.0),
            time_masks=1,
        ),
    ),
    MOCO,
    MOCO.derive(
        "npid",
        "a view finds its clip's vector in a memory of all clips, against noise",
        source=f"{LIN}, section 2; after Wu et al. (NPID)",
        objective="npid",
    ),
]
