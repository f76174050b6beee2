"""The `selfie-hear` command: embed files, compare them, list models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

from selfie_hear.audio import AudioError
from selfie_hear.config import ReleaseConfig
from selfie_hear.corpus import Listener, embed_files, find_files
from selfie_hear.embedder import Embedder
from selfie_hear.pretrained import (
    BRANCHES,
    DEFAULT,
    ReleaseError,
    bundled_releases,
    find_release,
    load_release,
    read_config,
)
from selfie_hear.tables import TableError, open_table

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Turn sound into vectors.")
console = Console()
notes = Console(stderr=True)

Paths = Annotated[list[str], typer.Argument(help="Audio files, folders or quoted globs.")]
Model = Annotated[str, typer.Option(help="A bundled name, a release folder or hf-hub:ORG/NAME[@REVISION].")]
Branch = Annotated[str, typer.Option(help=f"{' or '.join(BRANCHES)}: which of the release's two encoders.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]


@app.command()
def embed(
    paths: Paths,
    out: Annotated[Path, typer.Option("-o", "--out", help="OUT.npz, OUT.csv or OUT.parquet.")],
    timestamps: Annotated[bool, typer.Option("--timestamps", help="An embedding every 40 ms, not one a file.")] = False,
    window: Annotated[float | None, typer.Option(min=1.0, help="Window of a timestamp embedding, ms.")] = None,
    model: Model = "",
    branch: Branch = "online",
    device: Device = "cpu",
) -> None:
    """Embed audio files into one table; files that cannot be read are reported at the end (exit code 1)."""
    files = find_files(paths)
    embedder = _load(model, branch, device)
    if window is not None:
        embedder.timestamp_window_ms = window
    with open_table(out, embedder.scene_embedding_size, timestamps) as table, _progress(len(files)) as report:
        failures = embed_files(embedder, files, table, timestamps, report)
    for failure in failures:
        _complain(f"not embedded: {failure}")
    kept = len(files) - len(failures)
    if kept:
        notes.print(
            f"{out}: {table.rows} embeddings of {kept} files, {embedder.scene_embedding_size} values each",
            soft_wrap=True,
        )
    if failures:
        raise typer.Exit(1)


@app.command()
def similarity(paths: Paths, model: Model = "", branch: Branch = "online", device: Device = "cpu") -> None:
    """Show how alike sounds are: the cosine similarity of each pair of files, less what all of them share."""
    files = find_files(paths)
    if len(files) < 3:
        raise AudioError(f"similarity needs at least three files to compare, got {len(files)}")
    listener = Listener(_load(model, branch, device))
    with _progress(len(files)) as report:
        rows = []
        for number, file in enumerate(files, start=1):
            rows.append(listener.scene(file))
            report(number, listener.seconds)
    values = np.stack(rows)
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True).clip(min=1e-12)
    cosine = values @ values.T
    grid = Grid("", *(str(i) for i in range(1, len(files) + 1)), "most alike")
    for i, file in enumerate(files):
        nearest = int(np.argmax(np.where(np.arange(len(files)) == i, -2.0, cosine[i])))
        cells = [_shade(cosine[i, j]) if i != j else "·" for j in range(len(files))]
        grid.add_row(f"{i + 1} {file.stem}", *cells, files[nearest].stem)
    console.print(grid)


@app.command()
def models() -> None:
    """List the models that come with the package."""
    grid = Grid("name", "values", "parameters", "file", "data", "licence")
    for name, folder in bundled_releases().items():
        config: ReleaseConfig = read_config(folder)
        size = (folder / "online.safetensors").stat().st_size / 1e6
        embedder = Embedder(config.model)
        parameters = sum(p.numel() for p in embedder.parameters()) / 1e6
        shown = f"{name} (default)" if name == DEFAULT else name
        values = str(embedder.scene_embedding_size)
        grid.add_row(shown, values, f"{parameters:.2f} M", f"{size:.1f} MB", config.data, config.licence)
    console.print(grid)


def _load(model: str, branch: str, device: str) -> Embedder:
    try:
        where = torch.device(device)
        return load_release(find_release(model), branch).to(where)
    except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
        raise ReleaseError(f"--device {device}: {str(error).splitlines()[0]}") from error


def _shade(value: float) -> str:
    colour = "bold green" if value > 0.3 else "green" if value > 0.0 else "dim"
    return f"[{colour}]{value:+.2f}[/]"


@contextmanager
def _progress(total: int) -> Iterator[_Report]:
    columns = (
        TextColumn("embedding"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=notes, transient=True) as bar:
        yield _Report(bar, total)


class _Report:
    """Files done and audio heard, shown as a bar with the rate in times real time."""

    def __init__(self, bar: Progress, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task("embedding", total=total, rate="")

    def __call__(self, done: int, seconds: float) -> None:
        elapsed = self._bar.tasks[0].elapsed or 0.0
        rate = f"{seconds / elapsed:.0f} x real time" if elapsed else ""
        self._bar.update(self._task, completed=done, rate=rate)


def _complain(text: str) -> None:
    notes.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def main() -> None:
    """Entry point of the console script: errors for people on stderr, exit code 1."""
    try:
        app()
    except (AudioError, ReleaseError, TableError) as error:
        _complain(f"error: {error}")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
