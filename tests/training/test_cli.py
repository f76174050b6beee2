"""`python -m training` as people run it: in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.__main__ import main
from training.checkpoint import load_latest

ROOT = Path(__file__).parents[2]


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    """What a command that must succeed says on stderr, its line breaks undone."""
    try:
        _, said = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, said
    return " ".join(said.split())


def steps_of(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def last_step(run: Path) -> int:
    state = load_latest(run / "checkpoints")
    assert state is not None
    return int(state["step"])


def test_pack_train_stop_and_resume(audio_folder: Path, tmp_path: Path) -> None:
    data, run = tmp_path / "pack", tmp_path / "run"
    assert "6 clips packed, 0 rejected" in finish(start("pack", audio_folder, "--out", data, "--workers", "1"))

    train = ("train", "tiny", "--data", data, "--out", run, "--device", "cpu", "--set", "checkpoint_every=1000000")
    process = start(*train, "--max-steps", "1000000")
    while process.poll() is None and not (run / "metrics.jsonl").exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert "SIGTERM: saving" in finish(process)
    stopped = last_step(run)
    assert stopped >= 1
    assert steps_of(run) == list(range(1, stopped + 1))

    until = stopped + 2
    said = finish(start(*train, "--max-steps", str(until)))
    assert f"step {stopped} of {until}" in said
    assert f"step {until}/{until}" in said
    assert last_step(run) == until
    assert steps_of(run) == list(range(1, until + 1))


def test_a_mistake_ends_the_process_with_code_1_and_no_traceback(tmp_path: Path) -> None:
    process = start("train", "tiny", "--data", tmp_path / "nowhere", "--out", tmp_path / "run")
    output, said = process.communicate(timeout=120)
    assert (process.returncode, output) == (1, "")
    assert said.startswith(f"error: {tmp_path / 'nowhere'}: not a folder made by")
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("train nope --data nowhere --out run", "recipe 'nope' is unknown; known recipes are selfie, "),
        ("train tiny --data nowhere --out run --set bach=4", "--set: unknown key 'bach'; known keys are recipe, "),
        ("train tiny --data nowhere --out run --set batch=many", "--set.batch: expected int, got 'many'"),
        ("train tiny --data nowhere --out run", "nowhere: not a folder made by `python -m training pack`"),
        ("pack nowhere --out packed", "nowhere: no such file or folder"),
    ],
)
def test_mistakes_are_explained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    complaint: str,
) -> None:
    """In this process, which is faster than one each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["training", *arguments.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {complaint}")
    assert list(tmp_path.iterdir()) == []
