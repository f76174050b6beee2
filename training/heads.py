"""Projector and predictor: small networks that a release leaves behind."""

from __future__ import annotations

from torch import nn


def mlp(inputs: int, hidden: int, outputs: int, layers: int = 2) -> nn.Sequential:
    """Linear -> BatchNorm -> ReLU, for all `layers` but the last -> Linear (SELFIE section 2.2: 4096 -> 256)."""
    network = nn.Sequential()
    for _ in range(layers - 1):
        network.extend([nn.Linear(inputs, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)])
        inputs = hidden
    return network.append(nn.Linear(inputs, outputs))


def tanh_layer(inputs: int, outputs: int, layer_norm: bool) -> nn.Sequential:
    """Linear -> LayerNorm, if so -> tanh (COLA: outputs 512)."""
    norm = [nn.LayerNorm(outputs)] if layer_norm else []
    return nn.Sequential(nn.Linear(inputs, outputs), *norm, nn.Tanh())
