"""The table of HEAR's tasks, and the check of those on the disk."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.training.zenodo import ESC50, GUNSHOT, Zenodo, make_task
from training.evaluate.hear import tasks as hear_tasks
from training.evaluate.hear.fetch import fetch
from training.evaluate.hear.tasks import HEAR_TASKS, HearTask, HearTasksError, verify


def test_the_table() -> None:
    assert len({task.name for task in HEAR_TASKS}) == len({task.title for task in HEAR_TASKS}) == 19
    assert sum(task.clips for task in HEAR_TASKS) == 266608
    assert {task.metric for task in HEAR_TASKS} == {"Accuracy", "AUCROC", "mAP", "Onset FMS", "Pitch Acc."}
    esc50 = next(task for task in HEAR_TASKS if task.name == ESC50)
    assert (esc50.title, esc50.clips, esc50.metric) == ("ESC-50", 2000, "Accuracy")
    assert esc50.archive == "hear2021-esc50-v2.0.0-full-48000.tar.gz"
    with pytest.raises(FrozenInstanceError):
        esc50.clips = 1  # type: ignore[misc]


def test_verify_what_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(hear_tasks.BY_NAME, GUNSHOT, HearTask("Gunshot", GUNSHOT, 4, "Accuracy"))
    make_task(tmp_path / GUNSHOT, 16000)
    events = {"train": {"a.wav": [{"label": "dog", "start": 0.0, "end": 9.0}]}, "test": {"b.wav": []}}
    make_task(tmp_path / "events", 16000, events)
    make_task(tmp_path / "numbers", 16000, {"fold00": {"a.wav": [21]}, "fold01": {"b.wav": ["22"]}})
    (tmp_path / "numbers/labelvocabulary.csv").write_text("idx,label\n0,21\n1,22\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "read.me").touch()
    reports = verify(tmp_path, 16000)
    assert [(one.name, one.clips, one.problems) for one in reports] == [
        ("events", 2, []),
        (GUNSHOT, 4, []),
        ("numbers", 2, []),
    ]
    assert reports[1].hours == pytest.approx((0.05 + 0.06 + 0.07 + 0.08) / 3600)


def rewrite(name: str, text: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_text(text)


def remove(name: str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).unlink()


def at_8_khz(folder: Path) -> None:
    soundfile.write(folder / "16000/train/b.wav", np.zeros(800), 8000)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove("task_metadata.json"), "task_metadata.json is missing"),
        (rewrite("task_metadata.json", "{"), "task_metadata.json cannot be read (JSONDecodeError"),
        (rewrite("task_metadata.json", "{}"), "task_metadata.json cannot be read (KeyError('splits'))"),
        (remove("valid.json"), "valid.json is missing"),
        (rewrite("valid.json", '["c.wav"]'), "valid.json cannot be read (AttributeError"),
        (rewrite("valid.json", '{"c.wav": null}'), "valid.json cannot be read (TypeError"),
        (remove("labelvocabulary.csv"), "labelvocabulary.csv is missing"),
        (rewrite("labelvocabulary.csv", ""), "3 of 4 clips have a label that is not in labelvocabulary.csv, such as a"),
        (rewrite("labelvocabulary.csv", "idx,label\n0,dog\n"), "2 of 4 clips have a label that is not in"),
        (rewrite("test.json", '{"d.wav": ["cow"]}'), "1 of 4 clips have a label .*, such as d.wav ('cow')"),
        (remove("16000/train/b.wav"), "1 of 2 clips are not in 16000/train, such as b.wav"),
        (lambda folder: shutil.rmtree(folder / "16000/valid"), "1 of 1 clips are not in 16000/valid, such as c.wav"),
        (at_8_khz, "1 of 4 clips are not at 16000 Hz, such as train/b.wav (8000 Hz)"),
        (rewrite("16000/train/b.wav", "RIFF"), "1 of 4 clips cannot be read, such as train/b.wav ("),
        (rewrite("test.json", '{"a.wav": ["cat"]}'), "1 of 4 clips are in two splits, such as a.wav (train, test)"),
        (rewrite("test.json", "{}"), "its splits name 3 clips, those of HEAR 2021 4"),
    ],
)
def test_verify_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], Any], said: str
) -> None:
    monkeypatch.setitem(hear_tasks.BY_NAME, GUNSHOT, HearTask("Gunshot", GUNSHOT, 4, "Accuracy"))
    harm(make_task(tmp_path / GUNSHOT, 16000))
    make_task(tmp_path / "well", 16000)
    bad, good = verify(tmp_path, 16000)
    pattern = ".*".join(map(re.escape, said.split(".*")))
    assert [problem for problem in bad.problems if re.match(pattern, problem)], bad.problems
    assert good.problems == []


def test_verify_needs_a_task(tmp_path: Path) -> None:
    with pytest.raises(HearTasksError, match="gone: no such folder"):
        verify(tmp_path / "gone", 16000)
    with pytest.raises(HearTasksError, match="holds no task, which is a folder with task_metadata.json"):
        verify(tmp_path, 16000)
    (tmp_path / GUNSHOT).mkdir()
    assert verify(tmp_path, 16000)[0].problems[0] == "task_metadata.json is missing"


def test_what_was_fetched_verifies(zenodo: Zenodo, tmp_path: Path) -> None:
    fetch([GUNSHOT], tmp_path, zenodo.url)
    (report,) = verify(tmp_path, 16000)
    assert report.problems == ["its splits name 4 clips, those of HEAR 2021 88"]  # ours is a miniature
    assert report.hours == pytest.approx(0.26 / 3600)
