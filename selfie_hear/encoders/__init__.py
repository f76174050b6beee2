"""Encoders: `(B, 1, F, T)` log-mel to `(B, T', D)` frames; an explicit table of names."""

from __future__ import annotations

import inspect

from selfie_hear.config import ConfigError, EncoderConfig
from selfie_hear.encoders.audio_ntt import AudioNTT
from selfie_hear.encoders.base import Encoder
from selfie_hear.encoders.three_path_ntt import ThreePathNTT

ENCODERS: dict[str, type[Encoder]] = {"audio_ntt": AudioNTT, "three_path_ntt": ThreePathNTT}

__all__ = ["ENCODERS", "AudioNTT", "Encoder", "ThreePathNTT", "build_encoder"]


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
    except TypeError as error:
        raise ConfigError(
            f"encoder {config.name!r}: options of a wrong type in {dict(config.options)}: {error}"
        ) from error
