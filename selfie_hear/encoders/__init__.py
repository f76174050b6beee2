"""Encoders: `(B, 1, F, T)` log-mel to `(B, T', D)` frames; an explicit table of names."""

from __future__ import annotations

import inspect

from selfie_hear.config import ConfigError, EncoderConfig
from selfie_hear.encoders.audio_ntt import AudioNTT
from selfie_hear.encoders.base import Encoder
from selfie_hear.encoders.clstm import CLSTM
from selfie_hear.encoders.cvt import CvT
from selfie_hear.encoders.efficientnet_b0 import EfficientNetB0
from selfie_hear.encoders.resnet50 import ResNet50
from selfie_hear.encoders.resnetish34 import ResNetish34
from selfie_hear.encoders.three_path_ntt import ThreePathNTT

ENCODERS: dict[str, type[Encoder]] = {
    "audio_ntt": AudioNTT,
    "clstm": CLSTM,
    "cvt": CvT,
    "efficientnet_b0": EfficientNetB0,
    "resnet50": ResNet50,
    "resnetish34": ResNetish34,
    "three_path_ntt": ThreePathNTT,
}

__all__ = [
    "CLSTM", "ENCODERS", "AudioNTT", "CvT", "EfficientNetB0", "Encoder", "ResNet50", "ResNetish34", "ThreePathNTT",
    "build_encoder",
]  # fmt: skip


def build_encoder(config: EncoderConfig, n_mels: int) -> Encoder:
    """The encoder that `config` names, for `n_mels` mel bands.

    Raises:
        ConfigError: an unknown name or an unknown option; the message lists the known ones.
    """
    if config.name not in ENCODERS:
        raise ConfigError(f"encoder {config.name!r} is unknown; known encoders are {', '.join(sorted(ENCODERS))}")
    kind = ENCODERS[config.name]
    known = set(inspect.signature(kind).parameters) - {"n_mels"}
    unknown = sorted(set(config.options) - known)
    if unknown:
        raise ConfigError(
            f"encoder {config.name!r}: unknown option {', '.join(unknown)}; options are {', '.join(sorted(known))}"
        )
    try:
        return kind(n_mels=n_mels, **config.options)
    except ConfigError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:  # of the library, about a size or a type
        raise ConfigError(f"encoder {config.name!r}: wrong options {dict(config.options)}: {error}") from error
