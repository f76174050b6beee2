"""Running one of hear-eval-kit's programs: its output in a file, its failure an error that says where to look."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LAST_LINES = 12  # of a log, in an error

Report = Callable[[str], None]


class HearError(ValueError):
    """What keeps HEAR's tools from running; the message says what was found and what to do."""


def silent(_text: str) -> None:
    """Reports to nobody."""


@contextmanager
def locked(path: Path, report: Report) -> Iterator[int]:
    """Wait until no other process holds `path`, then hold it.

    Yields:
        the descriptor, for `run_tool`: a program that outlives us (we were killed) goes on writing, so it must hold
        the lock until it ends. A lock of the package filelock ends with the process that took it.
    """
    import fcntl  # POSIX only, as the environment's layout is

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"{path.parent}: in use by another process, waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


def run_tool(command: Sequence[str | Path], log: Path, environ: Mapping[str, str], what: str, lock: int) -> float:
    """Run a program in the folder of its log.

    Args:
        log: gets the command and all that it prints.
        what: it does, for the error.
        lock: a descriptor for it to keep open.

    Returns:
        seconds that it took.

    Raises:
        HearError: it cannot be run or fails.
    """
    words = [str(word) for word in command]
    started = time.monotonic()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        file.write(f"+ {shlex.join(words)}\n".encode())
        file.flush()
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=dict(environ),
                cwd=log.parent, pass_fds=(lock,), check=False,
            )  # fmt: skip
        except OSError as error:
            raise HearError(f"{what}: {words[0]} cannot be run ({error.strerror})") from error
    if done.returncode:
        raise HearError(f"{what}: failed with exit code {done.returncode}; the end of {log}:\n{last_lines(log)}")
    return time.monotonic() - started


def last_lines(log: Path) -> str:
    """The end of a log; of a progress bar that draws over itself, what it drew last."""
    lines = log.read_bytes().decode(errors="replace").split("\n")
    shown = [text for line in lines if (text := line.rstrip("\r").rpartition("\r")[2].rstrip())]
    return "\n".join(f"    {line}" for line in shown[-LAST_LINES:])
