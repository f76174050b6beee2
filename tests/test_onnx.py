"""Exported files, run by onnxruntime: PyTorch's embeddings, without PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from selfie_hear import Embedder, InputError, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.audio import read_audio
from selfie_hear.export import export_onnx
from selfie_hear.onnx import OnnxModel, OnnxModelError
from selfie_hear.pretrained import DEFAULT
from tests.conftest import noise

LENGTHS = (1, 239, 240, 879, 880, 16000, 163_840, 164_479, 170_000, 400_001)
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCK:
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Blocker())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default release as scene.onnx and timestamps.onnx."""
    out = tmp_path_factory.mktemp("onnx")
    export_onnx(out / "scene.onnx")
    export_onnx(out / "timestamps.onnx", timestamps=True)
    return out


@pytest.fixture(scope="module")
def scene(folder: Path) -> OnnxModel:
    return OnnxModel(folder / "scene.onnx", threads=1)


@pytest.fixture(scope="module")
def timestamps(folder: Path) -> OnnxModel:
    return OnnxModel(folder / "timestamps.onnx", threads=1)


def test_embeddings_are_pytorchs_on_real_clips(
    examples: list[Path], model: Embedder, scene: OnnxModel, timestamps: OnnxModel
) -> None:
    """In float64 they agree ten times closer: a note beside silence is what float32 is worst at."""
    exact = load_model().double()
    for path in examples:
        audio = torch.from_numpy(read_audio(path, 16000))[None]
        scenes = scene.scene_embeddings(audio.numpy())
        frames, times = timestamps.timestamp_embeddings(audio.numpy())
        np.testing.assert_allclose(scenes, get_scene_embeddings(audio, model), atol=1e-4)
        expected, expected_times = get_timestamp_embeddings(audio, model)
        np.testing.assert_allclose(frames, expected, atol=2e-4)
        np.testing.assert_array_equal(times, expected_times)
        with torch.no_grad():
            np.testing.assert_allclose(scenes, exact(audio.double()), atol=1e-5)
            np.testing.assert_allclose(frames, torch.cat(list(exact.timestamps([audio.double()])), dim=1), atol=1e-5)


@pytest.mark.parametrize("samples", LENGTHS)
def test_any_length(model: Embedder, scene: OnnxModel, timestamps: OnnxModel, samples: int) -> None:
    audio = noise(samples)[None]
    np.testing.assert_allclose(scene.scene_embeddings(audio.numpy()), get_scene_embeddings(audio, model), atol=1e-4)
    ours, ours_ms = timestamps.timestamp_embeddings(audio.numpy())
    theirs, theirs_ms = get_timestamp_embeddings(audio, model)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.array_equal(ours_ms, theirs_ms)


def test_shapes_and_types(scene: OnnxModel, timestamps: OnnxModel) -> None:
    audio = np.stack([noise(24000, seed).numpy() for seed in range(3)])
    embeddings = scene.scene_embeddings(audio)
    assert (scene.sample_rate, scene.embedding_size, scene.timestamps) == (16000, 3584, False)
    assert embeddings.shape == (3, 3584) and embeddings.dtype == np.float32
    frames, times = timestamps.timestamp_embeddings(audio)
    assert (timestamps.embedding_size, timestamps.timestamps) == (3072, True)
    assert isinstance(frames, np.ndarray) and frames.shape == (3, 38, 3072)
    assert isinstance(times, np.ndarray) and times.shape == (3, 38)
    assert frames.dtype == times.dtype == np.float32


def test_a_clip_is_embedded_alike_in_any_company(scene: OnnxModel, timestamps: OnnxModel) -> None:
    clips = [noise(n, seed).numpy() for seed, n in enumerate((1, 9000, 16000, 170_000, 16000))]
    together, (frames, _) = scene.scene_embeddings(clips), timestamps.timestamp_embeddings(clips)
    for index, clip in enumerate(clips):
        assert np.array_equal(scene.scene_embeddings(clip[None])[0], together[index])
        assert np.array_equal(timestamps.timestamp_embeddings(clip[None])[0][0], frames[index])
    batch = scene.scene_embeddings(np.stack([clips[2], clips[4]]))
    assert np.array_equal(batch, together[[2, 4]])


def test_the_graph_itself_takes_a_batch(scene: OnnxModel) -> None:
    """Programs that are not in Python call it so."""
    audio = np.stack([noise(20000, seed).numpy() for seed in range(2)])
    (embeddings,) = scene._session.run(["embeddings"], {"audio": audio})
    np.testing.assert_allclose(embeddings, scene.scene_embeddings(audio), atol=1e-4)


def test_other_float_types_and_strides(scene: OnnxModel) -> None:
    audio = noise(9000).numpy()
    expected = scene.scene_embeddings(audio[None])
    assert np.array_equal(scene.scene_embeddings([audio.astype(np.float64)]), expected)
    assert np.array_equal(scene.scene_embeddings(np.stack([audio, audio], axis=1).T), np.repeat(expected, 2, axis=0))


def test_it_runs_where_pytorch_cannot_be_imported(folder: Path, scene: OnnxModel, tmp_path: Path, root: Path) -> None:
    np.save(tmp_path / "audio.npy", noise(20000).numpy())
    code = f"""BLOCK = {{"torch", "safetensors", "soundfile", "onnx"}}
{BLOCKED}
import numpy
from selfie_hear.onnx import OnnxModel
model = OnnxModel({str(folder / "scene.onnx")!r}, threads=1)
numpy.save("out.npy", model.scene_embeddings([numpy.load("audio.npy")]))
try:
    import selfie_hear
    selfie_hear.load_model
except ImportError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(root)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "torch is blocked"
    assert np.array_equal(np.load(tmp_path / "out.npy"), scene.scene_embeddings([noise(20000).numpy()]))


def test_a_missing_runtime_is_named(root: Path) -> None:
    code = f'BLOCK = {{"onnxruntime"}}\n{BLOCKED}\nfrom selfie_hear.onnx import OnnxModel\nOnnxModel("x.onnx")'
    result = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )
    assert "MissingExtraError: running an ONNX file needs onnxruntime: pip install onnxruntime" in result.stderr


def test_properties(scene: OnnxModel, timestamps: OnnxModel) -> None:
    said = scene.properties
    assert said["name"] == DEFAULT and said["branch"] == "online" and said["licence"] == "CC-BY-4.0"
    assert len(said["sha256"]) == 64
    assert said["scene_pooling"] == "mean_max_moment"
    assert timestamps.properties["timestamp_window_ms"] == "200.0"


def test_the_other_kind_says_what_to_do(scene: OnnxModel, timestamps: OnnxModel) -> None:
    audio = np.zeros((1, 9), np.float32)
    with pytest.raises(OnnxModelError, match="export one with --timestamps"):
        scene.timestamp_embeddings(audio)
    with pytest.raises(OnnxModelError, match="export one without --timestamps"):
        timestamps.scene_embeddings(audio)


def test_other_files_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(OnnxModelError, match="no such file"):
        OnnxModel(tmp_path / "nowhere.onnx")
    (tmp_path / "text.onnx").write_text("not ONNX")
    with pytest.raises(OnnxModelError, match="cannot be loaded by onnxruntime"):
        OnnxModel(tmp_path / "text.onnx")
    whole = (folder / "scene.onnx").read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OnnxModelError, match="cannot be loaded by onnxruntime"):
        OnnxModel(tmp_path / "half.onnx")
    proto = onnx.load(folder / "scene.onnx")
    onnx.helper.set_model_props(proto, {"format_version": "99"})
    onnx.save(proto, tmp_path / "newer.onnx")
    with pytest.raises(OnnxModelError, match="format version 99, not 1"):
        OnnxModel(tmp_path / "newer.onnx")
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "foreign.onnx")
    with pytest.raises(
        OnnxModelError, match="format version none, not 1; accepted are files that `selfie-hear export`"
    ):
        OnnxModel(tmp_path / "foreign.onnx")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: np.zeros(16000, np.float32), r"shape \(16000,\).*audio\[None\]"),
        (lambda: np.zeros((1, 1, 160), np.float32), r"shape \(1, 1, 160\)"),
        (lambda: np.zeros((0, 160), np.float32), "there are no clips"),
        (list, "there are no clips"),
        (lambda: np.zeros((2, 0), np.float32), "clip 0 has zero samples"),
        (lambda: [np.zeros(5), np.zeros((1, 5))], r"clip 1 has shape \(1, 5\)"),
        (lambda: [np.array([0.0, np.nan])], "clip 0 holds NaN or infinite"),
        (lambda: [np.array([0.0, -np.inf])], "clip 0 holds NaN or infinite"),
        (lambda: np.zeros((1, 9), np.int16), r"int16.*audio\.astype\('float32'\) / 32768"),
        (lambda: np.zeros((1, 9), np.int64), "int64; accepted is"),
        (lambda: np.zeros((1, 9), complex), "complex128; accepted is"),
        (lambda: np.full((1, 9), -20000.0), "peak of 20000.*divide 16-bit values by 32768"),
        (lambda: torch.zeros(1, 9), "audio is a Tensor"),
        (lambda: [[0.0, 0.1]], "clip 0 is a list"),
    ],
)
def test_bad_input_says_what_is_wrong(
    scene: OnnxModel, timestamps: OnnxModel, make: Callable[[], np.ndarray], message: str
) -> None:
    for function in (scene.scene_embeddings, timestamps.timestamp_embeddings):
        with pytest.raises(InputError, match=message):
            function(make())
