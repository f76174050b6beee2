"""`selfie-hear explore`: a page to look at sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfie_hear.audio import AudioError, printable
from selfie_hear.cli.shared import Branch, Device, Model, complain, load, notes, progress
from selfie_hear.corpus import Listener, find_files
from selfie_hear.explore.collection import MEGABYTE, PageOptions, collection_data
from selfie_hear.explore.gather import embed_sounds, is_table, read_sounds
from selfie_hear.explore.labels import check_labels
from selfie_hear.explore.layout import check_extra
from selfie_hear.explore.page import build_page, check_out
from selfie_hear.explore.recording import recording_data
from selfie_hear.files import write_whole

MANY = 10  # remarks that are printed


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
        embedder, _ = load(model, branch, device)
        with progress(len(files)) as report:
            listener = Listener(embedder, report)
            if kind == "timeline":
                source = files[0]
                data, remarks = recording_data(source, listener, options)
            else:
                sounds, embeddings, unread = embed_sounds(files, listener)
                failures += unread
    if kind == "map":
        with progress(len(sounds), "listening") as report:
            data, remarks = collection_data(sounds, embeddings, options, labels, lambda done: report(done, 0.0))
    page = build_page(kind, printable(title or source.resolve().name), data)
    replaced = ", in place of the file that was there" if out.exists() else ""
    write_whole(out, page)
    for failure in failures:
        complain(f"not embedded: {failure}")
    for remark in [*remarks[:MANY], *[f"... and {len(remarks) - MANY} more"] * (len(remarks) > MANY)]:
        notes.print(remark, style="yellow", soft_wrap=True)
    notes.print(f"{printable(out)}: {kind}, {len(page.encode()) / MEGABYTE:.1f} MB{replaced}", soft_wrap=True)
    if failures:
        raise typer.Exit(1)
