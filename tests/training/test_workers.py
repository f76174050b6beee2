"""Jobs in real processes: all of them done, errors raised here, and nobody left behind."""

from __future__ import annotations

import multiprocessing
import os
from contextlib import suppress
from pathlib import Path

import pytest

from tests.training.processes import killed_with_workers
from training.corpus.workers import WorkerError, each_done


def touch(path: Path) -> None:
    """Needs the folder to be there; says in which process it was done."""
    path.write_text(str(os.getpid()))


@pytest.mark.parametrize("workers", [1, 2, 50])
def test_every_job_is_done_and_given_once(tmp_path: Path, workers: int) -> None:
    jobs = [tmp_path / str(number) for number in range(6)]
    assert sorted(each_done(touch, jobs, workers)) == jobs
    pids = {int(path.read_text()) for path in jobs}
    assert (pids == {os.getpid()}) == (workers == 1)
    assert list(each_done(touch, [], workers)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_worker_is_the_same_error_here(tmp_path: Path, workers: int) -> None:
    jobs = [tmp_path / "0", tmp_path / "nowhere" / "1", tmp_path / "2"]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(each_done(touch, jobs, workers))


def test_a_killed_worker_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    with pytest.raises(WorkerError, match="a process was killed at its work, .*; the same call goes on from there"):
        for _ in each_done(touch, [tmp_path / str(number) for number in range(2000)], 2):
            for child in set(multiprocessing.active_children()) - before:
                with suppress(ProcessLookupError):
                    child.kill()


DIE = """
import multiprocessing, os, signal, time
from training.corpus.workers import each_done

if __name__ == "__main__":
    for _ in each_done(time.sleep, [0.0, 60.0, 60.0], 2):
        print(*(child.pid for child in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_the_process_that_began_them(tmp_path: Path) -> None:
    (tmp_path / "die.py").write_text(DIE)
    killed_with_workers(tmp_path / "die.py")
