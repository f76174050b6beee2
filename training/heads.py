"""Projector and predictor: small networks that a release leaves behind."""

from __future__ import annotations

from torch import nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear -> BatchNorm -> ReLU -> Linear (SELFIE section 2.2: hidden 4096, outputs 256)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs)
    )
