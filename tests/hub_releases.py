"""A tiny release, as the files of a repository."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from selfie_hear import load_model
from selfie_hear.config import FORMAT_VERSION, ReleaseConfig, to_dict
from selfie_hear.pretrained import BRANCHES
from tests.conftest import TINY, tiny_embedder
from tests.hub_visitor import embedding


def release(seed: int = 0, **others: bytes) -> dict[str, bytes]:
    """The files of a tiny release."""
    files = {}
    for branch in BRANCHES:
        state = {key: value.contiguous() for key, value in tiny_embedder(TINY[0]).state_dict().items()}
        state["encoder.fc2.bias"] = torch.full_like(state["encoder.fc2.bias"], seed + 0.1 * len(branch))
        files[f"{branch}.safetensors"] = save(state, {"format": "pt"})
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    config = ReleaseConfig(FORMAT_VERSION, "tiny", "", "CC0-1.0", "", TINY[0], {}, digests)
    return {**files, "config.json": json.dumps(to_dict(config)).encode(), **others}


def here(files: dict[str, bytes], folder: Path, branch: str = "online") -> np.ndarray:
    """The embedding that the same files give without a Hub."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return embedding(load_model(folder, branch=branch))
