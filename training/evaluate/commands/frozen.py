"""The commands that judge frozen embeddings, and the report of all results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from selfie_hear.pretrained import DEFAULT
from training.console import progress, say
from training.evaluate.embedding_map import embedding_map
from training.evaluate.embeddings import embed_task
from training.evaluate.linear import LinearConfig, Scores, linear_probe, scikit_metrics
from training.evaluate.models import BASELINES, HearModel, ModelSpec, find_models, import_hear, parse_module
from training.evaluate.neighbours import knn_probe
from training.evaluate.regression import PENALTIES, regression_probe
from training.evaluate.report.build import write_report
from training.evaluate.report.results import read_result
from training.evaluate.report.summary import linear_table
from training.evaluate.tasks import SceneTask, TaskError, read_tasks
from training.files import cache_folder, write_whole

RATE = 16000  # Hz, of the clips of a task; all of hear-eval-kit's tasks have them

Models = Annotated[
    list[str] | None,
    typer.Argument(help=f"Releases (name, folder, hf-hub:...), log-mel, untrained; else {DEFAULT}."),
]
Modules = Annotated[
    list[str] | None, typer.Option("--module", help='Any other HEAR module: NAME, or NAME:{"option": value}.')
]
TasksDir = Annotated[Path, typer.Option(help="A folder of tasks in hear-eval-kit's layout.")]
Only = Annotated[list[str] | None, typer.Option("--task", help="Only this task; default: all.")]
Cache = Annotated[Path | None, typer.Option(help="Where embeddings are kept; default: in the user's cache folder.")]
Out = Annotated[Path | None, typer.Option("--json", help="Where to write the result, for report.")]


def specs_of(models: Sequence[str] | None, modules: Sequence[str] | None) -> list[ModelSpec]:
    """What is to be judged; nothing named, the default release."""
    names = list(models or ()) or ([] if modules else [DEFAULT])
    specs = [spec for name in names for spec in find_models(name)] + [parse_module(text) for text in modules or ()]
    called = [spec.name for spec in specs]
    if twice := sorted({name for name in called if called.count(name) > 1}):
        raise TaskError(f"{', '.join(twice)}: named twice; models in one table need different names")
    return specs


def embedded(
    specs: Sequence[ModelSpec], tasks: Sequence[SceneTask], tasks_dir: Path, cache: Path | None
) -> Iterator[tuple[ModelSpec, SceneTask, dict[str, np.ndarray]]]:
    """The embeddings of each model on each task."""
    folder = cache or cache_folder() / "embeddings"
    for spec in specs:
        import_hear(spec.module)  # the last of them too, before hours with the first
    for spec in specs:
        for task in tasks:
            model = HearModel(with_statistics(spec, tasks_dir / task.name))
            with progress(f"{spec.name}: {task.name}") as report:
                found = embed_task(task, model, folder, report)
            yield spec, task, found


def with_statistics(spec: ModelSpec, task: Path) -> ModelSpec:
    """The untrained encoder is normalised by the audio of the task; others are as they are."""
    return replace(spec, path=str(task / str(RATE))) if spec.module == BASELINES["untrained"] else spec


def write_result(result: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        write_whole(out, json.dumps(result, indent=1) + "\n")


def check_folder(out: Path | None) -> None:
    """A result should not be lost for want of a folder."""
    if out is not None and not out.absolute().parent.is_dir():
        raise TaskError(f"--json {out}: the folder {out.parent} does not exist")


def linear(
    tasks_dir: TasksDir,
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    seeds: Annotated[int, typer.Option(help="Layers that are trained; the result is their mean and its 95 % CI.")] = 5,
    cache: Cache = None,
    json_out: Out = None,
) -> None:
    """The papers' linear protocol on frozen scene embeddings: accuracy, F1 and weighted average precision in %."""
    config = LinearConfig(seeds=seeds)
    result = {"kind": "linear", "config": vars(config)}
    _judge(result, partial(linear_probe, config=config), tasks_dir, models, modules, only, cache, json_out)


def regression(
    tasks_dir: TasksDir,
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    cache: Cache = None,
    json_out: Out = None,
) -> None:
    """L2 softmax regression on frozen scene embeddings, its strength from a validation split; 95 % CI over folds."""
    result = {"kind": "regression", "config": {"penalties": PENALTIES}}
    _judge(result, regression_probe, tasks_dir, models, modules, only, cache, json_out)


def _judge(
    result: dict[str, Any],
    probe: Callable[[SceneTask, dict[str, np.ndarray]], Scores],
    tasks_dir: Path,
    models: Sequence[str] | None,
    modules: Sequence[str] | None,
    only: Sequence[str] | None,
    cache: Path | None,
    json_out: Path | None,
) -> None:
    check_folder(json_out)
    scikit_metrics()  # missing, it should be missed before the work, not after
    specs = specs_of(models, modules)
    tasks = read_tasks(tasks_dir, RATE, tuple(only or ()))
    rows = result["rows"] = []
    for spec, task, embeddings in embedded(specs, tasks, tasks_dir, cache):
        rows.append(_row(spec, task, probe(task, embeddings)))
        write_result(result, json_out)
        shown = "  ".join(f"{name} {v['mean']:.1f} ± {v['ci95']:.1f}" for name, v in rows[-1]["metrics"].items())
        say(f"{spec.name}: {task.name}  {shown}")
    typer.echo(linear_table([result], kind=result["kind"]))


def _row(spec: ModelSpec, task: SceneTask, found: Scores) -> dict[str, Any]:
    row = {"model": spec.name, "task": task.name, "labels": list(task.labels), "metrics": found.summary()}
    return {**row, "class_f1": found.class_f1(), "confusion": None if task.multilabel else found.confusion()}


def knn(
    tasks_dir: TasksDir,
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    cache: Cache = None,
    json_out: Out = None,
) -> None:
    """Nearest neighbours on frozen scene embeddings, their number from cross-validation: accuracy in %."""
    check_folder(json_out)
    specs = specs_of(models, modules)
    tasks = [task for task in read_tasks(tasks_dir, RATE, tuple(only or ())) if not task.multilabel]
    rows = []
    for spec, task, embeddings in embedded(specs, tasks, tasks_dir, cache):
        rows.append({"model": spec.name, "task": task.name, **knn_probe(task, embeddings)})
        say(f"{spec.name}: {task.name}  accuracy {rows[-1]['accuracy']:.1f}  k {rows[-1]['k']}")
    write_result({"kind": "knn", "rows": rows}, json_out)


def embedding_maps(
    tasks_dir: TasksDir,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder; gets a JSON file of each model and task.")],
    models: Models = None,
    modules: Modules = None,
    only: Only = None,
    cache: Cache = None,
) -> None:
    """A t-SNE picture of the test clips' embeddings, for report."""
    specs = specs_of(models, modules)
    tasks = [task for task in read_tasks(tasks_dir, RATE, tuple(only or ())) if not task.multilabel]
    out.mkdir(parents=True, exist_ok=True)
    for spec, task, embeddings in embedded(specs, tasks, tasks_dir, cache):
        path = out / f"map-{slug(spec.name)}-{slug(task.name)}.json"
        write_result(embedding_map(task, embeddings, spec.name), path)
        say(f"{path}: written")


def slug(name: str) -> str:
    """As part of a file's name."""
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name)


def report(
    results: Annotated[list[Path], typer.Argument(help="JSON files of linear, knn, hear, ...")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The HTML file to write.")],
    title: Annotated[str, typer.Option(help="Of the page.")] = "Evaluation",
) -> None:
    """Gather results in one page with pictures, beside published ones."""
    write_report(results, out, title)
    linear_results = [result for path in results if (result := read_result(path))["kind"] == "linear"]
    if linear_results:
        typer.echo(linear_table(linear_results))
    say(f"{out}: written")
