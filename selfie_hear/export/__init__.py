"""Releases as ONNX files, which `selfie_hear.onnx` and other runtimes run without PyTorch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from selfie_hear.api import get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.embedder import Embedder
from selfie_hear.export.graph import build_graph
from selfie_hear.files import appears_whole
from selfie_hear.onnx import FORMAT_VERSION, OnnxModel
from selfie_hear.pretrained import find_release, load_release, read_config

TOLERANCE = 1e-4  # of an embedding value, of about 10 at most; where a tone stands beside silence both round


def export_onnx(
    out: Path,
    model_file_path: str = "",
    *,
    branch: str = "online",
    timestamps: bool = False,
    timestamp_window_ms: float | None = None,
    scene_pooling: str | None = None,
) -> None:
    """Write a release as one ONNX file from samples to embeddings, after a comparison with PyTorch's.

    Input and outputs are those of `build_graph`; the file's metadata say what it is.

    Args:
        out: OUT.onnx.
        model_file_path, branch, timestamp_window_ms, scene_pooling: as for `load_model`.
        timestamps: timestamp embeddings instead of scene embeddings.

    Raises:
        ConfigError: another ending, an encoder that has no translation, or embeddings that differ from PyTorch's.
        ReleaseError: see `load_release`.
        MissingExtraError: the extra `onnx` is not installed.
    """
    if out.suffix.lower() != ".onnx":
        raise ConfigError(f"{out}: the name must end in .onnx")
    if not out.parent.is_dir():
        raise ConfigError(f"{out}: the folder {out.parent} does not exist")
    onnx = _library("onnx")
    folder = find_release(str(model_file_path), branches=(branch,))
    release, model = read_config(folder), load_release(folder, branch)
    if timestamp_window_ms is not None:
        model.timestamp_window_ms = timestamp_window_ms
    if scene_pooling is not None:
        model.scene_pooling = scene_pooling
    proto = build_graph(model, timestamps)
    properties = {
        "format_version": FORMAT_VERSION,
        "name": release.name,
        "branch": branch,
        "sha256": release.sha256[f"{branch}.safetensors"],
        "licence": release.licence,
        "data": release.data,
        "embeddings": "timestamps" if timestamps else "scene",
        "sample_rate": model.sample_rate,
        "size": model.timestamp_embedding_size if timestamps else model.scene_embedding_size,
        "timestamp_window_ms" if timestamps else "scene_pooling": (
            model.timestamp_window_ms if timestamps else model.scene_pooling
        ),
    }
    onnx.helper.set_model_props(proto, {key: str(value) for key, value in properties.items()})
    with appears_whole(out) as file:
        file.write(proto.SerializeToString())
        file.flush()
        difference = _difference(model, OnnxModel(file.name))
        if not difference < TOLERANCE:
            raise ConfigError(f"{out}: not written, its embeddings differ from PyTorch's by {difference:g}")


def _difference(model: Embedder, exported: OnnxModel) -> float:
    """The largest between the embeddings of PyTorch and of onnxruntime, of a second and of two chunks of noise."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for samples in (model.sample_rate, 11 * model.sample_rate + 77):
        level = torch.linspace(0, 20, samples).sin().square() * 0.3
        audio = (level * torch.randn(samples, generator=generator).clamp(-3, 3))[None]
        if exported.timestamps:
            theirs, _ = get_timestamp_embeddings(audio, model)
            ours, _ = exported.timestamp_embeddings(audio.numpy())
        else:
            theirs, ours = get_scene_embeddings(audio, model), exported.scene_embeddings(audio.numpy())
        worst = max(worst, float(np.abs(np.asarray(ours) - np.asarray(theirs)).max()))
    return worst


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"export to ONNX needs {name}: pip install 'selfie_hear[onnx]'") from error
