"""`selfie-hear search`: what is like a sound in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfie_hear.audio import printable
from selfie_hear.cli.shared import Device, Model, console, load
from selfie_hear.nearest import MEASURES, NEAREST
from selfie_hear.pretrained import bundled_releases
from selfie_hear.search import SoundSearch

Measure = Annotated[str, typer.Option(help=f"{', '.join(MEASURES)}: of the table, before the cosine.")]
Engine = Annotated[str, typer.Option(help=f"{' or '.join(NEAREST)}: read the table, or hold it in memory.")]


def search(
    queries: Annotated[list[str], typer.Argument(help="Audio files to find the like of.")],
    table: Annotated[Path, typer.Option("--in", help="What embed wrote: .npz, .csv, .parquet or a folder.")],
    k: Annotated[int, typer.Option("-k", help="How many to show.")] = 10,
    measure: Measure = MEASURES[0],
    engine: Engine = "numpy",
    model: Model = "",
    branch: Annotated[str, typer.Option(help="As of the table, if not given.")] = "",
    device: Device = "cpu",
) -> None:
    """Show what is most like a sound among those that were embedded: recordings, or moments if the table has times."""
    index = SoundSearch(table, measure=measure, engine=engine)
    made = index.table.origin
    if not model and made and made.model in bundled_releases():
        model = made.model
    embedder, _ = load(model, branch or (made.branch if made else "online"), device)
    if made:
        embedder.precision = made.precision
        embedder.timestamp_window_ms = made.window_ms or embedder.timestamp_window_ms
    for query, hits in zip(queries, index.like(queries, embedder, k), strict=True):
        if len(queries) > 1:
            console.print(f"{printable(query)}:", soft_wrap=True)
        for hit in hits:
            time = "" if hit.time_ms is None else f"  {hit.time_ms / 1000:.2f} s"
            console.print(f"{hit.score:+.3f}  {hit.path}{time}", soft_wrap=True)
