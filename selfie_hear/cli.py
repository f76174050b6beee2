"""The `selfie-hear` command: embed files, compare them, search, list models."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text

from selfie_hear import cli_collections
from selfie_hear.audio import AudioError, printable
from selfie_hear.config import ConfigError, MissingExtraError, ReleaseConfig
from selfie_hear.corpus import ENGINES, SHARD_SIZE, Listener, embed_files, find_files
from selfie_hear.embedder import Embedder
from selfie_hear.explore.collection import MEGABYTE, PageOptions, collection_data
from selfie_hear.explore.gather import embed_sounds, is_table, read_sounds
from selfie_hear.explore.labels import check_labels
from selfie_hear.explore.layout import check_extra
from selfie_hear.explore.page import PageError, build_page, check_out, write_page
from selfie_hear.explore.recording import recording_data
from selfie_hear.nearest import MEASURES, NEAREST
from selfie_hear.origin import KEY, Origin
from selfie_hear.parquet_rows import DTYPES
from selfie_hear.precision import PRECISIONS
from selfie_hear.pretrained import (
    BRANCHES,
    DEFAULT,
    ReleaseError,
    bundled_releases,
    find_release,
    load_release,
    read_config,
)
from selfie_hear.search import SearchError, SoundSearch
from selfie_hear.tables import TableError, open_table

app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False, help="Turn sound into vectors."
)
console = Console(markup=False, emoji=False, highlight=False)  # file names are printed as they are
notes = Console(markup=False, emoji=False, highlight=False, stderr=True)
MANY = 10  # remarks that are printed
WIDEST = 8  # files whose pairs fit side by side in a terminal

Paths = Annotated[list[str], typer.Argument(help="Audio files, folders or quoted globs.")]
Model = Annotated[str, typer.Option(help="A bundled name, a release folder or hf-hub:ORG/NAME[@REVISION].")]
Branch = Annotated[str, typer.Option(help=f"{' or '.join(BRANCHES)}: which of the release's two encoders.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, ...")]
Precision = Annotated[str, typer.Option(help=f"{' or '.join(PRECISIONS)}: what the encoder computes in.")]


@app.command()
def embed(
    paths: Paths,
    out: Annotated[str, typer.Option("-o", "--out", help="OUT.npz, OUT.csv, OUT.parquet or, for millions, a FOLDER/.")],
    timestamps: Annotated[bool, typer.Option("--timestamps", help="An embedding every 40 ms, not one a file.")] = False,
    window: Annotated[float | None, typer.Option(help="Window of a timestamp embedding, ms.")] = None,
    model: Model = "",
    branch: Branch = "online",
    device: Device = "cpu",
    dtype: Annotated[str, typer.Option(help=f"Of a folder's values: {' or '.join(DTYPES)}.")] = "float32",
    shard_size: Annotated[int, typer.Option(help="Files per part of a folder.")] = SHARD_SIZE,
    workers: Annotated[int | None, typer.Option(help="Processes that decode for a folder; on Ray, encoders.")] = None,
    engine: Annotated[str, typer.Option(help=f"What fills a folder: {' or '.join(ENGINES)}.")] = "local",
    precision: Precision = "fp32",
) -> None:
    """Embed audio files into one table; files that cannot be read are reported at the end (exit code 1).

    An output that ends in / or has no suffix is a folder of Parquet parts for any number of files: it takes manifests
    too (CSV, TSV or Parquet with a column `path`), decodes in processes of their own, and the same command goes on
    where it was interrupted.
    """
    if window is not None and not timestamps:
        raise ConfigError("--window goes with --timestamps")
    release = find_release(model)
    to_folder = cli_collections.is_folder(out)
    if not to_folder and (dtype, shard_size, workers, engine) != ("float32", SHARD_SIZE, None, "local"):
        raise ConfigError("--dtype, --shard-size, --workers and --engine go with a folder: -o OUT/")
    files, failures = ([], []) if to_folder else find_files(paths)
    embedder = _load(str(release), branch, device)
    if window is not None:
        embedder.timestamp_window_ms = window
    embedder.precision = precision
    origin = Origin.of(embedder, timestamps, read_config(release).name, branch)
    if to_folder:
        done = cli_collections.embed(paths, Path(out), embedder, origin, dtype, shard_size, workers, engine)
        raise typer.Exit(int(not done))
    size = embedder.timestamp_embedding_size if timestamps else embedder.scene_embedding_size
    with open_table(Path(out), size, timestamps, {KEY: origin.to_json()}) as table, _progress(len(files)) as report:
        unread = embed_files(Listener(embedder, report), files, table, timestamps)
    for failure in (*failures, *unread):
        _complain(f"not embedded: {failure}")
    kept = len(files) - len(unread)
    if kept:
        notes.print(f"{printable(out)}: {table.rows} embeddings of {kept} files, {size} values each", soft_wrap=True)
    if failures or unread:
        raise typer.Exit(1)


@app.command()
def similarity(paths: Paths, model: Model = "", branch: Branch = "online", device: Device = "cpu") -> None:
    """Show how alike sounds are: the cosine similarity of each pair of files, less what all of them share."""
    files, failures = find_files(paths)
    if failures:
        raise failures[0]
    if len(files) < 3:
        raise AudioError(f"similarity needs at least three files to compare, got {len(files)}")
    embedder = _load(model, branch, device)
    with _progress(len(files)) as report:
        listener = Listener(embedder, report)
        values = np.stack([listener.scene(file) for file in files])
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True).clip(min=1e-12)
    cosine = values @ values.T
    others = np.where(np.eye(len(files), dtype=bool), -2.0, cosine)
    numbers = range(len(files)) if len(files) <= WIDEST else ()  # of more files only the nearest is legible
    grid = Grid("", *(str(i + 1) for i in numbers), "most alike")
    for i, file in enumerate(files):
        nearest = int(others[i].argmax())
        cells = [_shade(cosine[i, j]) if i != j else Text("-") for j in numbers]
        most = files[nearest].stem if numbers else f"{files[nearest].stem} {cosine[i, nearest]:+.2f}"
        grid.add_row(Text(printable(f"{i + 1} {file.stem}")), *cells, Text(printable(most)))
    console.print(grid)


@app.command()
def search(
    queries: Annotated[list[str], typer.Argument(help="Audio files to find the like of.")],
    table: Annotated[Path, typer.Option("--in", help="What embed wrote: .npz, .csv, .parquet or a folder.")],
    k: Annotated[int, typer.Option("-k", help="How many to show.")] = 10,
    measure: Annotated[str, typer.Option(help=f"{', '.join(MEASURES)}: of the table, before the cosine.")] = MEASURES[
        0
    ],
    engine: Annotated[
        str, typer.Option(help=f"{' or '.join(NEAREST)}: read the table, or hold it in memory.")
    ] = "numpy",
    model: Model = "",
    branch: Annotated[str, typer.Option(help="As of the table, if not given.")] = "",
    device: Device = "cpu",
) -> None:
    """Show what is most like a sound among those that were embedded: recordings, or moments if the table has times."""
    index = SoundSearch(table, measure=measure, engine=engine)
    made = index.table.origin
    if not model and made and made.model in bundled_releases():
        model = made.model
    embedder = _load(model, branch or (made.branch if made else "online"), device)
    if made:
        embedder.precision = made.precision
        embedder.timestamp_window_ms = made.window_ms or embedder.timestamp_window_ms
    for line in cli_collections.search(index, queries, embedder, k):
        console.print(line, soft_wrap=True)


@app.command()
def explore(
    paths: Annotated[list[str], typer.Argument(help="Audio files, folders, quoted globs; or what `embed` wrote.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The page to write.")] = Path("explore.html"),
    labels: Annotated[Path | None, typer.Option(help="A CSV file: path, and columns to colour by.")] = None,
    title: Annotated[str, typer.Option(help="Of the page; default: the name of what is shown.")] = "",
    preview_seconds: Annotated[float, typer.Option(help="Of each sound in the page, the loudest.")] = 3.0,
    max_mb: Annotated[float, typer.Option(help="Size of the page; sound that does not fit is left out.")] = 50.0,
    link_audio: Annotated[bool, typer.Option("--link-audio", help="Play the files where they are.")] = False,
    model: Model = "",
    branch: Branch = "online",
    device: Device = "cpu",
) -> None:
    """Make one page of HTML to look at sounds and hear them: a map of many, a timeline of a single recording."""
    check_out(out)
    check_extra()
    options = PageOptions(preview_seconds, max_mb, out.parent if link_audio else None)
    source, failures = Path(paths[0]), list[AudioError]()
    if len(paths) == 1 and is_table(source):
        kind, (sounds, embeddings) = "map", read_sounds(source)
    else:
        files, failures = find_files(paths)
        kind = "map" if len(files) > 1 else "timeline"
        if labels is not None:
            check_labels(labels, files)  # before the work
        embedder = _load(model, branch, device)
        with _progress(len(files)) as report:
            listener = Listener(embedder, report)
            if kind == "timeline":
                source = files[0]
                data, remarks = recording_data(source, listener, options)
            else:
                sounds, embeddings, unread = embed_sounds(files, listener)
                failures += unread
    if kind == "map":
        with _progress(len(sounds), "listening") as report:
            data, remarks = collection_data(sounds, embeddings, options, labels, lambda done: report(done, 0.0))
    page = build_page(kind, printable(title or source.resolve().name), data)
    replaced = ", in place of the file that was there" if out.exists() else ""
    write_page(out, page)
    for failure in failures:
        _complain(f"not embedded: {failure}")
    for remark in [*remarks[:MANY], *[f"... and {len(remarks) - MANY} more"] * (len(remarks) > MANY)]:
        notes.print(remark, style="yellow", soft_wrap=True)
    notes.print(f"{printable(out)}: {kind}, {len(page.encode()) / MEGABYTE:.1f} MB{replaced}", soft_wrap=True)
    if failures:
        raise typer.Exit(1)


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


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="OUT.onnx.")],
    timestamps: Annotated[bool, typer.Option("--timestamps", help="An embedding every 40 ms, not one a clip.")] = False,
    window: Annotated[float | None, typer.Option(help="Window of a timestamp embedding, ms.")] = None,
    model: Model = "",
    branch: Branch = "online",
) -> None:
    """Write a model as an ONNX file from samples to embeddings, which runs without PyTorch (selfie_hear.onnx)."""
    from selfie_hear.export import export_onnx  # it needs an extra

    if window is not None and not timestamps:
        raise ConfigError("--window goes with --timestamps")
    export_onnx(out, model, branch=branch, timestamps=timestamps, timestamp_window_ms=window)
    notes.print(f"{printable(out)}: {out.stat().st_size / 1e6:.1f} MB, compared with PyTorch", soft_wrap=True)


def _load(model: str, branch: str, device: str) -> Embedder:
    try:
        where = torch.device(device)
        return load_release(find_release(model, branches=(branch,)), branch).to(where)
    except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
        raise ReleaseError(f"--device {device}: {str(error).splitlines()[0]}") from error


def _shade(value: float) -> Text:
    return Text(f"{value:+.2f}", "bold green" if value > 0.3 else "green" if value > 0.0 else "dim")


@contextmanager
def _progress(total: int, doing: str = "embedding") -> Iterator[Callable[[float, float], None]]:
    """A bar over files; yields what to call with the files done and the seconds of audio heard."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as bar:
        task = bar.add_task(doing, total=total, rate="")

        def report(done: float, seconds: float) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            bar.update(task, completed=done, rate=f"{seconds / elapsed:.0f} x real time" if elapsed and seconds else "")

        yield report


def _complain(text: str) -> None:
    notes.print(text, style="red", soft_wrap=True)


def main() -> None:
    """Entry point of the console script: errors for people on stderr, exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that temporary files go
    try:
        app()
    except (
        AudioError, ConfigError, MissingExtraError, PageError, ReleaseError, SearchError, TableError, OSError
    ) as error:  # fmt: skip
        _complain(f"error: {error}")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
