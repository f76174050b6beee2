"""Ways to embed audio that `benchmarks.inference` compares: ours, in other runtimes, and as it is usually done."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.plain_inference import PlainModel
from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.export import export_onnx
from selfie_hear.onnx import OnnxModel

Run = Callable[[Tensor], object]
WINDOWS = 250  # of the loop that are timed; more take proportionally longer
PLAIN_SECONDS = 640  # of audio at once that the plain model has memory for


def ours(precision: str, timestamps: bool) -> Run:
    model = load_model(precision=precision)
    embed = get_timestamp_embeddings if timestamps else get_scene_embeddings
    return lambda audio: embed(audio, model)


def plain() -> Run:
    model = PlainModel(load_model()).eval()

    def run(audio: Tensor) -> object:
        with torch.no_grad():
            return model(audio)

    return run


def window_loop() -> Run:
    """A window around each timestamp, cut out and embedded by the plain model, one after the other."""
    embedder = load_model(scene_pooling="mean_max")
    model, centres = PlainModel(embedder).eval(), embedder.grid.centres_ms
    span = int(embedder.timestamp_window_ms * embedder.sample_rate / 1000)

    def run(audio: Tensor) -> object:
        with torch.no_grad():
            padded = F.pad(audio, (span // 2, span))
            starts = [int(ms * embedder.sample_rate / 1000) for ms in centres(audio.shape[1])][:WINDOWS]
            return [model(clip[None, start : start + span]) for clip in padded[:1] for start in starts]

    return run


def onnxruntime(timestamps: bool, threads: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(Path(folder, "model.onnx"), timestamps=timestamps)
        model = OnnxModel(Path(folder, "model.onnx"), threads)
    embed = model.timestamp_embeddings if timestamps else model.scene_embeddings
    return lambda audio: embed(audio.numpy())


def openvino(timestamps: bool, threads: int) -> Run:
    import openvino as library

    with tempfile.TemporaryDirectory() as folder:
        export_onnx(Path(folder, "model.onnx"), timestamps=timestamps)
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        model = library.compile_model(Path(folder, "model.onnx"), "CPU", settings)
    return lambda audio: [model([clip[None].numpy()]) for clip in audio]


def build(name: str, timestamps: bool, threads: int) -> Run:
    """One of `names` by its name."""
    makers: dict[str, Callable[[], Run]] = {
        "ours": lambda: ours("fp32", timestamps),
        "ours bf16": lambda: ours("bf16", timestamps),
        "plain eager": plain,
        "window loop": window_loop,
        "onnxruntime": lambda: onnxruntime(timestamps, threads),
        "openvino": lambda: openvino(timestamps, threads),
    }
    return makers[name]()


def names(timestamps: bool) -> list[str]:
    installed = ["openvino"] if importlib.util.find_spec("openvino") else []
    return ["ours", "ours bf16", "window loop" if timestamps else "plain eager", "onnxruntime", *installed]


def share_of_work(name: str, batch: int, seconds: float, model: Embedder) -> float:
    """Part of the work that a contender does when it is asked for it; 0 where it cannot be asked."""
    if name == "plain eager":
        return 1.0 if batch * seconds <= PLAIN_SECONDS else 0.0
    if name == "window loop":
        frames = model.grid.frames(int(seconds * model.sample_rate))
        return min(WINDOWS, frames) / (frames * batch)
    return 1.0
