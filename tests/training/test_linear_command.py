"""The command `linear`: what it writes and shows, and what is left when a model fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from selfie_hear.pretrained import DEFAULT
from tests.training.tasks import SIMPLE, make_module, make_task
from training.__main__ import main
from training.evaluate.report.results import read_result


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Both branches of a release, both baselines and a foreign module on two small tasks."""
    tones = make_task(tmp_path / "tasks" / "tones", "trainvaltest", clips=8, seconds=0.1)
    make_task(tmp_path / "tasks" / "several", "trainvaltest", multilabel=True, clips=4, seconds=0.1)
    make_task(tmp_path / "tasks" / "unnamed", clips=2)
    make_module(tmp_path / "modules", "mine_own")
    words = [
        "linear", DEFAULT, "log-mel", "untrained", "--module", 'mine_own:{"scale": 2.0}', "--seeds", 2,
        "--tasks-dir", tones.parent, "--task", "tones", "--task", "several",
        "--cache", tmp_path / "cache", "--json", tmp_path / "out.json",
    ]  # fmt: skip
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    ended = capsys.readouterr()
    assert caught.value.code == 0, ended.err
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result) == ["kind", "config", "rows"] and result["kind"] == "linear"
    assert result["config"] == {"epochs": 200, "patience": 20, "batch": 128, "learning_rate": 1e-3, "seeds": 2}
    models = [f"{DEFAULT} online", f"{DEFAULT} target", "log-mel", "untrained", 'mine_own:{"scale": 2.0}']
    rows = result["rows"]
    assert [(row["model"], row["task"]) for row in rows] == [(m, t) for m in models for t in ("tones", "several")]
    for row in rows:
        assert list(row) == ["model", "task", "labels", "metrics", "class_f1", "confusion"]
        assert row["labels"] == ["low", "high"] and len(row["class_f1"]) == 2
        several = row["task"] == "several"
        assert list(row["metrics"]) == ["map" if several else "accuracy", "f1", "wap"]
        assert all(list(value) == ["mean", "ci95"] for value in row["metrics"].values())
        if several:
            assert row["confusion"] is None
            continue
        confusion = np.array(row["confusion"])
        assert confusion.sum(1).tolist() == [4, 4]
        if row["model"] != models[-1]:
            assert row["metrics"]["accuracy"]["mean"] > 90 and min(row["class_f1"]) > 80
            assert confusion.trace() >= 7
        shown = "  ".join(f"{name} {v['mean']:.1f} ± {v['ci95']:.1f}" for name, v in row["metrics"].items())
        assert f"{row['model']}: tones  {shown}\n" in ended.err
    assert len(list((tmp_path / "cache").iterdir())) == 4 + 2  # untrained has the statistics of each task


def test_a_model_that_fails_leaves_the_rows_of_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = make_task(tmp_path / "tasks" / "tones", "trainvaltest", clips=4, seconds=0.05)
    make_task(tmp_path / "tasks" / "others", "trainvaltest", clips=4, seconds=0.05)
    make_module(tmp_path, "hears_something")
    make_module(tmp_path, "hears_nothing", SIMPLE.replace("audio.mean(1)", "audio.mean(1) / 0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    out = tmp_path / "out.json"
    words = ["linear", "--module", "hears_something", "--module", "hears_nothing", "--seeds", 1]
    words += ["--tasks-dir", tones.parent, "--cache", tmp_path / "cache", "--json", out]
    monkeypatch.setattr(sys, "argv", ["training", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert "error: hears_nothing: " in capsys.readouterr().err
    rows = read_result(out)["rows"]
    assert [(row["model"], row["task"]) for row in rows] == [
        ("hears_something", "others"),
        ("hears_something", "tones"),
    ]
