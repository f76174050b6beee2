"""What the pictures of results have in common: the sheet, its colours, names that fit on it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from selfie_hear.config import MissingExtraError
from training.curves import COLOURS, INK, SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "osD^vPX"
LETTER = 0.6 * SMALL / 72  # inches
LINE = 1.5 * SMALL / 72  # inches


def sheet(width: float, height: float, title: str) -> Figure:
    """An empty figure with a heading; sizes in inches.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise MissingExtraError("drawing results needs matplotlib: pip install 'selfie_hear[train]'") from error
    figure = Figure(
        figsize=(width, height), dpi=110, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08, compress=True)
    )
    heading = one_line(title, max(12, int(10.5 * width)))
    figure.suptitle(heading, x=0.01, ha="left", fontsize=11, weight="bold", color=INK, parse_math=False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure, drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawn = io.BytesIO()
    FigureCanvasAgg(figure).print_png(drawn, metadata={"Software": None})  # the same result is the same picture
    return drawn.getvalue()


def legend(figure: Figure, handles: Sequence[Any], names: Iterable[str]) -> None:
    """The models, below; before 3.10, matplotlib leaves out a name that begins with an underscore, hence the space."""
    texts = [f" {one_line(name, 40)}" for name in names]
    columns = max(1, int(figure.get_figwidth() / (LETTER * max(map(len, texts)) + 0.5)))
    found = figure.legend(handles, texts, loc="outside lower left", frameon=False, fontsize=SMALL, ncols=columns)
    for text in found.get_texts():
        text.set_parse_math(False)


def colour(number: int) -> str:
    """That of the n-th model or label."""
    return COLOURS[number % len(COLOURS)]


def one_line(text: str, most: int = 1000) -> str:
    """Text of any kind as a line that can be drawn and written as UTF-8, cut to `most` characters."""
    line = " ".join(text.encode("utf-8", "backslashreplace").decode().split())
    line = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def short(labels: Iterable[str]) -> list[str]:
    """Labels beside an axis or on a map."""
    return [one_line(label, 30) for label in labels]


def apart(places: np.ndarray, sizes: np.ndarray, side: float) -> np.ndarray:
    """Centres `(n, 2)` of boxes of `sizes` `(n, 2)`, moved up and down until none lies on another, if there is room.

    Args:
        side: of the square that they stay in.
    """
    margin = sizes / 2 + 0.03
    found: np.ndarray = np.clip(places, margin, np.maximum(side - margin, margin))
    beside = np.abs(found[:, None, 0] - found[None, :, 0]) < (sizes[:, None, 0] + sizes[None, :, 0]) / 2
    np.fill_diagonal(beside, False)
    rank = np.argsort(np.argsort(found[:, 1], kind="stable"))
    upwards = np.where(rank[:, None] > rank[None, :], 1.0, -1.0)
    need = (sizes[:, None, 1] + sizes[None, :, 1]) / 2
    for _ in range(2000):
        gap = np.abs(found[:, None, 1] - found[None, :, 1])
        if not (beside & (gap < need)).any():
            break
        push = np.where(beside, np.maximum(1.2 * need - gap, 0.0), 0.0)  # a little further, to get there
        direction = np.sign(found[:, None, 1] - found[None, :, 1])
        found[:, 1] += 0.35 * (push * np.where(direction == 0, upwards, direction)).sum(1)
        found[:, 1] = np.clip(found[:, 1], margin[:, 1], side - margin[:, 1])
    return found
