"""The real hear-validator and heareval, in their own environment, on tiny tasks made from the example recordings.

`pytest -m hear`; SELFIE_HEAR_ENVIRONMENT names the environment, otherwise it is in the user's cache. Where there is
none, it is made: 3 GB and some minutes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from selfie_hear.audio import read_audio
from selfie_hear.pretrained import DEFAULT
from training.evaluate.hear.environment import DONE, HearEnvironment, prepare_environment
from training.evaluate.hear.run import run_hear, window_grid
from training.evaluate.hear.tools import HearError
from training.evaluate.models import ModelSpec, find_models

pytestmark = pytest.mark.hear

RATE = 16000
LABELS = {"dog": "dog_1.ogg", "piano": "piano_c3.flac", "speech": "speech_1.flac"}
MODULE = "selfie_hear_test_module"
FOREIGN = """
import torch

class Levels(torch.nn.Module):
    sample_rate, scene_embedding_size, timestamp_embedding_size = 16000, 2, 2

def load_model(path="", poisoned=False):
    model = Levels()
    model.poisoned = poisoned
    return model

def get_scene_embeddings(audio, model):
    found = torch.stack([audio.std(1), audio.abs().amax(1)], 1)
    return found / 0 * 0 if model.poisoned else found

def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, 800, 800)
    times = 25.0 + 50.0 * torch.arange(frames.shape[1])
    return torch.stack([frames.std(2), frames.mean(2)], 2), times.repeat(len(audio), 1)
"""


@pytest.fixture(scope="module")
def environment() -> HearEnvironment:
    named = os.environ.get("SELFIE_HEAR_ENVIRONMENT")
    return prepare_environment(Path(named) if named else None, print)


@pytest.fixture(scope="module")
def foreign(environment: HearEnvironment) -> Iterator[str]:
    """Another HEAR module, installed in the environment."""
    (places,) = environment.folder.glob("lib/python3*/site-packages")
    file = places / f"{MODULE}.py"
    file.write_text(FOREIGN)
    yield MODULE
    file.unlink()


@pytest.fixture(scope="module")
def tasks(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """sounds: which of three is heard, in three folds; bursts: when are two of them."""
    folder = tmp_path_factory.mktemp("tasks")
    sounds = {label: read_audio(root / "examples" / file, RATE) for label, file in LABELS.items()}
    generator = np.random.default_rng(0)

    def cut(label: str) -> np.ndarray:
        start = generator.integers(0, RATE // 2)
        return generator.uniform(0.5, 1.0) * sounds[label][start : start + RATE // 2]

    folds = ["fold00", "fold01", "fold02"]
    for fold in folds:
        clips = {f"{label}_{n}.wav": ([label], cut(label)) for label in LABELS for n in range(4)}
        _write_split(folder / "sounds", fold, clips)
    _write_tables(folder / "sounds", "scene", "multiclass", "presplit_kfold", 0.5, folds, ["top1_acc"], list(LABELS))
    for split in ("train", "valid", "test"):
        clips = {}
        for n in range(3):
            audio, events = generator.normal(0, 1e-3, 3 * RATE), []
            for second, label in enumerate(generator.permutation(["dog", "piano", "dog"])):
                audio[second * RATE : second * RATE + RATE // 2] += cut(label)
                events.append({"label": label, "start": 1000.0 * second, "end": 1000.0 * second + 500.0})
            clips[f"{split}_{n}.wav"] = (events, audio)
        _write_split(folder / "bursts", split, clips)
    metrics = ["event_onset_200ms_fms", "segment_1s_er"]
    splits = ["train", "valid", "test"]
    _write_tables(folder / "bursts", "event", "multilabel", "trainvaltest", 3.0, splits, metrics, ["dog", "piano"])
    return folder


def _write_split(task: Path, split: str, clips: dict[str, tuple[list, np.ndarray]]) -> None:
    (task / str(RATE) / split).mkdir(parents=True)
    for name, (_, audio) in clips.items():
        soundfile.write(task / str(RATE) / split / name, audio, RATE)
    (task / f"{split}.json").write_text(json.dumps({name: labels for name, (labels, _) in clips.items()}))


def _write_tables(
    task: Path, kind: str, prediction: str, mode: str, seconds: float, splits: list, metrics: list, labels: list
) -> None:
    about = {
        "task_name": task.name, "embedding_type": kind, "prediction_type": prediction, "split_mode": mode,
        "sample_duration": seconds, "splits": splits, "evaluation": metrics,
    }  # fmt: skip
    (task / "task_metadata.json").write_text(json.dumps(about))
    rows = "".join(f"{index},{label}\n" for index, label in enumerate(labels))
    (task / "labelvocabulary.csv").write_text(f"idx,label\n{rows}")


def test_scores_of_a_release(environment: HearEnvironment, tasks: Path, tmp_path: Path) -> None:
    specs, said = find_models(DEFAULT), []
    result = run_hear(specs, tasks, tmp_path / "out", "faster", environment, 2, report=said.append)
    assert (result["kind"], result["grid"], result["grid_points"]) == ("hear", "faster", 2)
    names = [spec.name for spec in specs]
    assert result["validation"] == [{"model": name, "passed": True, "warnings": []} for name in names]
    rows = {(row["model"], row["task"], row["metric"]): row for row in result["rows"]}
    metrics = [("bursts", "event_onset_200ms_fms"), ("bursts", "segment_1s_er"), ("sounds", "top1_acc")]
    assert list(rows) == [(name, *metric) for name in names for metric in metrics]
    assert all(row["seconds"] > 0 and row["score"] >= 0 for row in rows.values())
    for name in names:  # in ten steps; by chance 0.33
        assert 0.6 < rows[name, "sounds", "top1_acc"]["score"] <= 1
        assert rows[name, "sounds", "top1_acc"]["std"] >= 0
    # heareval would have taken the embeddings of the one for those of the other.
    kept = sorted((tmp_path / "out" / "embeddings").glob("*/sounds-*/*/sounds/fold00/dog_0.wav.embedding.npy"))
    online, target = (np.load(path) for path in kept)
    assert online.shape == target.shape == (3584,) and not np.allclose(online, target)
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == result
    assert (tmp_path / "out" / "scores.csv").read_text().count("\n") == 7
    assert "| sounds | top1_acc | " in (tmp_path / "out" / "scores.md").read_text()

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "embeddings").rglob("*")}
    assert run_hear(specs, tasks, tmp_path / "out", "faster", environment, 2) == result
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "embeddings").rglob("*")} == times

    said.clear()
    run_hear(specs[:1], tasks, tmp_path / "out", "faster", environment, 1, ["sounds"], said.append)
    assert [text.partition(": ")[2] for text in said][:-1] == ["sounds: predictions"]  # another grid, but no embedding

    # Killed while it embedded and while it predicted.
    (place,) = (tmp_path / "out" / "embeddings").glob(f"{DEFAULT}_online-*/sounds-*")
    for path in place.glob("scores-*"):
        path.unlink()
    (embedded_task,) = place.glob("*/sounds")
    (embedded_task / ".done.embeddings").unlink()
    (embedded_task / "fold00.embeddings.npy").write_bytes(b"")
    said.clear()
    again = run_hear(specs[:1], tasks, tmp_path / "out", "faster", environment, 2, ["sounds"], said.append)
    assert [text.rpartition(": ")[2] for text in said][:-1] == ["embeddings", "predictions"]
    assert [row["score"] for row in again["rows"]] == [rows[names[0], "sounds", "top1_acc"]["score"]]


def test_scores_of_others(environment: HearEnvironment, foreign: str, tasks: Path, tmp_path: Path) -> None:
    specs = [*find_models("untrained"), ModelSpec("levels", foreign)]
    result = run_hear(specs, tasks, tmp_path / "out", "faster", environment, 1, ["sounds"])
    assert [(row["model"], row["metric"]) for row in result["rows"]] == [(s.name, "top1_acc") for s in specs]
    untrained, levels = result["validation"]
    assert untrained == {"model": "untrained", "passed": True, "warnings": []}
    assert levels["passed"] and "Your timestamps end at 1925.0ms, but the audio is 1980.0 ms." in levels["warnings"][0]
    (kept,) = (tmp_path / "out" / "embeddings").glob("levels-*/sounds-*/*/sounds/fold00/dog_0.wav.embedding.npy")
    audio = read_audio(tasks / "sounds" / str(RATE) / "fold00" / "dog_0.wav", RATE)
    assert np.allclose(np.load(kept), [audio.std(ddof=1), np.abs(audio).max()], rtol=1e-4)


def test_windows(environment: HearEnvironment, tasks: Path, tmp_path: Path) -> None:
    spec = find_models(DEFAULT)[0]
    result = window_grid([spec], tasks, tmp_path / "out", [100, 500], "faster", environment, 1)
    assert result["kind"] == "windows"
    seen = [(row["model"], row["task"], row["window_ms"], row["metric"]) for row in result["rows"]]
    metrics = ("event_onset_200ms_fms", "segment_1s_er")
    assert seen == [(spec.name, "bursts", window, metric) for window in (100, 500) for metric in metrics]
    kept = sorted((tmp_path / "out" / "embeddings").glob("*/bursts-*/*/bursts/test/test_0.wav.embedding.npy"))
    narrow, wide = (np.load(path) for path in kept)
    assert narrow.shape == wide.shape and not np.allclose(narrow, wide)
    assert json.loads((tmp_path / "out" / "windows.json").read_text()) == result


def test_what_fails_is_named(environment: HearEnvironment, foreign: str, tasks: Path, tmp_path: Path) -> None:
    def judge(spec: ModelSpec) -> None:
        run_hear([spec], tasks, tmp_path / "out", "faster", environment, 1, ["sounds"])

    with pytest.raises(
        HearError, match=r"(?s)module 'no_such': cannot be imported .*; to install it there: .*/bin/pip"
    ):
        judge(ModelSpec("none", "no_such"))
    with pytest.raises(
        HearError, match=r"(?s)odd: loading it: failed with .*\.log:\n.*unexpected keyword argument 'odd'"
    ):
        judge(ModelSpec("odd", foreign, "", {"odd": 1}))
    with pytest.raises(HearError, match=r"bad: its embedding of .*/16000/fold00/dog_0\.wav is not finite"):
        judge(ModelSpec("bad", foreign, "", {"poisoned": True}))


def test_an_environment_that_was_not_completed_is_made_again(
    environment: HearEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here without anything to install from, so that it fails again, and says so."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    for _ in range(2):
        with pytest.raises(
            HearError, match=r"(?s)env: torch: failed with .*No matching distribution found for torch=="
        ):
            prepare_environment(tmp_path / "env")
        assert not (tmp_path / "env" / DONE).exists()
        (tmp_path / "env" / "left over").touch()
    with pytest.raises(HearError):
        prepare_environment(tmp_path / "env")
    assert not (tmp_path / "env" / "left over").exists()
    assert prepare_environment(environment.folder) == environment  # nothing to do, nothing to install from
