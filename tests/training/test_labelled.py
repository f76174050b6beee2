"""The two kinds of labelled folder, and those that are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.tones import RATE, make_folder, make_task, tone
from training.evaluate.knn import read_labelled
from training.evaluate.tasks import TaskError


def test_a_folder_of_folders(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "tones")
    (folder / "low" / "notes.txt").write_text("no audio")
    (folder / "low" / ".hidden.wav").write_text("no audio")
    (folder / ".cache").mkdir()
    tone(folder / ".cache" / "0.wav", 500)
    (folder / "papers").mkdir()
    (folder / "papers" / "a.pdf").write_text("no audio")
    (folder / "readme.wav").write_text("beside the folders, so without a label")
    found = read_labelled(folder, RATE)
    names = [path.relative_to(folder).as_posix() for path in found.paths]
    assert found.name == "tones"
    assert names == [f"high/{n}.flac" for n in range(5)] + ["high/more/deep/5.flac"] + [
        f"low/{n}.wav" for n in range(6)
    ]
    assert found.labels.tolist() == ["high"] * 6 + ["low"] * 6
    assert len(set(found.groups.tolist())) == 12


def test_a_scene_task(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "task")
    found = read_labelled(folder, RATE)
    assert found.name == "task"
    assert [(p.parent.name, p.name) for p in found.paths][:4] == [
        ("fold00", "high0.wav"),
        ("fold00", "high1.wav"),
        ("fold00", "high2.wav"),
        ("fold00", "low0.wav"),
    ]
    assert found.labels.tolist() == (["high"] * 3 + ["low"] * 3) * 3
    assert found.groups.tolist() == ["fold00"] * 6 + ["fold01"] * 6 + ["fold02"] * 6


def test_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"nowhere: no such folder; accepted is .*hear-eval-kit.*sub-folder"):
        read_labelled(tmp_path / "nowhere", RATE)
    task = make_task(tmp_path / "task")
    about = json.loads((task / "task_metadata.json").read_text())
    (task / "task_metadata.json").write_text(json.dumps({**about, "prediction_type": "multilabel"}))
    with pytest.raises(TaskError, match=r"task: a multilabel task; accepted is a multiclass scene task"):
        read_labelled(task, RATE)
    (task / "task_metadata.json").write_text(json.dumps({**about, "embedding_type": "event"}))
    with pytest.raises(TaskError, match=r"task: a task of another kind; accepted is a multiclass scene task"):
        read_labelled(task, RATE)
    (task / "task_metadata.json").write_text("{")
    with pytest.raises(TaskError, match=r"task_metadata\.json: missing or not JSON"):
        read_labelled(task, RATE)
    empty = tmp_path / "empty"
    (empty / "a").mkdir(parents=True)
    with pytest.raises(TaskError, match=r"empty: clips of 0 labels, two or more are needed"):
        read_labelled(empty, RATE)
    tone(empty / "a" / "0.wav", 300)
    tone(empty / "a" / "1.wav", 300)
    with pytest.raises(TaskError, match=r"empty: clips of 1 labels"):
        read_labelled(empty, RATE)
    tone(empty / "b" / "0.wav", 300)
    with pytest.raises(TaskError, match=r"empty: 'b': all clips of the label in one group"):
        read_labelled(empty, RATE)


def test_a_label_in_one_split_only_is_refused(tmp_path: Path) -> None:
    task = make_task(tmp_path / "task")
    about = json.loads((task / "task_metadata.json").read_text())
    splits = dict(zip(("fold00", "fold01", "fold02"), ("train", "valid", "test"), strict=True))
    for old, new in splits.items():
        names = json.loads((task / f"{old}.json").read_text())
        kept = {name: of for name, of in names.items() if new == "train" or of == ["low"]}
        (task / f"{new}.json").write_text(json.dumps(kept))
        (task / "16000" / old).rename(task / "16000" / new)
    about = {**about, "split_mode": "trainvaltest", "splits": list(splits.values())}
    (task / "task_metadata.json").write_text(json.dumps(about))
    with pytest.raises(TaskError, match=r"task: 'high': all clips of the label in one group"):
        read_labelled(task, RATE)
