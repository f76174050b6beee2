"""What the commands share: options, how models are loaded, and what is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from selfie_hear.embedder import Embedder
from selfie_hear.precision import PRECISIONS
from selfie_hear.pretrained import BRANCHES, ReleaseError, find_release, load_release, read_config

console = Console(markup=False, emoji=False, highlight=False)  # file names are printed as they are
notes = Console(markup=False, emoji=False, highlight=False, stderr=True)

Paths = Annotated[list[str], typer.Argument(help="Audio files, folders or quoted globs.")]
Model = Annotated[str, typer.Option(help="A bundled name, a release folder or hf-hub:ORG/NAME[@REVISION].")]
Branch = Annotated[str, typer.Option(help=f"{' or '.join(BRANCHES)}: which of the release's two encoders.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Precision = Annotated[str, typer.Option(help=f"{' or '.join(PRECISIONS)}: what the encoder computes in.")]
Timestamps = Annotated[bool, typer.Option("--timestamps", help="An embedding every 40 ms, not one a sound.")]
Window = Annotated[float | None, typer.Option(help="Window of a timestamp embedding, ms.")]


class Loaded(NamedTuple):
    """A model, and the name of the release that it is of."""

    embedder: Embedder
    name: str


def load(model: str, branch: str, device: str) -> Loaded:
    """The model of a release on a device."""
    try:
        where = torch.device(device)
        folder = find_release(model, branches=(branch,))
        return Loaded(load_release(folder, branch).to(where), read_config(folder).name)
    except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
        raise ReleaseError(f"--device {device}: {str(error).splitlines()[0]}") from error


def complain(text: str) -> None:
    """Say what went wrong."""
    notes.print(text, style="red", soft_wrap=True)


def bar() -> Progress:
    """A progress bar over files, gone at the end; a task of it has a field `rate`."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal)


@contextmanager
def progress(total: int, doing: str = "embedding") -> Iterator[Callable[[float, float], None]]:
    """A bar over files; yields what to call with the files done and the seconds of audio heard."""
    with bar() as bars:
        task = bars.add_task(doing, total=total, rate="")

        def report(done: float, seconds: float) -> None:
            elapsed = bars.tasks[0].elapsed or 0.0
            rate = f"{seconds / elapsed:.0f} x real time" if elapsed and seconds else ""
            bars.update(task, completed=done, rate=rate)

        yield report
