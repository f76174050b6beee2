"""selfie_hear: any sound to a vector, through the HEAR API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from selfie_hear.config import InputError

if TYPE_CHECKING:
    from selfie_hear.api import get_scene_embeddings, get_timestamp_embeddings, load_model
    from selfie_hear.embedder import Embedder
    from selfie_hear.pretrained import ReleaseError

__version__ = "0.1.0"

__all__ = [
    "Embedder",
    "InputError",
    "ReleaseError",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
]

_HOMES = {
    "Embedder": "embedder",
    "ReleaseError": "pretrained",
    "get_scene_embeddings": "api",
    "get_timestamp_embeddings": "api",
    "load_model": "api",
}

if not TYPE_CHECKING:  # type checkers read the imports above

    def __getattr__(name: str) -> object:
        """The names that need PyTorch, imported when they are asked for: `selfie_hear.onnx` works without it."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
