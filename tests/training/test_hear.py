"""What surrounds the HEAR tools: tasks that are refused, models told apart, scores read, programs run, locks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from training.evaluate.hear import environment as hear_environment
from training.evaluate.hear.environment import HearEnvironment, prepare_environment
from training.evaluate.hear.folder import HearFolder, read_hear_folders
from training.evaluate.hear.probe import probe
from training.evaluate.hear.run import rows_of, run_hear, to_markdown, window_grid
from training.evaluate.hear.tools import HearError, last_lines, locked, run_tool
from training.evaluate.models import ModelSpec

ROOT = Path(__file__).parents[2]
NOWHERE = HearEnvironment(Path("/nowhere"), "")
MODULE = """
import torch
def load_model(path="", size=2):
    model = torch.nn.Linear(size, 1)
    model.sample_rate = 16000
    torch.nn.init.constant_(model.weight, 1.0)
    torch.nn.init.constant_(model.bias, 0.0)
    return model
def get_scene_embeddings(audio, model): pass
def get_timestamp_embeddings(audio, model): pass
"""


def make_task(folder: Path, **changes: Any) -> Path:
    """Three splits of two clips of a tenth of a second."""
    about = {
        "task_name": folder.name, "embedding_type": "scene", "prediction_type": "multiclass", "sample_duration": 0.1,
        "split_mode": "trainvaltest", "splits": ["train", "valid", "test"], "evaluation": ["top1_acc"], **changes,
    }  # fmt: skip
    for split in about["splits"]:
        (folder / "16000" / split).mkdir(parents=True)
        for name in ("a.wav", "b.wav"):
            soundfile.write(folder / "16000" / split / name, np.zeros(1600), 16000)
        (folder / f"{split}.json").write_text(json.dumps({"a.wav": ["low"], "b.wav": ["high"]}))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,low\n1,high\n")
    (folder / "task_metadata.json").write_text(json.dumps(about))
    return folder


def read(folder: Path) -> HearFolder:
    return read_hear_folders(folder.parent, [folder.name])[0]


def test_tasks_are_read(tmp_path: Path) -> None:
    make_task(tmp_path / "two")
    make_task(tmp_path / "one", embedding_type="event", evaluation=["event_onset_200ms_fms", "segment_1s_er"])
    (tmp_path / "not a task").mkdir()
    one, two = read_hear_folders(tmp_path)
    assert (one.name, one.kind, one.metrics) == ("one", "event", ("event_onset_200ms_fms", "segment_1s_er"))
    assert two.splits == dict.fromkeys(("train", "valid", "test"), ("a.wav", "b.wav"))
    assert read_hear_folders(tmp_path, ["two"]) == [two]
    two.check_clips(16000)


def test_a_folder_without_tasks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HearError, match="no such folder"):
        read_hear_folders(tmp_path / "absent")
    with pytest.raises(HearError, match=r"holds no task, which is a folder with task_metadata\.json"):
        read_hear_folders(tmp_path)
    make_task(tmp_path / "one")
    with pytest.raises(HearError, match="no task 'other'; there are one"):
        read_hear_folders(tmp_path, ["one", "other"])


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("task_metadata.json", "{", "task_metadata.json cannot be"),
        ("task_metadata.json", '{"splits": ["train"]}', "KeyError.'embedding_type'"),
        ("task_metadata.json", '{"splits": [], "embedding_type": "scene", "evaluation": ["mAP"]}', "'split_mode'"),
        ("task_metadata.json", '{"splits": [], "embedding_type": "odd", "evaluation": ["mAP"]}', "'odd'"),
        ("labelvocabulary.csv", None, "labelvocabulary.csv is missing"),
        ("valid.json", None, "valid.json is missing"),
        ("valid.json", "{}", "valid.json lists no clip"),
    ],
)
def test_a_broken_task_is_refused(tmp_path: Path, file: str, content: str | None, said: str) -> None:
    path = make_task(tmp_path / "one") / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(HearError, match=f"one: .*{said}"):
        read_hear_folders(tmp_path)


def test_clips_that_the_tools_would_stumble_over_are_refused(tmp_path: Path) -> None:
    task = read(make_task(tmp_path / "one"))
    with pytest.raises(HearError, match="has no folder 48000 with clips at the model's rate; it has 16000"):
        task.check_clips(48000)
    clip = tmp_path / "one" / "16000" / "test" / "b.wav"
    for audio, rate, said in (
        (np.zeros(1600), 8000, "has 8000 Hz and 1 channels; the model takes mono at 16000 Hz"),
        (np.zeros((1600, 2)), 16000, "16000 Hz and 2 channels"),
        (np.zeros(1700), 16000, "clips of 1600 to 1700 samples, though"),
    ):
        soundfile.write(clip, audio, rate)
        with pytest.raises(HearError, match=said):
            task.check_clips(16000)
    soundfile.write(make_task(tmp_path / "any", sample_duration=None) / "16000/test/b.wav", np.zeros(1700), 16000)
    read(tmp_path / "any").check_clips(16000)
    clip.write_text("noise")
    with pytest.raises(HearError, match=r"b\.wav: cannot be read"):
        task.check_clips(16000)
    clip.unlink()
    with pytest.raises(HearError, match="1 of 2 clips are not in 16000/test, such as b.wav"):
        task.check_clips(16000)


def test_a_task_that_changes_is_another(tmp_path: Path) -> None:
    folder = make_task(tmp_path / "one")
    digests = [read(folder).digest(16000)]
    assert read(folder).digest(16000) == digests[0]
    (folder / "test.json").write_text(json.dumps({"a.wav": ["high"], "b.wav": ["low"]}))
    digests.append(read(folder).digest(16000))
    os.utime(folder / "16000" / "test" / "a.wav", ns=(1, 1))
    digests.append(read(folder).digest(16000))
    assert len(set(digests)) == 3


def test_wishes_that_cannot_be_met_are_refused(tmp_path: Path) -> None:
    make_task(tmp_path / "tasks" / "one")
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
    make_task(tmp_path / "tasks" / "two", embedding_type="event")
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
    pid = tmp_path / "pid"
    while not (pid.is_file() and pid.read_text()):
        assert caller.poll() is None
        time.sleep(0.02)
    caller.kill()
    caller.wait()
    said: list[str] = []

    def end_it(text: str) -> None:
        said.append(text)
        os.kill(int(pid.read_text()), signal.SIGKILL)

    with locked(tmp_path / "lock", end_it):
        assert said == [f"{tmp_path}: in use by another process, waiting for it"]


def test_a_module_is_known_by_code_options_weights_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"1")

    def found(code: str = MODULE, path: str = "", **options: Any) -> str:
        (tmp_path / "some_hear_module.py").write_text(code)
        sys.modules.pop("some_hear_module", None)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second is too short for its time stamp
        about = probe("some_hear_module", path, options)
        assert about["sample_rate"] == 16000
        return str(about["digest"])

    first = found()
    assert found() == first
    others = [found(MODULE + "\n"), found(size=3), found(path=str(weights))]
    weights.write_bytes(b"2")
    others.append(found(path=str(weights)))
    others.append(found(MODULE.replace("constant_(model.bias, 0.0)", "normal_(model.bias)")))
    assert len({first, *others}) == 6


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_package", "cannot be imported .No module named 'no_such_package'"),
        ("def load_model(path=''): pass", "it has no get_scene_embeddings, get_timestamp_embeddings"),
        (MODULE.replace("16000", "16000.0"), "sample_rate is 16000.0, a number of Hz"),
    ],
)
def test_what_is_no_hear_module_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("odd_hear_module", None)
    (tmp_path / "odd_hear_module.py").write_text(code)
    assert re.search(said, probe("odd_hear_module", "", {})["error"])


def test_a_folder_of_something_else_is_not_taken_for_an_environment(tmp_path: Path) -> None:
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("ten years")
    with pytest.raises(HearError, match="papers: neither empty nor a Python environment"):
        prepare_environment(tmp_path / "papers")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "other"], check=True)
    with pytest.raises(HearError, match=r"other: a Python environment without hearvalidator==2021\.0\.6 and"):
        prepare_environment(tmp_path / "other")
    assert (tmp_path / "papers" / "thesis.txt").is_file() and (tmp_path / "other" / "pyvenv.cfg").is_file()


def test_the_environment_follows_its_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = hear_environment.default_folder()
    assert first.parent == tmp_path / "selfie_hear" and first == hear_environment.default_folder()
    changed = tmp_path / "requirements.txt"
    changed.write_text(hear_environment.REQUIREMENTS.read_text() + "more\n")
    monkeypatch.setattr(hear_environment, "REQUIREMENTS", changed)
    assert hear_environment.default_folder() != first


def test_its_programs_import_nothing_of_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert "PYTHONPATH" not in NOWHERE.variables()
    assert NOWHERE.variables(Path("/some"))["PYTHONPATH"] == "/some"


def test_requirements_cover_those_of_the_wheel() -> None:
    """It is installed without its dependencies."""
    listed = hear_environment.REQUIREMENTS.read_text().split()
    text = (ROOT / "setup.cfg").read_text().partition("install_requires =\n")[2].partition("\n\n")[0]
    needed = {line.partition(">=")[0].strip() for line in text.splitlines()}
    assert needed - set(listed) == {"torch"}


def test_an_environment_that_another_checkout_took_over_is_noticed(tmp_path: Path) -> None:
    (tmp_path / hear_environment.DONE).write_text(json.dumps({"recipe": "1", "selfie_hear": "ours"}))
    HearEnvironment(tmp_path, "ours").check_unchanged()
    with pytest.raises(HearError, match="another checkout has installed its selfie_hear here since"):
        HearEnvironment(tmp_path, "other").check_unchanged()
