"""`selfie-hear embed`: sounds to a table, or to a collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfie_hear.audio import printable
from selfie_hear.cli.collection import Settings, fill
from selfie_hear.cli.shared import (
    Branch,
    Device,
    Model,
    Paths,
    Precision,
    Timestamps,
    Window,
    complain,
    load,
    notes,
    progress,
)
from selfie_hear.config import ConfigError
from selfie_hear.corpus import ENGINES, SHARD_SIZE, Listener, embed_files, find_files
from selfie_hear.origin import KEY, Origin
from selfie_hear.parquet_rows import DTYPES
from selfie_hear.tables import open_table


def embed(
    paths: Paths,
    out: Annotated[str, typer.Option("-o", "--out", help="OUT.npz, OUT.csv, OUT.parquet or, for millions, a FOLDER/.")],
    timestamps: Timestamps = False,
    window: Window = None,
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
    to_folder, settings = out.endswith("/") or not Path(out).suffix, Settings(dtype, shard_size, workers, engine)
    if not to_folder and settings != Settings():
        raise ConfigError("--dtype, --shard-size, --workers and --engine go with a folder: -o OUT/")
    files, failures = ([], []) if to_folder else find_files(paths)
    embedder, name = load(model, branch, device)
    if window is not None:
        embedder.timestamp_window_ms = window
    embedder.precision = precision
    origin = Origin.of(embedder, timestamps, name, branch)
    if to_folder:
        raise typer.Exit(int(not fill(paths, Path(out), embedder, origin, settings)))
    size = embedder.timestamp_embedding_size if timestamps else embedder.scene_embedding_size
    with open_table(Path(out), size, timestamps, {KEY: origin.to_json()}) as table, progress(len(files)) as report:
        unread = embed_files(Listener(embedder, report), files, table, timestamps)
    for failure in (*failures, *unread):
        complain(f"not embedded: {failure}")
    kept = len(files) - len(unread)
    if kept:
        notes.print(f"{printable(out)}: {table.rows} embeddings of {kept} files, {size} values each", soft_wrap=True)
    if failures or unread:
        raise typer.Exit(1)
