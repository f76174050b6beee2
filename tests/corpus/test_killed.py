"""Collections whose process is killed at each step of writing, and as a command: nothing is lost or doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from selfie_hear import load_model
from selfie_hear.corpus import Progress, embed_collection
from selfie_hear.origin import Origin
from tests.corpus.conftest import content, embed, make_sounds

COMMAND = [sys.executable, "-m", "selfie_hear.cli"]
# With so slow a disk that it cannot be through before it is killed.
CODE = "import os, time; os.fsync = lambda _: time.sleep(0.3); from selfie_hear.cli import main; main()"
SLOWLY = [sys.executable, "-c", CODE]


def embed_and_die(sounds: Path, out: Path, moment: int) -> None:
    """Embed; at the `moment`th time that something of the folder is opened, renamed or removed the kernel ends it."""
    count = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in ("open", "os.rename", "os.remove") and str(out) in str(arguments[0]):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    embed(sounds, out)


def test_killed_at_each_step(sounds: Path, whole: Path, tmp_path: Path) -> None:
    """Each call goes on with what the last one left, and is killed one step further."""
    out, expected = tmp_path / "out", content(whole)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.corpus.test_killed"])
    kills, finished = 0, set[str]()
    while True:
        process = context.Process(target=embed_and_die, args=(sounds, out, kills + 1))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        kills += 1
        for part in out.glob("part-*.parquet"):
            assert part.read_bytes() == expected[part.name]
        now = {part.name for part in out.glob("part-*.parquet")}
        assert finished <= now
        finished = now
    assert kills >= 8
    assert content(out) == expected


def test_a_command_is_killed_and_goes_on(tmp_path: Path) -> None:
    sounds = make_sounds(tmp_path / "in")
    words = ["embed", str(sounds), "-o", f"{tmp_path}/out/", "--shard-size", "1", "--workers"]
    with subprocess.Popen([*SLOWLY, *words, "1"], stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("shard 1 of 9: 1 files")
        process.kill()
        process.stderr.read()  # ends when its workers, which have it too, have ended
    assert process.wait() == -signal.SIGKILL
    left = len(list((tmp_path / "out").glob("part-*.parquet")))
    assert 1 <= left < 9
    result = subprocess.run([*COMMAND, *words, "0"], capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 1
    assert f"goes on with its list of 9 files, {left} of them done" in result.stderr
    assert "7 of 9 files embedded" in result.stderr
    assert "not embedded: 2 files" in result.stderr
    model = load_model()
    origin = Origin.of(model)
    embed_collection([str(sounds)], tmp_path / "whole", model, origin, shard_size=1, workers=0)
    parts = [name for name in content(tmp_path / "whole") if name.startswith("part")]
    assert len(parts) == 9
    for name in parts:
        assert pq.read_table(tmp_path / "out" / name).equals(pq.read_table(tmp_path / "whole" / name))
    assert content(tmp_path / "out").keys() == content(tmp_path / "whole").keys()


def test_an_interrupted_call_leaves_no_temporary_files(sounds: Path, whole: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.files_done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(sounds, tmp_path / "out", report=stop)
    assert content(tmp_path / "out").keys() == {"_plan.json", "_files.parquet", "part-00000.parquet"}
    embed(sounds, tmp_path / "out")
    assert content(tmp_path / "out") == content(whole)
