"""What commands say: to stderr, as it is, and progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(stderr=True)


class Advance(Protocol):
    """Moves a bar to `done` of `total`; `now` says what is being done."""

    def __call__(self, done: int, total: int, now: str = ...) -> None: ...


def say(text: str, style: str | None = None) -> None:
    """Print to stderr as it is: no markup, no wrapping."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A bar, gone at the end, where there is a terminal; yields a function of how much is done and of how much."""
    if not console.is_terminal:
        yield lambda done, total, now=what: None  # noqa: ARG005 - those of the bar
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        bar = bars.add_task(what, total=None)
        yield lambda done, total, now=what: bars.update(bar, completed=done, total=total, description=now)
