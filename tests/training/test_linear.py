"""The linear probe on small tasks made here, in hear-eval-kit's layout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from selfie_hear import Embedder
from selfie_hear.audio import read_audio
from selfie_hear.config import FrontEndConfig, ModelConfig
from selfie_hear.frontend import LogMel
from training.evaluate.linear import _gather_statistics, evaluate, get_embedder, probe
from training.evaluate.tasks import SceneTask, TaskError, read_task, read_tasks


def make_task(folder: Path, mode: str = "presplit_kfold", labels: tuple[str, ...] = ("low", "high")) -> Path:
    """Tones in noise, low or high, six clips a label and split."""
    splits = ["train", "valid", "test"] if mode == "trainvaltest" else ["fold00", "fold01", "fold02"]
    generator = np.random.default_rng(0)
    for split in splits:
        (folder / "16000" / split).mkdir(parents=True)
        names = {}
        for number in range(12):
            label = labels[number % len(labels)]
            hertz = generator.uniform(300, 400) * (1 if label == "low" else 4)
            tone = 0.2 * np.sin(2 * np.pi * hertz * np.arange(8000) / 16000) + generator.normal(0, 0.02, 8000)
            soundfile.write(folder / "16000" / split / f"{number}.flac", tone, 16000)
            names[f"{number}.flac"] = [label]
        (folder / f"{split}.json").write_text(json.dumps(names))
    about = {"embedding_type": "scene", "prediction_type": "multiclass", "split_mode": mode, "splits": splits}
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder


def test_folds_by_hand(tmp_path: Path) -> None:
    task = read_task(make_task(tmp_path / "tones"), 16000)
    assert task is not None
    assert task.folds == [
        (["fold01"], ["fold02"], ["fold00"]),
        (["fold02"], ["fold00"], ["fold01"]),
        (["fold00"], ["fold01"], ["fold02"]),
    ]
    single = read_task(make_task(tmp_path / "single", "trainvaltest"), 16000)
    assert single is not None
    assert single.folds == [(["train"], ["valid"], ["test"])]


def test_what_can_be_told_apart_is(tmp_path: Path) -> None:
    make_task(tmp_path / "tones")
    tasks = read_tasks(tmp_path, 16000)
    assert evaluate("log-mel", "", tasks) == {"tones": 100.0, "mean": 100.0}


def test_what_cannot_be_told_apart_is_not() -> None:
    generator = np.random.default_rng(0)
    embedded = {s: (generator.normal(size=(200, 8)), generator.choice(["a", "b"], 200)) for s in ("x", "y", "z")}
    task = SceneTask("coin", {}, [(["x"], ["y"], ["z"])])
    accuracy, _ = probe(task, embedded)
    assert 35 < accuracy < 65


def test_features_are_standardised_on_the_training_part() -> None:
    """One informative feature a million times smaller than the noise beside it is still found."""
    generator = np.random.default_rng(0)
    labels = generator.choice(["a", "b"], 300)
    features = np.stack([np.where(labels == "a", 1e-6, -1e-6), generator.normal(size=300)], axis=1)
    embedded = {s: (features[i::3], labels[i::3]) for i, s in enumerate("xyz")}
    assert probe(SceneTask("small", {}, [(["x"], ["y"], ["z"])]), embedded) == (100.0, 0.0)


def test_log_mel_baseline_by_hand() -> None:
    task = SceneTask("none", {}, [])
    audio = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.1
    bands = LogMel(FrontEndConfig())(torch.nn.functional.pad(audio, (512, 512))[None])[0, 0].numpy()
    expected = np.concatenate([bands.mean(1), bands.std(1)])
    np.testing.assert_allclose(get_embedder("log-mel", "", task)(audio), expected, rtol=1e-5)


def test_untrained_depends_on_the_seed_and_is_normalised_by_the_task(tmp_path: Path) -> None:
    task = read_task(make_task(tmp_path / "tones"), 16000)
    assert task is not None
    audio = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.1
    first, again, other = (get_embedder("untrained", "", task, seed)(audio) for seed in (0, 0, 1))
    assert first.shape == (3072,)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    torch.manual_seed(0)
    statistics = _gather_statistics(Embedder(ModelConfig()), task).encoder.get_buffer("norm0.running_mean")
    clips = [torch.from_numpy(read_audio(path, 16000)) for clips in task.splits.values() for path, _ in clips]
    padded = torch.stack([torch.nn.functional.pad(clip, (512, 16000 - len(clip) + 512)) for clip in clips])
    mel = LogMel(FrontEndConfig())(padded)[..., :100]
    assert float(statistics) == pytest.approx(float(mel.mean()), abs=0.1)


def test_other_kinds_of_task_are_passed_over_and_errors_name_the_file(tmp_path: Path) -> None:
    event = make_task(tmp_path / "event")
    about = json.loads((event / "task_metadata.json").read_text())
    (event / "task_metadata.json").write_text(json.dumps({**about, "embedding_type": "event"}))
    with pytest.raises(TaskError, match="no scene tasks"):
        read_tasks(tmp_path, 16000)
    broken = make_task(tmp_path / "broken")
    (broken / "16000" / "fold01" / "3.flac").unlink()
    with pytest.raises(TaskError, match=r"fold01/3\.flac: no such file"):
        read_task(broken, 16000)
    (broken / "fold01.json").write_text(json.dumps({"0.flac": ["low", "high"]}))
    with pytest.raises(TaskError, match=r"fold01/0\.flac: 2 labels"):
        read_task(broken, 16000)
    (broken / "fold02.json").unlink()
    with pytest.raises(TaskError, match=r"broken: not a task.*fold02\.json"):
        read_task(broken, 16000)


def test_command_writes_both_branches(tmp_path: Path, root: Path) -> None:
    make_task(tmp_path / "tasks" / "tones")
    words = ["linear", "selfie-open10h", "log-mel", "--tasks-dir", tmp_path / "tasks", "--json", tmp_path / "out.json"]
    result = subprocess.run(
        [sys.executable, "-m", "training", *map(str, words)], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "out.json").read_text())
    assert [row["model"] for row in rows] == ["selfie-open10h online", "selfie-open10h target", "log-mel"]
    assert all(row["scores"] == {"tones": 100.0, "mean": 100.0} for row in rows)
