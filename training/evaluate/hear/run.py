"""Scores of the real HEAR tools: models by tasks, in one table."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from training.evaluate.hear.environment import HearEnvironment
from training.evaluate.hear.folder import HearFolder, read_hear_folders
from training.evaluate.hear.runner import GRID_POINTS, GRIDS, HearRunner, LoadedModel
from training.evaluate.hear.tools import HearError, Report, locked, silent
from training.evaluate.markdown import markdown
from training.evaluate.models import ModelSpec
from training.files import write_whole

Row = dict[str, Any]


def run_hear(
    specs: Sequence[ModelSpec],
    tasks_dir: Path,
    out: Path,
    grid: str,
    environment: HearEnvironment,
    grid_points: int | None = None,
    only: Sequence[str] = (),
    report: Report = silent,
) -> dict[str, Any]:
    """hear-validator on each model, then heareval's embeddings and predictions on each task.

    What is done is kept in `out` and not done again; killed, the same call goes on from there.

    Args:
        specs: of the models, with different names.
        tasks_dir: tasks in hear-eval-kit's layout.
        out: gets scores.json, scores.csv and scores.md (after each task), embeddings and logs.
        grid: of predictors: "default", "fast" or "faster".
        grid_points: how many of the grid are tried; None: heareval's default, 8.
        only: these tasks; none: all.
        report: called with what is being done.

    Returns:
        `{"kind": "hear", "grid", "grid_points", "validation", "rows"}`, a row for each metric of a task: "model",
        "task", "metric", "score" (as heareval gives it, of folds the mean; None for NaN), "std" (of folds, or None)
        and "seconds" (of the task, as heareval measured).

    Raises:
        HearError: tasks, models or grid that cannot be used, or a tool that fails.
    """
    tasks = read_hear_folders(tasks_dir.absolute(), only)
    points = _check(specs, grid, grid_points)
    result: dict[str, Any] = {"kind": "hear", "grid": grid, "grid_points": points, "validation": [], "rows": []}
    with locked(out / ".lock", report) as lock:
        runner = HearRunner(environment, out, lock, report)
        models = [runner.load(spec) for spec in specs]
        said: dict[tuple[str, str], dict[str, Any]] = {}
        for model in models:
            key = (model.spec.module, model.spec.path)  # options are nothing to the validator
            said[key] = said.get(key) or runner.validate(model)
            result["validation"].append({"model": model.spec.name, **said[key]})
        for rows in _judged(runner, models, tasks, grid, points, report):
            result["rows"] += rows
            _write(result, out, "scores")
    return result


def window_grid(
    specs: Sequence[ModelSpec],
    tasks_dir: Path,
    out: Path,
    windows_ms: Sequence[float],
    grid: str,
    environment: HearEnvironment,
    grid_points: int | None = None,
    only: Sequence[str] = (),
    report: Report = silent,
) -> dict[str, Any]:
    """Scores on tasks of events for several windows that a timestamp embedding pools over.

    Args:
        specs: of models whose `load_model` takes `timestamp_window_ms`, as selfie_hear's does.
        windows_ms: to try.
        out: gets windows.json, windows.csv and windows.md; may be that of `run_hear`.

    Returns:
        `{"kind": "windows", "grid", "grid_points", "rows"}`; rows as of `run_hear`, with "window_ms".

    Raises:
        HearError: see `run_hear`; no task of events, or windows that are not positive.
    """
    tasks = [task for task in read_hear_folders(tasks_dir.absolute(), only) if task.kind == "event"]
    if not tasks:
        raise HearError(f"{tasks_dir}: none of the tasks is one of events; windows matter to no other")
    windows = list(dict.fromkeys(windows_ms))
    if not windows or not all(0 < window < math.inf for window in windows):
        raise HearError(f"windows of {list(windows_ms)} ms: one or more positive numbers are needed")
    points = _check(specs, grid, grid_points)
    result: dict[str, Any] = {"kind": "windows", "grid": grid, "grid_points": points, "rows": []}
    with locked(out / ".lock", report) as lock:
        runner = HearRunner(environment, out, lock, report)
        for spec in specs:
            for window in windows:
                options = {**spec.options, "timestamp_window_ms": window}
                model = runner.load(replace(spec, name=f"{spec.name} {window:g} ms", options=options))
                for rows in _judged(runner, [model], tasks, grid, points, report):
                    result["rows"] += [{**row, "model": spec.name, "window_ms": window} for row in rows]
                    _write(result, out, "windows")
    return result


def _check(specs: Sequence[ModelSpec], grid: str, grid_points: int | None) -> int:
    if grid not in GRIDS:
        raise HearError(f"grid {grid!r} is unknown; grids are {', '.join(GRIDS)}")
    if grid_points is not None and grid_points < 1:
        raise HearError(f"{grid_points} grid points: one or more are needed")
    names = [spec.name for spec in specs]
    if not names or len(set(names)) < len(names):
        raise HearError(f"models {', '.join(names) or '(none)'}: each needs a name of its own in the table")
    return GRID_POINTS if grid_points is None else grid_points


def _judged(
    runner: HearRunner, models: Sequence[LoadedModel], tasks: Sequence[HearFolder], grid: str, points: int, say: Report
) -> Iterator[list[Row]]:
    for model in models:
        for task in tasks:
            rows = rows_of(model.spec.name, task, runner.judge(model, task, grid, points))
            shown = "  ".join(f"{row['metric']} {_number(row['score'])}" for row in rows)
            say(f"{model.spec.name}: {task.name}: {shown}  ({rows[0]['seconds']:.0f} s)")
            yield rows


def rows_of(model: str, task: HearFolder, found: dict[str, Any]) -> list[Row]:
    """A row for each metric of a task.

    Args:
        found: as `HearRunner.judge` returns it.

    Raises:
        HearError: heareval gives no such score.
    """
    scores = found["scores"]
    folds = scores.get("aggregated_scores")
    of_all, mean = (folds, "_mean") if folds else (scores.get("test", {}), "")
    rows = []
    for metric in task.metrics:
        if (key := f"test_{metric}{mean}") not in of_all:
            raise HearError(f"{model}: {task.name}: heareval gave no {key}; it gave {', '.join(of_all) or 'nothing'}")
        std = of_all[f"test_{metric}_std"] if folds else None
        score, spread = (None if value is None or math.isnan(value) else value for value in (of_all[key], std))
        seconds = sum(found["seconds"].values())
        rows.append(
            {"model": model, "task": task.name, "metric": metric, "score": score, "std": spread, "seconds": seconds}
        )
    return rows


def _write(result: dict[str, Any], out: Path, name: str) -> None:
    write_whole(out / f"{name}.json", json.dumps(result, indent=1) + "\n")
    text = io.StringIO()
    columns = list(result["rows"][0])
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(result["rows"])
    write_whole(out / f"{name}.csv", text.getvalue())
    write_whole(out / f"{name}.md", to_markdown(result["rows"]))


def to_markdown(rows: Sequence[Row]) -> str:
    """Tasks by models."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        model = row["model"] + (f" {row['window_ms']:g} ms" if "window_ms" in row else "")
        text = _number(row["score"]) + (f" ± {row['std']:.3f}" if row["std"] is not None else "")
        cells.setdefault((row["task"], row["metric"]), {})[model] = text
    models = list(dict.fromkeys(model for found in cells.values() for model in found))
    lines = [("task", "metric", *models), ("---",) * (2 + len(models))]
    lines += [(*key, *(found.get(model, "") for model in models)) for key, found in cells.items()]
    return markdown(lines)


def _number(score: float | None) -> str:
    return "-" if score is None else f"{score:.3f}"
