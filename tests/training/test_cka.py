"""CKA against its definition by kernels, and what is seen of an encoder's layers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from selfie_hear import Embedder, get_timestamp_embeddings
from selfie_hear.config import EncoderConfig, FrontEndConfig, ModelConfig
from selfie_hear.encoders import ENCODERS, Encoder
from tests.conftest import MELS, TINY, noise, tiny_embedder
from tests.training.test_finetune import make_release, make_task
from training.evaluate.cka import layers_cka, layers_of, linear_cka
from training.evaluate.tasks import SceneTask, TaskError

AUDIO_NTT = ["norm0", "norm1", "norm2", "fc1", "fc2", "output"]


def features(clips: int, size: int, seed: int = 0) -> np.ndarray:
    """Some large, some small, none with mean 0."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(clips, size)) @ generator.normal(size=(size, size)) + generator.normal(size=size)


def by_kernels(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L)), entry by entry (Gretton et al. 2005; Kornblith et al. 2019, eq. 3)."""
    n = len(x)
    kernels = [
        [[sum(a * b for a, b in zip(z[i], z[j], strict=True)) for j in range(n)] for i in range(n)] for z in (x, y)
    ]
    centring = np.eye(n) - np.ones((n, n)) / n

    def hsic(k: list[list[float]], l: list[list[float]]) -> float:  # noqa: E741
        return float(np.trace(np.array(k) @ centring @ np.array(l) @ centring)) / (n - 1) ** 2

    first, second = kernels
    return hsic(first, second) / (hsic(first, first) * hsic(second, second)) ** 0.5


def by_features(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


@pytest.mark.parametrize("sizes", [(3, 5), (30, 4), (40, 50)])
def test_both_definitions(sizes: tuple[int, int]) -> None:
    x, y = features(20, sizes[0]), features(20, sizes[1], seed=1)
    y[:, 0] += 3 * x[:, 0]
    expected = by_kernels(x, y)
    assert 0.05 < expected < 0.95
    assert linear_cka(x, y) == pytest.approx(expected, rel=1e-9) == by_features(x, y)
    assert linear_cka(y, x) == pytest.approx(expected, rel=1e-9)


def test_by_hand() -> None:
    """One feature each: the squared correlation, here (2 - 0)^2 / (2 * 6)."""
    assert linear_cka(np.array([[-1.0], [0.0], [1.0]]), np.array([[6.0], [3.0], [9.0]])) == pytest.approx(0.25)


def test_rotation_scale_and_shift_are_not_seen_and_other_maps_are() -> None:
    x = features(60, 7)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(7, 7)))[0]
    y = features(60, 5, seed=1) + x[:, :5]
    for moved in (x, x @ rotation, 1e-9 * x, 1e200 * x, x + 1000.0, x.astype(np.float32)):
        assert linear_cka(x, moved) == pytest.approx(1.0, abs=1e-6)
        assert linear_cka(moved, y) == pytest.approx(linear_cka(x, y), rel=1e-5)
    assert linear_cka(x, x * np.array([30.0, 1, 1, 1, 1, 1, 1])) < 0.9
    assert linear_cka(x, x[::-1]) < 0.5


def test_independent_features_are_alike_only_where_clips_are_few() -> None:
    assert linear_cka(features(4000, 6), features(4000, 6, seed=1)) < 0.01
    assert linear_cka(*np.random.default_rng(0).normal(size=(2, 10, 300))) > 0.9


def test_a_layer_that_is_the_same_for_all_clips_is_like_none() -> None:
    x = features(30, 4)
    assert linear_cka(np.full((30, 3), 0.1), x) == 0.0 == linear_cka(x, np.zeros((30, 1)))


def test_rows_must_be_the_same_clips() -> None:
    with pytest.raises(ValueError, match=r"\(4, 2\) and \(5, 2\)"):
        linear_cka(np.zeros((4, 2)), np.zeros((5, 2)))


def test_layers_of_audio_ntt_written_out(tiny: Embedder) -> None:
    """With the modules themselves, in place of the folded convolutions."""
    audio = 0.1 * torch.randn(3, 3000, generator=torch.Generator().manual_seed(0))
    encoder, mels = tiny.encoder, tiny.grid.mel_frames(3000)
    before, end = tiny.grid.sample_span(0, mels)
    found = layers_of(tiny, audio)
    part = {name: module for name, module in encoder.named_children() if isinstance(module, nn.Module)}
    with torch.no_grad():
        mel = tiny.front_end(torch.cat([torch.zeros(3, -before), audio, torch.zeros(3, end - 3000)], dim=1))
        x = part["norm0"](mel.transpose(2, 3))
        expected = {"norm0": x.mean(2).flatten(1)}
        for number in "12":
            x = part[f"norm{number}"](part[f"conv{number}"](x))
            expected[f"norm{number}"] = x.mean(2).flatten(1)
            x = x.relu()
            x = nn.functional.max_pool2d(x, 2)
        one = part["fc1"](x.permute(0, 2, 3, 1).flatten(2))
        two = part["fc2"](one.relu())
    frames = get_timestamp_embeddings(audio, _one_frame(tiny))[0] / 2  # mean + max of one frame
    expected |= {"fc1": one.mean(1), "fc2": two.mean(1), "output": frames.mean(1)}
    assert list(found) == list(expected) == AUDIO_NTT
    for name, values in expected.items():
        assert found[name].shape == values.shape
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5)
    assert not any(module.training or module._forward_hooks for module in tiny.modules())


def test_layers_of_encoders_within_an_encoder() -> None:
    audio = 0.1 * torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    model = tiny_embedder(TINY[1])
    found = layers_of(model, audio)
    local = [f"{path}.{name}" for path in ("plain", "relative") for name in AUDIO_NTT[:3]]
    assert list(found) == [*local, *(f"smoothed.{name}" for name in AUDIO_NTT[:-1]), "output"]
    assert not any(module.training or module._forward_hooks for module in model.modules())


def _one_frame(embedder: Embedder) -> Embedder:
    embedder.timestamp_window_ms = 1.0
    return embedder


class Odd(Encoder):
    """Time comes last or first or not at all, a module runs twice, others are in a list, and training changes it."""

    stride, context = 2, 0

    def __init__(self, n_mels: int = 8) -> None:
        super().__init__()
        self.dim = n_mels
        self.last = nn.ModuleList([nn.Conv1d(n_mels, n_mels, 2, stride=2), nn.Identity()])
        self.pooled = nn.Linear(n_mels, 3)
        self.twice = nn.ReLU()
        self.flat = nn.Linear(n_mels, n_mels)
        self.dropout = nn.Dropout(0.5)

    def encode(self, planes: Tensor) -> Tensor:
        x = self.last[0](planes[:, 0]) + (1.0 if self.training else 0.0)
        self.pooled(x.mean(2))
        x = self.twice(self.twice(x)).transpose(1, 2)
        rows = self.flat(x.flatten(0, 1))  # (B * T', D): which clip a row is of cannot be told
        return self.dropout(rows.view(x.shape))


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Embedder:
    monkeypatch.setitem(ENCODERS, "odd", Odd)
    torch.manual_seed(0)
    return Embedder(ModelConfig(FrontEndConfig(n_mels=8), EncoderConfig("odd"))).eval()


def test_layers_of_an_encoder_that_hears_segments_are_means_over_them() -> None:
    options = {"channels": [4, 4, 4], "heads": [1, 1, 1], "segment": 64}
    model = tiny_embedder(ModelConfig(MELS, EncoderConfig("cvt", options)))
    given: list[Tensor] = []
    hook = model.encoder.get_submodule("stages.1").register_forward_hook(lambda _m, _i, out: given.append(out))
    clip = noise(160 * 64 * 3)[None]
    model(clip)
    hook.remove()
    assert len(given) == 3
    layers = layers_of(model, clip)
    assert list(layers) == ["norm0", "stages.0", "stages.1", "stages.2", "output"]
    expected = torch.stack([part.mean(3).flatten(1) for part in given]).mean(0)
    torch.testing.assert_close(layers["stages.1"], expected)


def test_of_any_encoder_only_what_can_be_told_by_clip(odd: Embedder) -> None:
    audio = 0.1 * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    found = layers_of(odd, audio)
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "last.0": (1, 8),
        "pooled": (1, 3),
        "output": (1, 8),
    }
    frames = get_timestamp_embeddings(audio, _one_frame(odd))[0] / 2
    torch.testing.assert_close(found["output"], frames.mean(1), rtol=1e-4, atol=1e-5)
    pooled = odd.encoder.get_submodule("pooled")
    torch.testing.assert_close(found["pooled"], pooled(found["last.0"]).detach(), rtol=1e-4, atol=1e-5)


@pytest.fixture
def task(tmp_path: Path) -> SceneTask:
    return make_task(tmp_path / "tones", splits={"train": 20, "valid": 10, "test": 10})


def other(tiny: Embedder) -> Embedder:
    """Of the same form, initialised anew."""
    torch.manual_seed(1)
    return Embedder(tiny.config).eval()


def test_matrix_of_two_releases(tiny: Embedder, odd: Embedder, task: SceneTask, tmp_path: Path) -> None:
    one, two = (make_release(e, tmp_path / name) for e, name in ((tiny, "one"), (odd, "two")))
    seen: list[tuple[int, int]] = []
    found = layers_cka((one, "online"), (two, "target"), task, 23, lambda *now: seen.append(now))
    assert json.loads(json.dumps(found)) == found
    assert (found["kind"], found["task"], found["clips"]) == ("cka", "tones", 23)
    assert found["models"] == ["one online", "two target"]
    assert found["layers"] == [AUDIO_NTT, ["last.0", "pooled", "output"]]
    assert seen[-1] == (46, 46) and seen == sorted(seen)
    paths = [path for files in task.splits.values() for path in files]
    audio = [torch.from_numpy(soundfile.read(paths[n * 40 // 23], dtype="float32")[0]) for n in range(23)]
    alone = [[layers_of(e, clip[None]) for clip in audio] for e in (tiny, odd)]
    for row, first in enumerate(found["layers"][0]):
        for column, second in enumerate(found["layers"][1]):
            x, y = (np.stack([v[name][0].numpy() for v in vs]) for vs, name in zip(alone, (first, second), strict=True))
            assert found["matrix"][row][column] == pytest.approx(
                by_features(x.astype(float), y.astype(float)), rel=1e-3
            )


def test_an_encoder_with_itself_and_with_another(tiny: Embedder, task: SceneTask, tmp_path: Path) -> None:
    one, two = (make_release(e, tmp_path / name) for e, name in ((tiny, "one"), (other(tiny), "two")))
    itself = np.array(layers_cka((one, "online"), (one, "target"), task)["matrix"])
    np.testing.assert_allclose(np.diag(itself), 1.0, atol=1e-9)
    np.testing.assert_allclose(itself, itself.T, atol=1e-9)
    found = layers_cka((one, "online"), (two, "online"), task)
    diagonal, chance = np.diag(found["matrix"]), np.array(found["chance"])
    assert (diagonal[1:] < 0.999).all()
    assert chance.shape == (6, 6) and (chance < 0.3).all() and (diagonal > chance.max()).all()


def test_errors(tiny: Embedder, task: SceneTask, tmp_path: Path) -> None:
    one = make_release(tiny, tmp_path / "one")
    with pytest.raises(TaskError, match="CKA of 5 clips; 8 or more"):
        layers_cka((one, "online"), (one, "online"), replace(task, splits={"train": task.splits["train"][:5]}))
    tiny.encoder.get_parameter("fc2.weight").data[0, 0] = float("nan")
    broken = make_release(tiny, tmp_path / "broken")
    with pytest.raises(TaskError, match="broken online: what fc2 gives for clips of tones is not finite"):
        layers_cka((one, "online"), (broken, "online"), task)
