"""A run of HEAR's tools, without them: wishes refused, scores read, programs run, the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.processes import ROOT
from tests.training.tasks import make_silence
from training.evaluate.hear.environment import HearEnvironment
from training.evaluate.hear.folder import HearFolder
from training.evaluate.hear.run import rows_of, run_hear, to_markdown, window_grid
from training.evaluate.hear.tools import HearError, last_lines, locked, run_tool
from training.evaluate.models import ModelSpec

NOWHERE = HearEnvironment(Path("/nowhere"), "")


def test_wishes_that_cannot_be_met_are_refused(tmp_path: Path) -> None:
    make_silence(tmp_path / "tasks" / "one")
    one = ModelSpec("one", "one")
    for specs, grid, points, said in (
        ([one], "slow", None, "grid 'slow' is unknown; grids are default, fast, faster"),
        ([one], "fast", 0, "0 grid points"),
        ([one, one], "fast", None, "models one, one: each needs a name of its own"),
        ([], "fast", None, "none"),
    ):
        with pytest.raises(HearError, match=said):
            run_hear(specs, tmp_path / "tasks", tmp_path / "out", grid, NOWHERE, points)
    with pytest.raises(HearError, match="none of the tasks is one of events"):
        window_grid([one], tmp_path / "tasks", tmp_path / "out", [100], "fast", NOWHERE)
    make_silence(tmp_path / "tasks" / "two", embedding_type="event")
    for windows in ([], [100, 0.0], [float("nan")]):
        with pytest.raises(HearError, match="one or more positive numbers"):
            window_grid([one], tmp_path / "tasks", tmp_path / "out", windows, "fast", NOWHERE)
    with pytest.raises(HearError, match="one: no such file or folder: no-weights"):
        run_hear([ModelSpec("one", "one", "no-weights")], tmp_path / "tasks", tmp_path / "out", "fast", NOWHERE)
    with pytest.raises(HearError, match="/nowhere/bin/python cannot be run"):
        run_hear([one], tmp_path / "tasks", tmp_path / "out", "fast", NOWHERE)


def test_scores_of_folds_and_of_one_test(tmp_path: Path) -> None:
    """As heareval 2021.1.3 wrote them."""
    task = HearFolder(tmp_path / "task", "scene", ("top1_acc", "mAP"), {})
    seconds = {"embeddings": 1.5, "predictions": 2.0}
    folds = {
        "fold00": {"test_loss": 1.7, "test_score": 0.2, "test_top1_acc": 0.2, "test_mAP": 0.3, "epoch": 2},
        "aggregated_scores": {
            "test_top1_acc_mean": 0.25, "test_top1_acc_std": 0.05, "test_mAP_mean": float("nan"), "test_mAP_std": 0.1,
        },
    }  # fmt: skip
    common = {"model": "m", "task": "task", "seconds": 3.5}
    rows = rows_of("m", task, {"scores": folds, "seconds": seconds})
    assert rows == [
        {**common, "metric": "top1_acc", "score": 0.25, "std": 0.05},
        {**common, "metric": "mAP", "score": None, "std": 0.1},
    ]
    single = {"test": {"test_top1_acc": 0.5, "test_mAP": 0.75, "validation_score": 1.0}, "hparams": {}}
    rows += rows_of("n", task, {"scores": single, "seconds": seconds})
    assert [(row["score"], row["std"]) for row in rows[2:]] == [(0.5, None), (0.75, None)]
    assert to_markdown(rows) == (
        "| task | metric | m | n |\n| --- | --- | --- | --- |\n"
        "| task | top1_acc | 0.250 ± 0.050 | 0.500 |\n| task | mAP | - ± 0.100 | 0.750 |\n"
    )
    with pytest.raises(HearError, match="n: task: heareval gave no test_top1_acc; it gave test_mAP"):
        rows_of("n", task, {"scores": {"test": {"test_mAP": 1.0}}, "seconds": seconds})


def test_a_program_that_fails_is_shown(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "tool.log"
    with locked(tmp_path / "lock", print) as lock:
        bad = [sys.executable, "-c", "print('one', flush=True); raise SystemExit('two')"]
        with pytest.raises(
            HearError, match=r"(?s)task: failed with exit code 1; the end of .*tool\.log:\n.*one\n    two"
        ):
            run_tool(bad, log, os.environ, "task", lock)
        good = [sys.executable, "-c", "import os; print(os.getcwd())"]
        assert run_tool(good, log, os.environ, "task", lock) > 0
        assert log.read_text().splitlines()[1] == str(log.parent)
        with pytest.raises(HearError, match="task: /nowhere cannot be run"):
            run_tool(["/nowhere"], log, os.environ, "task", lock)


def test_the_end_of_a_log_is_what_is_seen_of_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"1%\r50%\r100%\r\n\nend \xff\n")
    assert last_lines(log) == "    100%\n    end \N{REPLACEMENT CHARACTER}"


def test_a_program_that_outlives_its_caller_holds_the_lock(tmp_path: Path) -> None:
    """So that nothing is written twice at once after `kill -9`."""
    holder = (
        "import os, sys\nfrom pathlib import Path\nfrom training.evaluate.hear.tools import *\n"
        "out = Path(sys.argv[1])\n"
        "with locked(out / 'lock', print) as lock:\n"
        "    run_tool([sys.executable, '-c', 'import time, os; open(\"pid\", \"w\").write(str(os.getpid())); '\n"
        "              'time.sleep(60)'], out / 'log', os.environ, 'sleeping', lock)\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", holder, str(tmp_path)], cwd=ROOT)
    pid, until = tmp_path / "pid", time.monotonic() + 60
    while not (pid.is_file() and pid.read_text()):
        assert caller.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    said: list[str] = []

    def end_it(text: str) -> None:
        said.append(text)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    with locked(tmp_path / "lock", end_it):
        assert said == [f"{tmp_path}: in use by another process, waiting for it"]
