"""Results as pictures: PNG, as bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.curves import COLOURS, COLUMNS, EDGE, INK, PALE, QUIET, SMALL, spread, style
from training.evaluate.report.canvas import LETTER, LINE, MARKERS, apart, colour, legend, one_line, png, sheet, short

SHADES = ("#FFFFFF", "#56B4E9", "#0072B2", "#00263B")  # of a heat map; they differ in lightness, also in print
READABLE = 100  # labels along an axis
NAMED = 60  # labels on a map
MAP = 9.0  # inches
_Panels = dict[str, dict[str, list[tuple[float, float]]]]  # heading: line: points


def confusion_picture(confusion: Sequence[Sequence[int]], labels: Sequence[str], title: str) -> bytes:
    """Counts `(labels, labels)`, rows are the truth, as the share of each row in %."""
    counts = np.array(confusion, dtype=np.float64)
    shares = 100.0 * counts / np.maximum(counts.sum(1, keepdims=True), 1.0)
    return _heat_map(shares, (labels, labels), ("truth", "answer"), f"{title} (% of each row)", "{:.0f}", 100.0)


def cka_picture(
    matrix: Sequence[Sequence[float]], layers: Sequence[Sequence[str]], models: Sequence[str], title: str
) -> bytes:
    """Similarity 0 to 1 of each layer of the first model (rows) with each of the second (columns)."""
    return _heat_map(np.array(matrix, dtype=np.float64), layers, models, title, "{:.2f}", 1.0)


def class_f1_picture(class_f1: Mapping[str, Sequence[float]], labels: Sequence[str], title: str) -> bytes:
    """Bars of F1 in % for each label, one for each model, highest mean first; of over 100 labels the 100 lowest."""
    values = np.array(list(class_f1.values()), dtype=np.float64)
    order = np.argsort(-values.mean(0), kind="stable")
    if len(order) > READABLE:
        order, title = order[-READABLE:], f"{title} ({READABLE} lowest of {len(order)})"
    names = short(labels[i] for i in order)
    group = 0.09 + 0.13 * len(values)  # inches
    columns = min(3, math.ceil(len(order) * group / 9))
    rows = math.ceil(len(order) / columns)
    figure = sheet(columns * (LETTER * max(map(len, names)) + 3.2) + 1.0, 1.2 + rows * group, title)
    for column, axes in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        part = slice(column * rows, (column + 1) * rows)
        places = np.arange(len(names[part]))
        bars = []
        for number, of in enumerate(values[:, order[part]]):
            offset = (number - (len(values) - 1) / 2) * 0.8 / len(values)
            bars.append(axes.barh(places + offset, of, 0.72 / len(values), color=colour(number)))
        if len(values) == 1:
            axes.bar_label(bars[0], fmt="{:.0f}", fontsize=7, padding=3)
        axes.set_yticks(places, names[part], parse_math=False)
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_xlim(0, 108)
        style(axes, "x")
    legend(figure, bars, class_f1)
    return png(figure)


def accuracy_picture(scores: Mapping[str, Mapping[str, Mapping[str, float]]], title: str) -> bytes:
    """A dot for each model on each task, with a line over its 95 % confidence interval.

    Args:
        scores: model to task to `mean` and `ci95`, in %.
    """
    tasks = list(dict.fromkeys(task for of in scores.values() for task in of))
    figure = sheet(9.5, 1.2 + len(tasks) * (0.15 + 0.17 * len(scores)), title)
    axes = figure.add_subplot()
    dots = []
    for number, of in enumerate(scores.values()):
        places = np.array([tasks.index(task) for task in of]) + (number - (len(scores) - 1) / 2) * 0.8 / len(scores)
        means, whiskers = (np.array([of[task][key] for task in of], dtype=np.float64) for key in ("mean", "ci95"))
        look: dict[str, Any] = {"fmt": MARKERS[number % len(MARKERS)], "color": colour(number), "markersize": 5}
        dots.append(axes.errorbar(means, places, xerr=whiskers, elinewidth=1.4, capsize=2.5, **look))
        for end, mean, place in zip(means + whiskers, means, places, strict=True):
            beside = axes.annotate(f"{mean:.1f}", (end, place), (6, 0), textcoords="offset points", va="center")
            beside.set(color=INK, fontsize=7)
    for place in range(1, len(tasks)):
        axes.axhline(place - 0.5, color=PALE, linewidth=0.7)
    axes.set_yticks(range(len(tasks)), short(tasks), parse_math=False)
    axes.set_ylim(len(tasks) - 0.45, -0.55)
    axes.margins(x=0.08)
    style(axes, "x")
    legend(figure, dots, scores)
    return png(figure)


def history_picture(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """A panel for each task: accuracy in % of each branch over epochs, or over steps where an epoch is not known.

    Args:
        rows: `step`, `epoch`, `branch`, `task`, `accuracy`.
    """
    time = "step" if any(row["epoch"] is None for row in rows) else "epoch"
    panels: _Panels = {}
    for row in rows:
        panels.setdefault(row["task"], {}).setdefault(row["branch"], []).append((row[time], row["accuracy"]))
    return _line_panels(panels, title, time, "{:.1f}")


def window_picture(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """A panel for each task and metric: the score of each model over the length of its windows.

    Args:
        rows: `model`, `task`, `metric`, `window_ms`, `score`.
    """
    panels: _Panels = {}
    for row in rows:
        panel = panels.setdefault(f"{row['task']}: {row['metric']}", {})
        panel.setdefault(row["model"], []).append((row["window_ms"], row["score"]))
    return _line_panels(panels, title, "window (ms)", "{:.3f}")


def map_picture(points: Sequence[Sequence[float]], classes: Sequence[int], labels: Sequence[str], title: str) -> bytes:
    """Points `(n, 2)` in the colour of their class, whose label stands at their median; 60 labels at most."""
    places, members = np.array(points, dtype=np.float64), np.array(classes)
    counts = np.bincount(members, minlength=len(labels))
    named = [int(i) for i in np.argsort(-counts, kind="stable")[:NAMED] if counts[i]]
    if len(named) < (counts > 0).sum():
        title = f"{title} ({len(named)} of {(counts > 0).sum()} labels named)"
    low, high = places.min(0), places.max(0)
    inches = 0.4 + (places - low) / np.where(high > low, high - low, 1.0) * (MAP - 0.8)
    figure = sheet(MAP, MAP + 0.4, title)
    axes = figure.add_subplot()
    for number in np.flatnonzero(counts).tolist():
        marker = MARKERS[number // len(COLOURS) % len(MARKERS)]
        x, y = inches[members == number].T
        axes.scatter(x, y, s=14, alpha=0.65, linewidth=0, marker=marker, color=colour(number))
    names = short(labels[number] for number in named)
    medians = np.array([np.median(inches[members == number], axis=0) for number in named])
    sizes = np.array([(LETTER * len(name) + 0.08, LINE) for name in names])
    for number, name, median, place in zip(named, names, medians, apart(medians, sizes, MAP), strict=True):
        if np.abs(place - median).max() > LINE:
            axes.plot(*np.stack([median, place]).T, color=QUIET, linewidth=0.6)
        text = axes.text(
            place[0], place[1], name, ha="center", va="center", fontsize=SMALL, color=INK, parse_math=False
        )
        text.set_bbox({"facecolor": "#FFFFFF", "edgecolor": colour(number), "alpha": 0.85, "pad": 1.2})
    axes.set(xlim=(0, MAP), ylim=(0, MAP), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_color(EDGE)
    return png(figure)


def _heat_map(
    values: np.ndarray, labels: Sequence[Sequence[str]], axis_names: Sequence[str], title: str, number: str, top: float
) -> bytes:
    """Values 0 to `top`; labels and names of rows and of columns."""
    most = max(values.shape)
    readable = most <= READABLE
    cell = 0.42 if most <= 16 else 0.3 if most <= 30 else 0.2 if readable else 9.0 / most  # inches
    names = [short(of) if readable else [] for of in labels]
    room = [LETTER * max(map(len, of), default=0) + 0.8 for of in names]
    figure = sheet(max(6.5, cell * values.shape[1] + room[0] + 1.0), cell * values.shape[0] + room[1] + 0.4, title)
    axes = figure.add_subplot()
    image = axes.imshow(values, _shades(), vmin=0, vmax=top)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30, pad=0.02)
    bar.ax.tick_params(length=0, labelsize=SMALL)
    bar.ax.spines[:].set_visible(False)
    for axis, ticks in ((axes.yaxis, names[0]), (axes.xaxis, names[1])):
        axis.set_ticks(range(len(ticks)), ticks, parse_math=False)
    axes.tick_params(length=0, labelsize=SMALL)
    axes.tick_params("x", labelrotation=90)
    axes.set_ylabel(one_line(axis_names[0], 40), color=QUIET, parse_math=False)
    axes.set_xlabel(one_line(axis_names[1], 40), color=QUIET, parse_math=False)
    axes.spines[:].set_color(EDGE)
    for row, column in np.argwhere(values >= top / 200) if readable else ():
        value = values[row, column]
        text = axes.text(column, row, number.format(value), ha="center", va="center")
        text.set(color="#FFFFFF" if value > 0.45 * top else INK, fontsize=max(5.0, 18 * cell))
    return png(figure)


def _shades() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("", SHADES)


def _line_panels(panels: _Panels, title: str, below: str, number: str) -> bytes:
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    order = list(dict.fromkeys(line for lines in panels.values() for line in lines))  # a name keeps its colour
    figure = sheet(
        columns * (3.6 + LETTER * (6 + max(len(one_line(line, 30)) for line in order))), 0.6 + 2.6 * rows, title
    )
    for place, (heading, lines) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, place + 1)
        ends = []
        for name, unsorted in lines.items():
            points = np.array(sorted(unsorted), dtype=np.float64)
            ends.append((points[-1, 1], f"{one_line(name, 30)} {number.format(points[-1, 1])}", order.index(name)))
            axes.plot(*points.T, color=colour(ends[-1][2]), linewidth=1.3, marker="o", markersize=3.5)
        axes.set_title(one_line(heading, 45), loc="left", fontsize=10, color=INK, parse_math=False)
        axes.set_xlabel(below, fontsize=SMALL, color=QUIET)
        style(axes, "y")
        bottom, top = axes.get_ylim()
        ends.sort()
        heights = spread([(end - bottom) / (top - bottom) for end, *_ in ends])
        for height, (_, text, line) in zip(heights, ends, strict=True):
            beside = axes.annotate(text, (1, height), (5, 0), "axes fraction", "offset points", va="center")
            beside.set(color=colour(line), fontsize=SMALL, parse_math=False)
    return png(figure)
