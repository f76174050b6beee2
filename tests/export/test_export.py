"""Export: what is written, what is not, and the graphs of small models against PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import selfie_hear.export as module
from selfie_hear import Embedder, ReleaseError, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.config import ConfigError, EncoderConfig, FrontEndConfig, ModelConfig
from selfie_hear.export import export_onnx
from selfie_hear.export.graph import build_graph
from selfie_hear.onnx import OnnxModel
from tests.conftest import MELS, TINY, noise, tiny_embedder

COMMAND = Path(sys.executable).with_name("selfie-hear")
OTHERS = (
    *TINY,
    ModelConfig(  # 25 ms windows, another hop, one long transform in the inner product
        FrontEndConfig(n_fft=512, win_length=400, hop_length=99, n_mels=8, f_min=0.0, f_max=8000.0),
        EncoderConfig("audio_ntt", {"channels": 3, "hidden": 5, "input_mean": -5.0, "input_std": 3.0}),
        timestamp_window_ms=10_000.0,
    ),
    ModelConfig(  # no global values; the moment of all that there is
        FrontEndConfig(sample_rate=22050, n_fft=1000, win_length=999, hop_length=250, n_mels=12),
        EncoderConfig("audio_ntt", {"channels": 2, "hidden": 0}),
        timestamp_window_ms=1.0,
        scene_pooling="mean_max_moment",
    ),
    ModelConfig(MELS, EncoderConfig("audio_ntt", {"channels": 4, "hidden": 6, "blocks": 3})),
    ModelConfig(MELS, EncoderConfig("audio_ntt", {"channels": 4, "hidden": 0, "blocks": 3})),
)
NAMES = ["audio_ntt", "three_path_ntt", "short windows", "local values", "three blocks", "their local values"]


def run(model: Embedder, audio: torch.Tensor, timestamps: bool) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        build_graph(model, timestamps).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    results: list[np.ndarray] = session.run(None, {"audio": audio.numpy()})
    return results


@pytest.mark.parametrize("config", OTHERS, ids=NAMES)
@pytest.mark.parametrize("samples", [1, 700, 900, 30_000, 200_000])
def test_graphs_of_other_models_are_pytorchs(config: ModelConfig, samples: int) -> None:
    model = tiny_embedder(config)
    audio = torch.stack([noise(samples, seed) for seed in range(2)])
    (scenes,) = run(model, audio, timestamps=False)
    np.testing.assert_allclose(scenes, get_scene_embeddings(audio, model), atol=1e-4)
    frames, times = run(model, audio, timestamps=True)
    expected, expected_times = get_timestamp_embeddings(audio, model)
    np.testing.assert_allclose(frames, expected, atol=1e-4)
    np.testing.assert_array_equal(times, expected_times)


def test_silence_and_a_sound_late_in_it() -> None:
    model = tiny_embedder(TINY[1])
    audio = torch.zeros(2, 16000 * 30)
    audio[1, -4000:] = noise(4000)
    np.testing.assert_allclose(run(model, audio, timestamps=False)[0], get_scene_embeddings(audio, model), atol=1e-4)


def test_other_encoders_say_which_would_do() -> None:
    encoder = EncoderConfig("cvt", {"channels": [4, 4, 4], "heads": [1, 1, 1]})
    with pytest.raises(
        ConfigError, match="CvT cannot be exported to ONNX; those that can are audio_ntt and three_path_ntt"
    ):
        build_graph(Embedder(ModelConfig(MELS, encoder)), timestamps=False)


def test_options_reach_the_file(tmp_path: Path) -> None:
    export_onnx(tmp_path / "ö.onnx", "selfie-open10h", branch="target", scene_pooling="mean_max")
    exported = OnnxModel(tmp_path / "ö.onnx")
    assert exported.embedding_size == 3072
    assert exported.properties["branch"] == "target"
    assert exported.properties["scene_pooling"] == "mean_max"
    assert [path.name for path in tmp_path.iterdir()] == ["ö.onnx"]
    proto = onnx.load(tmp_path / "ö.onnx")
    assert [value.name for value in proto.graph.input] == ["audio"]
    assert [value.name for value in proto.graph.output] == ["embeddings"]


def test_a_file_that_differs_from_pytorch_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.onnx").write_text("before")
    monkeypatch.setattr(module, "TOLERANCE", 0.0)
    with pytest.raises(ConfigError, match=r"out\.onnx: not written, its embeddings differ from PyTorch's by"):
        export_onnx(tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["out.onnx"]
    assert (tmp_path / "out.onnx").read_text() == "before"


def test_places_and_models_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.onnx"):
        export_onnx(tmp_path / "out.pt")
    with pytest.raises(ConfigError, match="nowhere does not exist"):
        export_onnx(tmp_path / "nowhere" / "out.onnx")
    with pytest.raises(ReleaseError, match="no such folder"):
        export_onnx(tmp_path / "out.onnx", "nonesuch")
    assert list(tmp_path.iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    words = [COMMAND, "export", "out.onnx", "--timestamps", "--window", "500"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "out.onnx: 14.1 MB, compared with PyTorch" in result.stderr
    assert OnnxModel(tmp_path / "out.onnx").properties["timestamp_window_ms"] == "500.0"
    result = subprocess.run([*words[:3], "--window", "500"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.strip() == "error: --window goes with --timestamps"
