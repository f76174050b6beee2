"""The model that a release of a run's encoder is."""

from __future__ import annotations

import torch

from selfie_hear.config import ModelConfig
from selfie_hear.embedder import Embedder
from selfie_hear.encoders import Encoder


def embedder_of(encoder: Encoder, model: ModelConfig) -> Embedder:
    """`model` with a copy of the encoder's weights, on its device, in eval mode; no random number is used up."""
    with torch.random.fork_rng(devices=[]):
        embedder = Embedder(model)
    embedder.encoder.load_state_dict(encoder.state_dict())
    return embedder.to(next(encoder.parameters()).device).eval()
