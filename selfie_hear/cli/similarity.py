"""`selfie-hear similarity`: how alike a few sounds are."""

from __future__ import annotations

import numpy as np
from rich.table import Table as Grid
from rich.text import Text

from selfie_hear.audio import AudioError, printable
from selfie_hear.cli.shared import Branch, Device, Model, Paths, console, load, progress
from selfie_hear.corpus import Listener, find_files
from selfie_hear.explore.layout import directions

WIDEST = 8  # files whose pairs fit side by side in a terminal


def similarity(paths: Paths, model: Model = "", branch: Branch = "online", device: Device = "cpu") -> None:
    """Show how alike sounds are: the cosine similarity of each pair of files, less what all of them share."""
    files, failures = find_files(paths)
    if failures:
        raise failures[0]
    if len(files) < 3:
        raise AudioError(f"similarity needs at least three files to compare, got {len(files)}")
    embedder, _ = load(model, branch, device)
    with progress(len(files)) as report:
        listener = Listener(embedder, report)
        values = directions(np.stack([listener.scene(file) for file in files]))
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


def _shade(value: float) -> Text:
    return Text(f"{value:+.2f}", "bold green" if value > 0.3 else "green" if value > 0.0 else "dim")
