"""What a table of embeddings was made by, so that no two kinds are ever compared."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import torch

from selfie_hear.config import from_dict, to_dict
from selfie_hear.embedder import Embedder

KEY = "selfie_hear"  # of the JSON text in a table: Parquet metadata, an array of .npz


@dataclass(frozen=True)
class Origin:
    """Which embedding a table holds; two are comparable if all but the names are the same."""

    model: str  # the release's name, for people
    branch: str
    weights: str  # SHA-256 of the encoder, the front end and what they are configured to be
    kind: str  # "scene" or "timestamps"
    pooling: str  # over time
    window_ms: float | None = None  # that a timestamp embedding is pooled over
    precision: str = "fp32"  # that the encoder computed in

    @classmethod
    def of(cls, embedder: Embedder, timestamps: bool = False, model: str = "", branch: str = "online") -> Origin:
        """What an embedder makes as it is set now."""
        weights, precision = weights_digest(embedder), embedder.precision
        if timestamps:
            return cls(model, branch, weights, "timestamps", "mean_max", embedder.timestamp_window_ms, precision)
        return cls(model, branch, weights, "scene", embedder.scene_pooling, precision=precision)

    @classmethod
    def from_json(cls, text: str) -> Origin:
        """
        Raises:
            ConfigError: not what `to_json` wrote.
        """
        return from_dict(cls, json.loads(text), "origin")

    def to_json(self) -> str:
        return json.dumps(to_dict(self))

    def differences(self, other: Origin) -> list[str]:
        """What makes embeddings of this origin and of another incomparable, in words; nothing if they are alike."""
        found = []
        if self.weights != other.weights:
            found.append(f"model {self._name()}, not {other._name()}")
        if self.kind != other.kind:
            found.append(f"{self.kind} embeddings, not {other.kind}")
        elif self.pooling != other.pooling:
            found.append(f"pooling {self.pooling}, not {other.pooling}")
        elif self.window_ms != other.window_ms:
            found.append(f"windows of {self.window_ms} ms, not {other.window_ms}")
        if self.precision != other.precision:
            found.append(f"precision {self.precision}, not {other.precision}")
        return found

    def _name(self) -> str:
        return f"{self.model or 'the one given'} ({self.branch}, {self.weights[:8]})"


def weights_digest(embedder: Embedder) -> str:
    """SHA-256, in hexadecimal, of the configuration of the front end and encoder and of all their tensors."""
    config = to_dict(embedder.config)
    digest = hashlib.sha256(json.dumps([config["front_end"], config["encoder"]], sort_keys=True).encode())
    for name, value in sorted(embedder.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
