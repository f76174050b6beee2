"""A result of each kind as a section of the report: tables, and a picture or more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from training.evaluate.hear.leaderboard import LeaderboardError, table_beside
from training.evaluate.hear.tasks import BY_NAME
from training.evaluate.markdown import ABSENT
from training.evaluate.report import pictures
from training.evaluate.report.canvas import one_line
from training.evaluate.report.page import paragraph, picture, table
from training.evaluate.report.results import ReportError

_Result = Mapping[str, Any]


def _settings(result: _Result) -> str:
    return paragraph(", ".join(f"{key}: {json.dumps(value, default=str)}" for key, value in result["config"].items()))


def _measure(of: Mapping[str, float]) -> str:
    return f"{of['mean']:.1f} ± {of['ci95']:.1f}"


def _metric(name: str, row: _Result) -> Mapping[str, float]:
    found: Mapping[str, float] = row["metrics"][name]
    return found


def _scores(rows: Sequence[_Result], value: Callable[[_Result], Mapping[str, float]]) -> dict[str, Any]:
    """Model to task to mean and interval, for a picture."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for row in rows:
        found.setdefault(row["model"], {})[row["task"]] = value(row)
    return found


def _linear(result: _Result) -> str:
    rows, over = result["rows"], "folds" if result["kind"] == "regression" else "seeds"
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    cells = [[_measure(row["metrics"][name]) if name in row["metrics"] else ABSENT for name in metrics] for row in rows]
    parts = [
        _settings(result),
        table(
            f"In %, mean and 95 % confidence interval over {over}",
            ["model", "task", *metrics],
            [[row["model"], row["task"], *of] for row, of in zip(rows, cells, strict=True)],
        ),
    ]
    for metric, name in (("accuracy", "accuracy"), ("map", "mean average precision")):
        if some := [row for row in rows if metric in row["metrics"]]:
            heading = f"{SECTIONS[result['kind']][0]}: {name} (%)"
            drawn = pictures.accuracy_picture(_scores(some, partial(_metric, metric)), heading)
            parts.append(picture(drawn, f"{heading} of each model on each task, with 95 % confidence intervals"))
    groups: dict[tuple[str, tuple[str, ...]], list[_Result]] = {}
    for row in rows:
        groups.setdefault((row["task"], tuple(row["labels"])), []).append(row)
    for (task, labels), some in groups.items():
        heading = f"{task}: F1 of each label (%)"
        parts.append(
            picture(
                pictures.class_f1_picture({row["model"]: row["class_f1"] for row in some}, labels, heading), heading
            )
        )
        for row in (row for row in some if row.get("confusion") is not None):
            heading = f"{row['model']}: {task}"
            parts.append(
                picture(pictures.confusion_picture(row["confusion"], labels, heading), f"Confusion matrix of {heading}")
            )
    return "".join(parts)


def _knn(result: _Result) -> str:
    rows = result["rows"]
    heading = "k nearest neighbours: accuracy (%)"
    drawn = pictures.accuracy_picture(_scores(rows, lambda row: {"mean": row["accuracy"], "ci95": 0.0}), heading)
    return table(
        "Accuracy in %, and the k that cross-validation chose for each fold",
        ["model", "task", "accuracy", "k"],
        [[row["model"], row["task"], f"{row['accuracy']:.1f}", ", ".join(map(str, row["k"]))] for row in rows],
    ) + picture(drawn, f"{heading} of each model on each task")


def _finetune(result: _Result) -> str:
    rows = result["rows"]
    cells = []
    for row in rows:
        gain = f"{row['finetuned']['mean'] - row['frozen']['mean']:+.1f}"
        folds = f"{row['folds']} of {row['all_folds']}" if {"folds", "all_folds"} <= row.keys() else ABSENT
        cells.append([row["model"], row["task"], _measure(row["frozen"]), _measure(row["finetuned"]), gain, folds])
    both = [
        {"model": f"{row['model']}, {name}", "task": row["task"], "value": row[way]}
        for row in rows
        for name, way in (("frozen", "frozen"), ("fine-tuned", "finetuned"))
    ]
    heading = "Frozen and fine-tuned: accuracy (%)"
    drawn = pictures.accuracy_picture(_scores(both, lambda row: row["value"]), heading)
    said = "Accuracy in %, mean and 95 % confidence interval over seeds"
    head = ["model", "task", "frozen", "fine-tuned", "difference", "folds"]
    return _settings(result) + table(said, head, cells) + picture(drawn, f"{heading} of each model on each task")


def _history(result: _Result) -> str:
    rows = result["rows"]
    lines = list(dict.fromkeys((row["task"], row["branch"]) for row in rows))
    at = {(row["step"], row["epoch"], row["task"], row["branch"]): f"{row['accuracy']:.1f}" for row in rows}
    cells = []
    for step, epoch in sorted({(row["step"], row["epoch"]) for row in rows}, key=lambda moment: moment[0]):
        when = [f"{step:,.0f}", ABSENT if epoch is None else f"{epoch:.4g}"]
        cells.append([*when, *(at.get((step, epoch, *line), ABSENT) for line in lines)])
    heading = f"{result['run']}: accuracy (%) of both branches"
    return picture(pictures.history_picture(rows, heading), f"{heading} over time") + table(
        heading, ["step", "epoch", *(f"{task}, {branch}" for task, branch in lines)], cells
    )


def _cka(result: _Result) -> str:
    first, second = result["models"]
    heading = f"CKA on {result['task']}: {first} and {second}"
    drawn = pictures.cka_picture(result["matrix"], result["layers"], result["models"], heading)
    cells = [
        [layer, *(f"{value:.2f}" for value in line)]
        for layer, line in zip(result["layers"][0], result["matrix"], strict=True)
    ]
    said = f"Rows: layers of {first}; columns: layers of {second}; 1 is the same up to rotation and scale"
    chance = [value for line in result.get("chance") or () for value in line]
    by_chance = paragraph(f"Of clips matched at random: {sum(chance) / len(chance):.2f} on average.") if chance else ""
    return picture(drawn, heading) + table(said, ["", *result["layers"][1]], cells) + by_chance


def _map(result: _Result) -> str:
    heading = f"{result['model']}: {result['method']} of {result['task']}"
    drawn = pictures.map_picture(result["points"], result["classes"], result["labels"], heading)
    return picture(drawn, f"{heading}: {len(result['points'])} clips in the colours of their labels")


def _score(row: _Result) -> str:
    return ABSENT if row["score"] is None else f"{row['score']:.4f}"


def _hear(result: _Result) -> str:
    rows = result["rows"]
    cells = [[row["model"], row["task"], row["metric"], _score(row), f"{row['seconds']:.0f}"] for row in rows]
    parts = [
        paragraph(f"Grid: {result['grid']}"),
        table("As heareval gives them", ["model", "task", "metric", "score", "seconds"], cells),
    ]
    if known := [{**row, "task": f"{row['task']}: {row['metric']}"} for row in rows if row["score"] is not None]:
        heading = "HEAR: score x 100"
        scores = _scores(known, lambda row: {"mean": 100.0 * row["score"], "ci95": 0.0})
        parts.append(picture(pictures.accuracy_picture(scores, heading), f"{heading} of each model on each task"))
    own: dict[tuple[str, str], float | None] = {}
    for row in rows:
        own.setdefault((row["model"], row["task"]), row["score"])  # of several metrics, the first is the task's own
    ours: dict[str, dict[str, float]] = {}
    for (model, task), score in own.items():
        if task in BY_NAME and score is not None:
            ours.setdefault(one_line(model), {})[BY_NAME[task].title] = score
    return "".join(parts) + (_leaderboard(ours) if ours else "")


def _leaderboard(ours: Mapping[str, Mapping[str, float]]) -> str:
    try:
        lines = [line[2:-2].split(" | ") for line in table_beside(ours).splitlines()]
    except LeaderboardError as error:
        raise ReportError(f"hear: {error}") from error
    cells = [[cell.replace(r"\|", "|") for cell in line] for line in lines[2:]]
    best = {(number, 0) for number, line in enumerate(cells) if line[0].startswith("**")}
    for number, _ in best:
        cells[number][0] = cells[number][0][2:-2]
    others = set(range(len(cells))) - {number for number, _ in best}
    said = "Beside the public leaderboard of HEAR 2021 (ours in bold), by the mean of scores scaled from 0 to 1"
    return table(said, lines[0], cells, best, others)


def _windows(result: _Result) -> str:
    rows = result["rows"]
    heading = "Score by the length of the window"
    cells = [[row["model"], row["task"], f"{row['window_ms']:g}", row["metric"], _score(row)] for row in rows]
    numbers = table("As heareval gives them", ["model", "task", "window (ms)", "metric", "score"], cells)
    known = [row for row in rows if row["score"] is not None]
    return (picture(pictures.window_picture(known, heading), heading) if known else "") + numbers


SECTIONS: dict[str, tuple[str, Callable[[_Result], str]]] = {
    "linear": ("Linear evaluation", _linear),
    "regression": ("Regression", _linear),
    "knn": ("Nearest neighbours", _knn),
    "finetune": ("Fine-tuning", _finetune),
    "hear": ("HEAR", _hear),
    "windows": ("Windows", _windows),
    "history": ("History of a run", _history),
    "cka": ("Similarity of layers", _cka),
    "map": ("Map of embeddings", _map),
}
