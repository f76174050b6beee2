"""Processes for tests: several joined by Gloo, and the command line in processes of their own."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch

from training.__main__ import main

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
CPU = torch.device("cpu")
# Imported once, and not in each process: this, and what DistributedDataParallel and a run import when they begin.
PRELOAD = ["tests.training.processes", "torch._dynamo", "torch.utils.tensorboard", "matplotlib.figure"]
SECONDS = 120  # that anything here may take


class Ended(NamedTuple):
    """A command that has come to its end."""

    code: int
    said: str


def forked(job: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """A process that does `job(*arguments)`, begun; it starts much faster than a new interpreter.

    Args:
        job: a function that can be imported, of this module or of a test's.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=job, args=arguments)
    process.start()
    return process


def in_ranks(count: int, job: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `job(*arguments)` returns in each of `count` processes, which find the environment that torchrun gives."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        shared = {"WORLD_SIZE": count, "MASTER_ADDR": "localhost", "MASTER_PORT": found.getsockname()[1]}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, str(rank)) for rank in range(count)]
        places = [{**shared, "RANK": rank, "LOCAL_RANK": rank} for rank in range(count)]
        processes = [forked(_work, file, place, job, arguments) for file, place in zip(files, places, strict=True)]
        try:
            deadline = time.monotonic() + SECONDS
            while running := [process.sentinel for process in processes if process.is_alive()]:
                connection.wait(running, max(0.0, deadline - time.monotonic()))
                assert time.monotonic() < deadline, f"{len(running)} of {count} processes hang in {job.__name__}"
                broken = [rank for rank, process in enumerate(processes) if process.exitcode]
                assert not broken, "\n".join(f"rank {rank}: {_reason(files[rank])}" for rank in broken)
        finally:
            for process in processes:
                process.kill()
                process.join()
        return [torch.load(file, weights_only=False) for file in files]


def _work(file: Path, place: dict[str, Any], job: Callable[..., Any], arguments: Sequence[Any]) -> None:
    os.environ.update({name: str(value) for name, value in place.items()})
    torch.set_num_threads(1)
    try:
        torch.save(job(*arguments), file)
    except BaseException:
        file.write_text(traceback.format_exc())
        os._exit(1)


def _reason(file: Path) -> str:
    return file.read_text() if file.exists() else "killed"


def command(*words: str | Path | int) -> Ended:
    """`python -m training WORDS` in this process: a job for `in_ranks`."""
    torch.set_num_threads(1)
    sys.argv = ["training", *map(str, words)]
    code = 0
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ended(code, said.getvalue())


def start(*words: str | Path | int, processes: int = 0) -> subprocess.Popen[str]:
    """`python -m training WORDS`, or that under torchrun."""
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"] if processes else []
    line = [sys.executable, "-m", *torchrun, "training", *map(str, words)]
    return subprocess.Popen(line, cwd=ROOT, env=ENVIRONMENT, text=True, stdout=subprocess.DEVNULL, stderr=-1)


def finish(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process of `start`."""
    try:
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return Ended(process.returncode, said)


def killed_with_workers(script: Path, *arguments: str | Path) -> None:
    """Run a script that prints the numbers of its workers and kills itself; they must end, too."""
    process = subprocess.run(
        [sys.executable, script, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    workers = [int(pid) for pid in process.stdout.split()]
    assert workers
    until = time.monotonic() + 10
    while any(map(_is_running, workers)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(_is_running, workers))


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"
