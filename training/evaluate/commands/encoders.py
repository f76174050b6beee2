"""The commands that look into encoders: fine-tuned, over a training run, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfie_hear.pretrained import BRANCHES, DEFAULT, find_release
from training.console import progress, say
from training.evaluate.cka import layers_cka
from training.evaluate.commands.frozen import RATE, Cache, Only, Out, TasksDir, check_folder, write_result
from training.evaluate.finetune import FineTuneConfig, fine_tune
from training.evaluate.history import history as measure_history
from training.evaluate.linear import LinearConfig, scikit_metrics
from training.evaluate.tasks import TaskError, read_tasks
from training.files import cache_folder

Releases = Annotated[list[str] | None, typer.Argument(help=f"Releases: name, folder, hf-hub:...; else {DEFAULT}.")]


def finetune(
    tasks_dir: TasksDir,
    models: Releases = None,
    only: Only = None,
    branch: Annotated[str, typer.Option(help="online or target.")] = "online",
    seeds: Annotated[int, typer.Option(help="Runs of each.")] = 3,
    folds: Annotated[int | None, typer.Option(help="Only the first few of a task, to save time.")] = None,
    epochs: Annotated[int, typer.Option(help="At most.")] = 30,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
    json_out: Out = None,
) -> None:
    """The encoder trained further with a linear layer, against the same with the encoder frozen: accuracy in %."""
    check_folder(json_out)
    config = FineTuneConfig(seeds=seeds, folds=folds, epochs=epochs)
    tasks = [task for task in read_tasks(tasks_dir, RATE, tuple(only or ())) if not task.multilabel]
    rows = []
    for model in models or [DEFAULT]:
        folder = find_release(model)
        for task in tasks:
            with progress(f"{folder.name} {branch}: {task.name}") as report:
                rows.append(
                    {"model": f"{folder.name} {branch}", **fine_tune(task, folder, branch, config, report, device)}
                )
            frozen, tuned = rows[-1]["frozen"], rows[-1]["finetuned"]
            say(
                f"{rows[-1]['model']}: {task.name}  frozen {frozen['mean']:.1f} ± {frozen['ci95']:.1f}  fine-tuned "
                f"{tuned['mean']:.1f} ± {tuned['ci95']:.1f}  ({rows[-1]['folds']} of {rows[-1]['all_folds']} folds)"
            )
    write_result({"kind": "finetune", "config": vars(config), "rows": rows}, json_out)


def history(
    run: Annotated[Path, typer.Argument(help="A run folder; --set keep_checkpoints=1000 keeps all its checkpoints.")],
    tasks_dir: TasksDir,
    only: Only = None,
    seeds: Annotated[int, typer.Option(help="Linear layers that are trained.")] = 1,
    cache: Cache = None,
    json_out: Out = None,
) -> None:
    """The linear protocol on each checkpoint of a run, online against target: accuracy in %."""
    check_folder(json_out)
    scikit_metrics()
    tasks = read_tasks(tasks_dir, RATE, tuple(only or ()))
    with progress(run.name) as report:
        result = measure_history(run, tasks, LinearConfig(seeds=seeds), cache or cache_folder() / "embeddings", report)
    for row in result["rows"]:
        say(f"step {row['step']}  {row['branch']}  {row['task']}  {row['accuracy']:.1f}")
    write_result(result, json_out)


def cka(
    tasks_dir: TasksDir,
    first: Annotated[str, typer.Argument(help="A release: name, folder, hf-hub:...")],
    second: Annotated[str, typer.Argument(help="Another, or the same.")],
    task: Annotated[str, typer.Option(help="Whose clips are listened to.")],
    branches: Annotated[tuple[str, str], typer.Option(help="Of the first and of the second.")] = BRANCHES,
    clips: Annotated[int, typer.Option(min=2, help="At most.")] = 512,
    json_out: Out = None,
) -> None:
    """How alike the layers of two encoders are: centred kernel alignment."""
    check_folder(json_out)
    chosen = read_tasks(tasks_dir, RATE, (task,))
    if unknown := set(branches) - set(BRANCHES):
        raise TaskError(f"--branches: {', '.join(unknown)} is unknown; known are {', '.join(BRANCHES)}")
    sides = [(find_release(model), branch) for model, branch in zip((first, second), branches, strict=True)]
    with progress(task) as report:
        result = layers_cka(sides[0], sides[1], chosen[0], clips, report)
    for name, row in zip(result["layers"][0], result["matrix"], strict=True):
        say(f"{name:<10} {'  '.join(f'{value:.2f}' for value in row)}")
    write_result(result, json_out)
