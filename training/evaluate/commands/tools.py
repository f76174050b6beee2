"""The commands that run the real HEAR tools in their own environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from training.console import say
from training.evaluate.commands.frozen import Models, Modules, Only, TasksDir, specs_of
from training.evaluate.hear.environment import HearEnvironment, prepare_environment
from training.evaluate.hear.folder import read_hear_folders
from training.evaluate.hear.run import run_hear, to_markdown, window_grid
from training.evaluate.models import ModelSpec

OutFolder = Annotated[Path, typer.Option("-o", "--out", help="Embeddings, logs, scores; gone on with if begun.")]
Grid = Annotated[str, typer.Option(help="Of predictors: default, fast or faster.")]
GridPoints = Annotated[int | None, typer.Option(min=1, help="Tried of the grid; else heareval's own number.")]
Environment = Annotated[
    Path | None, typer.Option(help="Of the tools, about 3 GB, made once; else in the user's cache folder.")
]


def hear(
    tasks_dir: TasksDir,
    out: OutFolder,
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    grid: Grid = "default",
    grid_points: GridPoints = None,
    environment: Environment = None,
) -> None:
    """hear-validator and hear-eval-kit, unmodified, on each model and task; scores as JSON, CSV and Markdown."""
    specs, tools = _ready(models, modules, tasks_dir, only, environment)
    _print(run_hear(specs, tasks_dir, out, grid, tools, grid_points, tuple(only or ()), say), out)


def windows(
    tasks_dir: TasksDir,
    out: OutFolder,
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    window: Annotated[list[float] | None, typer.Option(help="ms; else 40 to 1000.")] = None,
    grid: Grid = "faster",
    grid_points: GridPoints = None,
    environment: Environment = None,
) -> None:
    """hear-eval-kit on tasks of events, for several windows that a timestamp embedding pools over."""
    specs, tools = _ready(models, modules, tasks_dir, only, environment)
    tried = window or [40.0, 80.0, 160.0, 320.0, 640.0, 1000.0]
    _print(window_grid(specs, tasks_dir, out, tried, grid, tools, grid_points, tuple(only or ()), say), out)


def _ready(
    models: Models, modules: Modules, tasks_dir: Path, only: Only, environment: Path | None
) -> tuple[list[ModelSpec], HearEnvironment]:
    specs = specs_of(models, modules)
    read_hear_folders(tasks_dir, tuple(only or ()))  # wrong, it should be said before 3 GB are installed
    return specs, prepare_environment(environment, say)


def _print(result: dict[str, Any], out: Path) -> None:
    typer.echo(to_markdown(result["rows"]))
    say(f"{out}: complete")
