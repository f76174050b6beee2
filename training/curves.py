"""The curves of a run as one picture."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from selfie_hear.audio import printable
from selfie_hear.config import MissingExtraError
from training.files import appears_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe & Ito: told apart by everybody
INK, QUIET, PALE, EDGE = "#222222", "#767676", "#E4E4E4", "#B0B0B0"
SMALL = 8.5  # points
BINS = 300  # points that a panel can show; a line of twice as many is drawn as means and a band
COLUMNS = 3
LABEL_GAP = 0.085  # of a panel's height: a line of text


class Panel(NamedTuple):
    """Lines that share an axis: label -> key in metrics.jsonl."""

    title: str
    lines: dict[str, str]
    scale: float = 1.0  # what the values are multiplied by
    from_zero: bool = True


PANELS = (
    Panel("Embedding spread (0 = all alike)", {"": "embedding_std"}),
    Panel("Effective rank of the embeddings", {"": "effective_rank"}),
    Panel("kNN accuracy (%)", {"online": "knn_online", "target": "knn_target"}, from_zero=False),
    Panel("Learning rate", {"": "learning_rate"}),
    Panel("Speed (crops a second)", {"": "crops_per_second"}),
    Panel("Time spent waiting for data (%)", {"": "data_wait"}, scale=100.0),
)  # beside the losses, whose names are the objective's


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw `metrics.jsonl` of a run folder as a PNG; where there is nothing to draw yet, nothing is written.

    Raises:
        MissingExtraError: matplotlib is not installed.
        OSError: `picture` cannot be written; one that was there is untouched.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise MissingExtraError("drawing curves needs matplotlib: pip install 'selfie_hear[train]'") from error
    series = read_series(metrics)
    if not series:
        return
    png = io.BytesIO()
    # Without the version of matplotlib, the same run is the same file.
    FigureCanvasAgg(build_figure(series, metrics.absolute().parent.name)).print_png(png, metadata={"Software": None})
    with appears_whole(picture) as file:
        file.write(png.getvalue())


def read_series(metrics: Path) -> dict[str, np.ndarray]:
    """Steps and finite values `(n, 2)` of each key, in the order of the file; lines that are not whole are left out."""
    found: dict[str, list[tuple[float, float]]] = {}
    for line in metrics.read_text(errors="replace").splitlines() if metrics.exists() else []:
        try:
            values = json.loads(line)
            step = float(values.pop("step"))
        except (ValueError, KeyError, TypeError, AttributeError):  # the run is writing it, or was cut off when it did
            continue
        for key, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                found.setdefault(key, []).append((step, value))
    return {key: np.array(points, dtype=np.float64) for key, points in found.items()}


def build_figure(series: dict[str, np.ndarray], name: str) -> Figure:
    """The panels that there are values for, in a grid that has no holes: the losses take what the others leave."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import EngFormatter, MaxNLocator

    losses = {key.removesuffix("_loss"): key for key in sorted(series, key="loss".__ne__) if key.endswith("loss")}
    others = [panel for panel in PANELS if any(key in series for key in panel.lines.values())]
    panels = [(Panel("Losses", losses, from_zero=False), COLUMNS - len(others) % COLUMNS)] if losses else []
    panels += [(panel, 1) for panel in others]
    cells = sum(width for _, width in panels)
    rows = max(1, math.ceil(cells / COLUMNS))
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)  # inches
    figure = Figure(figsize=(13.5, 0.6 + 2.5 * rows), dpi=110, layout=layout)
    last = max(float(points[-1, 0]) for points in series.values())
    epoch = f", epoch {series['epoch'][-1, 1]:.4g}" if "epoch" in series else ""
    heading = f"{printable(name)}: step {last:,.0f}{epoch}"
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, weight="bold", color=INK, parse_math=False)
    grid = figure.add_gridspec(rows, COLUMNS)
    first: Axes | None = None
    cell = 0
    for panel, width in panels:
        row, column = divmod(cell, COLUMNS)
        cell += width
        axes = figure.add_subplot(grid[row, column : column + width], sharex=first)
        first = first or axes
        _draw(axes, panel, series)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        lowest = cell + COLUMNS > cells
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel("step" if lowest else "", fontsize=SMALL, color=QUIET)
    return figure


def _draw(axes: Axes, panel: Panel, series: dict[str, np.ndarray]) -> None:
    ends: list[tuple[float, str, str]] = []  # height, text, colour
    colours = iter(COLOURS * len(panel.lines))
    for label, key in panel.lines.items():
        colour = INK if key == "loss" else next(colours)
        if key not in series:
            continue
        points = series[key] * (1.0, panel.scale)
        if len(points) > 2 * BINS:
            bins = np.array_split(points, BINS)
            points = np.array([part.mean(0) for part in bins])
            low, high = np.array([np.percentile(part[:, 1], (5, 95)) for part in bins]).T
            axes.fill_between(points[:, 0], low, high, color=colour, alpha=0.18, linewidth=0)
        few = len(points) <= BINS // 10  # a line through one point cannot be seen
        axes.plot(*points.T, color=colour, linewidth=1.2, marker="o" if few else "", markersize=3.5, zorder=3)
        end = float(points[-1, 1])
        ends.append((end, f"{label} {float(f'{end:.3g}'):,g}".strip(), colour))
    if panel.from_zero:
        axes.set_ylim(0, 1.08 * axes.dataLim.y1 or 1.0)
    axes.margins(x=0.01)
    axes.set_title(panel.title, loc="left", fontsize=10, color=INK)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    style(axes, "both", QUIET)
    bottom, top = axes.get_ylim()
    ends.sort()
    heights = spread([(end - bottom) / (top - bottom) for end, *_ in ends])
    for height, (_, text, colour) in zip(heights, ends, strict=True):
        beside = axes.annotate(text, (1, height), (5, 0), "axes fraction", "offset points", va="center")
        beside.set(color=colour, fontsize=SMALL)


def style(axes: Axes, grid: Literal["x", "y", "both"], ink: str = INK) -> None:
    """Lines to read values by, and no box."""
    axes.grid(axis=grid, color=PALE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, length=0, labelcolor=ink)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(EDGE)


def spread(places: list[float]) -> list[float]:
    """Rising heights of labels, moved so that they are a line of text apart and none is above the panel."""
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + LABEL_GAP)
    return [
        min(place, 1.0 - LABEL_GAP * above) for above, place in zip(reversed(range(len(places))), places, strict=True)
    ]
