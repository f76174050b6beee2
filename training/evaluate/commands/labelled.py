"""The commands that get labelled tasks: HEAR's, and those of the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.console import progress, say
from training.evaluate.hear.archives import FetchProgress
from training.evaluate.hear.fetch import fetch as fetch_tasks
from training.evaluate.hear.tasks import BY_NAME, HEAR_TASKS, HearTasksError
from training.evaluate.hear.tasks import verify as verify_tasks
from training.evaluate.prepare import PREPARERS
from training.evaluate.prepare import prepare as prepare_task

hear_tasks = typer.Typer(rich_markup_mode=None, no_args_is_help=True)


@hear_tasks.command(name="list")
def list_tasks() -> None:
    """The 19 tasks of HEAR 2021."""
    for task in HEAR_TASKS:
        say(f"{task.name}  {task.title}: {task.clips} clips, {task.metric}")


@hear_tasks.command()
def fetch(
    tasks: Annotated[list[str], typer.Argument(help="Names, see list; or all.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder of tasks; an interrupted call is gone on with.")],
    sample_rate: Annotated[int, typer.Option(help="Hz.")] = 16000,
    record: Annotated[str, typer.Option(help="Of Zenodo.")] = "5885750",
    url: Annotated[str, typer.Option(help="Of Zenodo, or of a mirror that answers alike.")] = "https://zenodo.org",
) -> None:
    """Download tasks from Zenodo and resample them."""
    names = list(BY_NAME) if tasks == ["all"] else tasks
    with progress("") as bar:

        def report(now: FetchProgress) -> None:
            bar(now.done, now.total, f"{now.stage} {now.task}")

        folders = fetch_tasks(names, out, url, record, sample_rate, report)
    for folder in folders:
        say(f"{folder}: complete")


@hear_tasks.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="Of tasks.")],
    sample_rate: Annotated[int, typer.Option(help="Hz, of the clips to look at.")] = 16000,
) -> None:
    """Compare each task in a folder with its own metadata."""
    reports = verify_tasks(folder, sample_rate)
    for report in reports:
        found = "; ".join(report.problems) or "whole"
        say(f"{report.name}: {report.clips} clips, {report.hours:.2f} h: {found}")
    if spoilt := [report.name for report in reports if report.problems]:
        raise HearTasksError(f"{folder}: {len(spoilt)} of {len(reports)} tasks cannot be used: {', '.join(spoilt)}")


def prepare(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(PREPARERS)}.")],
    source: Annotated[Path, typer.Argument(help="The folder that the data set was unpacked in.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder of tasks, for --tasks-dir.")],
    workers: Annotated[int | None, typer.Option(min=1, help="Threads; default: one per core.")] = None,
) -> None:
    """One of the nine data sets of the paper, as it is distributed, to a task for linear and hear."""
    with progress(name) as bar:
        done = prepare_task(name, source, out, workers, lambda now: bar(now.clips + now.rejected, now.listed))
    rejected = f", {done.rejected} rejected (see {out / name / 'rejected.csv'})" if done.rejected else ""
    say(f"{out / name}: {done.clips} clips{rejected}")
