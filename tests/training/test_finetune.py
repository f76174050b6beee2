"""Fine-tuning against frozen, on tasks of tones and a tiny encoder."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from selfie_hear import Embedder, get_scene_embeddings
from selfie_hear.config import FORMAT_VERSION, ReleaseConfig
from selfie_hear.pretrained import file_digest
from training.evaluate import finetune
from training.evaluate.embeddings import read_clip
from training.evaluate.finetune import FineTuneConfig, SceneClassifier, fine_tune
from training.evaluate.tasks import Fold, SceneTask, TaskError

RATE, SAMPLES = 16000, 2000
SPLITS = {"train": 60, "valid": 30, "test": 60}
QUICK = FineTuneConfig(epochs=3, seeds=2)

Sound = Callable[[np.random.Generator, int], np.ndarray]


def tone(hertz: float) -> np.ndarray:
    return 0.2 * np.sin(2 * np.pi * hertz * np.arange(SAMPLES) / RATE)


def tones(generator: np.random.Generator, label: int) -> np.ndarray:
    """Low or high."""
    return tone(generator.uniform(300, 500) * (1, 6)[label])


def either(generator: np.random.Generator, label: int) -> np.ndarray:
    """Label 1 is a low or a high tone, label 0 both or none: no band tells them apart."""
    low = int(generator.integers(2))
    return low * tone(generator.uniform(300, 500)) + (low ^ label) * tone(generator.uniform(2500, 3500))


def make_task(folder: Path, sound: Sound = tones, splits: dict[str, int] = SPLITS) -> SceneTask:
    """Clips of an eighth of a second, of two labels in turn."""
    generator = np.random.default_rng(0)
    folder.mkdir()
    paths: dict[str, list[Path]] = {}
    for split, count in splits.items():
        paths[split] = [folder / f"{split}{number}.wav" for number in range(count)]
        for number, path in enumerate(paths[split]):
            soundfile.write(path, sound(generator, number % 2) + generator.normal(0, 0.02, SAMPLES), RATE)
    truth = {split: np.eye(2, dtype=bool)[np.arange(count) % 2] for split, count in splits.items()}
    fold = Fold(("train",), ("valid",), ("test",))
    return SceneTask(folder.name, ("low", "high"), False, SAMPLES / RATE, paths, truth, (fold,))


def make_release(embedder: Embedder, folder: Path) -> Path:
    """A release folder of a model, whose branches are alike."""
    folder.mkdir()
    names = [f"{branch}.safetensors" for branch in ("online", "target")]
    for name in names:
        save_file({key: value.contiguous() for key, value in embedder.state_dict().items()}, folder / name)
    digests = {name: file_digest(folder / name) for name in names}
    config = ReleaseConfig(FORMAT_VERSION, folder.name, "", "CC0-1.0", "", embedder.config, {}, digests)
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    return folder


@pytest.fixture
def release(tiny: Embedder, tmp_path: Path) -> Path:
    return make_release(tiny, tmp_path / "small")


def scenes_of(task: SceneTask, embedder: Embedder, split: str) -> Tensor:
    clips = [torch.from_numpy(read_clip(path, RATE, SAMPLES)) for path in task.splits[split]]
    return get_scene_embeddings(torch.stack(clips), embedder)


def slow_frozen(task: SceneTask, embedder: Embedder, config: FineTuneConfig, seed: int) -> float:
    """Adam, its warm-up, the standardisation and the early stopping written out, one clip's loss after the other."""
    x = {split: scenes_of(task, embedder, split).double() for split in task.splits}
    y = {split: torch.from_numpy(truth.argmax(1)) for split, truth in task.truth.items()}
    mean, deviation = x["train"].mean(0), x["train"].var(0, correction=0).sqrt()
    floor = 0.1 * deviation.mean()
    x = {s: (rows - mean) / torch.tensor([max(float(d), float(floor)) for d in deviation]) for s, rows in x.items()}
    generator = torch.Generator().manual_seed(seed)
    size = x["train"].shape[1]
    weight = ((torch.rand(2 * size, generator=generator) * 2 - 1) / size**0.5).view(2, size).double()
    bias = ((torch.rand(2, generator=generator) * 2 - 1) / size**0.5).double()
    first, second = torch.zeros(2, size + 1).double(), torch.zeros(2, size + 1).double()
    together = torch.cat([weight, bias[:, None]], dim=1)
    ones = {split: torch.cat([rows, torch.ones(len(rows), 1)], dim=1) for split, rows in x.items()}
    best, answer, step, since = float("inf"), 0.0, 0, 0
    warm = config.warmup_epochs * -(-len(y["train"]) // config.batch)
    for _ in range(config.epochs):
        for rows in torch.randperm(len(y["train"]), generator=generator).split(config.batch):
            gradient = torch.zeros_like(together)
            for row in rows:
                likely = (together @ ones["train"][row]).softmax(0)
                likely[y["train"][row]] -= 1
                gradient += likely[:, None] * ones["train"][row] / len(rows)
            step += 1
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            rate = config.learning_rate * min(1.0, step / warm)
            together = together - rate * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        loss = float(-(ones["valid"] @ together.T).log_softmax(1)[range(len(y["valid"])), y["valid"]].mean())
        since += 1
        if loss < best:
            best, since = loss, 0
            answer = 100 * float(((ones["test"] @ together.T).argmax(1) == y["test"]).double().mean())
        if since >= config.patience:
            break
    return answer


def test_frozen_is_what_it_is_written_out(tiny: Embedder, release: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "either", either)
    means = []
    for patience in (1, 30):
        config = FineTuneConfig(epochs=8, patience=patience, batch=16, learning_rate=0.05, seeds=2)
        expected = [slow_frozen(task, tiny, config, seed) for seed in range(2)]
        found = fine_tune(task, release, "online", config)
        assert expected[0] != expected[1]
        assert found["frozen"]["mean"] == pytest.approx(np.mean(expected))
        assert found["frozen"]["ci95"] == pytest.approx(12.7062047 * np.std(expected, ddof=1) / 2**0.5)
        means.append(found["frozen"]["mean"])
    assert means[0] != means[1]  # stopping early is seen


def test_what_a_frozen_encoder_cannot_tell_apart_is_learned(tiny: Embedder, tmp_path: Path) -> None:
    task = make_task(tmp_path / "either", either, {"train": 120, "valid": 40, "test": 100})
    release = make_release(tiny, tmp_path / "small")
    config = FineTuneConfig(epochs=20, patience=20, learning_rate=0.01, encoder_learning_rate=0.01, seeds=1)
    found = fine_tune(task, release, "online", config)
    assert found["finetuned"]["mean"] > found["frozen"]["mean"] + 10
    assert found["finetuned"]["mean"] > 95


def test_what_is_easy_is_learned_by_both(release: Path, tmp_path: Path) -> None:
    found = fine_tune(make_task(tmp_path / "tones"), release, "target", replace(QUICK, epochs=8, learning_rate=0.02))
    assert found == {
        "task": "tones",
        "folds": 1,
        "all_folds": 1,
        "frozen": {"mean": 100.0, "ci95": 0.0},
        "finetuned": {"mean": 100.0, "ci95": 0.0},
    }


def test_an_encoder_that_does_not_learn_is_frozen(release: Path, tmp_path: Path) -> None:
    """The two differ in nothing but the encoder's learning rate."""
    task = make_task(tmp_path / "either", either)
    config = replace(QUICK, learning_rate=0.02)
    still = fine_tune(task, release, "online", replace(config, encoder_learning_rate=0.0))
    assert still["finetuned"] == still["frozen"]
    moving = fine_tune(task, release, "online", replace(config, encoder_learning_rate=0.01))
    assert moving["frozen"] == still["frozen"] != moving["finetuned"]


def test_same_seeds_same_result_whatever_fits_into_memory(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(tmp_path / "either", either)
    config = replace(QUICK, learning_rate=0.02, encoder_learning_rate=0.002)
    first = fine_tune(task, release, "online", config)
    assert fine_tune(task, release, "online", config) == first
    assert fine_tune(task, release, "online", replace(config, seeds=3)) != first
    read: list[Path] = []
    monkeypatch.setattr(finetune, "HELD_BYTES", 0)
    monkeypatch.setattr(finetune, "read_clip", lambda path, *rest: read.append(path) or read_clip(path, *rest))
    assert fine_tune(task, release, "online", config) == first
    assert len(read) > 2 * sum(SPLITS.values())  # each epoch anew


def test_a_batch_in_parts_has_the_gradient_of_the_whole(release: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "either", either)
    config = replace(QUICK, learning_rate=0.02, encoder_learning_rate=0.002)
    whole = fine_tune(task, release, "online", config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "PASS_SECONDS", 7 * SAMPLES / RATE)
        parts = fine_tune(task, release, "online", config)
    assert parts["finetuned"]["mean"] == pytest.approx(whole["finetuned"]["mean"], abs=2)  # rounding may tip a clip


def test_the_gradient_reaches_every_weight_of_the_encoder_and_is_right(tiny: Embedder) -> None:
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(6, SAMPLES, generator=generator, dtype=torch.float64)
    truth = torch.tensor([0, 1, 2, 0, 1, 2])
    embedder = tiny.double()
    with torch.no_grad():
        scenes = embedder(audio)
    model = SceneClassifier(embedder, scenes.float(), 3, generator).double()
    statistics = {name: value.clone() for name, value in embedder.named_buffers()}

    def loss() -> Tensor:
        return F.cross_entropy(model(audio), truth)

    loss().backward()
    assert all(torch.equal(value, statistics[name]) for name, value in embedder.named_buffers())
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        at = np.unravel_index(int(parameter.grad.abs().argmax()), tuple(parameter.shape))
        before, slopes = float(parameter.data[at]), []
        for change in (1e-6, -1e-6):
            parameter.data[at] = before + change
            slopes.append(float(loss().detach()))
        parameter.data[at] = before
        assert (slopes[0] - slopes[1]) / 2e-6 == pytest.approx(float(parameter.grad[at]), rel=1e-3), name


def test_a_dimension_that_hardly_varies_is_not_blown_up(tiny: Embedder) -> None:
    scenes = torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 1e-9]])
    model = SceneClassifier(tiny, scenes, 2, torch.Generator())
    assert model.mean.tolist() == pytest.approx([2.0, 5.0, 5e-10])
    assert model.scale.tolist() == pytest.approx([1.0, 30.0, 30.0], rel=1e-5)  # a tenth of the mean deviation of 1/3


def test_folds_are_averaged_and_may_be_limited(release: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "either", either, {"train": 60, "valid": 30, "test": 60})
    folds = (*task.folds, Fold(("test",), ("train",), ("valid",)))
    config = replace(QUICK, epochs=4, seeds=1, learning_rate=0.02, encoder_learning_rate=0.01)
    each = [fine_tune(replace(task, folds=(fold,)), release, "online", config) for fold in folds]
    seen: list[tuple[int, int]] = []
    both = fine_tune(replace(task, folds=folds), release, "online", config, lambda *now: seen.append(now))
    for kind in ("frozen", "finetuned"):
        assert each[0][kind]["mean"] != each[1][kind]["mean"]
        assert both[kind]["mean"] == pytest.approx((each[0][kind]["mean"] + each[1][kind]["mean"]) / 2)
    twice = fine_tune(replace(task, folds=folds[:1] * 2), release, "online", config)
    assert twice["finetuned"]["mean"] == each[0]["finetuned"]["mean"]  # each begins with the encoder of the release
    assert fine_tune(replace(task, folds=folds), release, "online", replace(config, folds=1)) == {
        **each[0],
        "all_folds": 2,
    }
    assert seen == sorted(seen) and seen[-1] == (16, 16)


def test_errors_say_what_to_do(release: Path, tmp_path: Path) -> None:
    task = make_task(tmp_path / "tones")
    with pytest.raises(TaskError, match="tones: is multilabel"):
        fine_tune(replace(task, multilabel=True), release, "online")
    with pytest.raises(
        TaskError, match=r"the loss of epoch \d is not a finite number; lower the learning rates \(0.001"
    ):
        fine_tune(task, release, "online", replace(QUICK, encoder_learning_rate=1e30))
    for change in ({"epochs": 0}, {"folds": 0}, {"learning_rate": float("nan")}, {"encoder_learning_rate": -1.0}):
        with pytest.raises(TaskError, match="finetune: "):
            replace(QUICK, **change)
