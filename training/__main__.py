"""`python -m training`: pack audio, train, export, evaluate."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.logging import RichHandler

from selfie_hear.audio import AudioError
from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.pretrained import BRANCHES, ReleaseError
from training.checkpoint import CheckpointError
from training.config import with_settings
from training.corpus.pack import PackError
from training.corpus.pack import pack as pack_sources
from training.evaluate.linear import BASELINES, evaluate
from training.evaluate.tasks import TaskError, read_tasks
from training.export import ExportError, export
from training.files import write_whole
from training.loop import Trainer, TrainingError
from training.recipes import RECIPES, get_recipe

ERRORS = (
    AudioError, CheckpointError, ConfigError, ExportError, MissingExtraError, PackError, ReleaseError, TaskError,
    TrainingError, OSError,
)  # fmt: skip
app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False, help="Pre-train selfie_hear encoders."
)
console = Console(stderr=True)


def say(text: str, style: str | None = None) -> None:
    """Print to stderr as it is: no markup, no wrapping."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


@app.command()
def pack(
    sources: Annotated[list[Path], typer.Argument(help="Audio files, folders, or CSV manifests with a column 'path'.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make.")],
    sample_rate: Annotated[int, typer.Option(help="Hz.")] = 16000,
    workers: Annotated[int | None, typer.Option(help="Decoding threads; default: one per core.")] = None,
) -> None:
    """Pack audio files into shards that training reads without decoding."""
    kept, rejected = pack_sources(sources, out, sample_rate, workers)
    say(f"{out}: {kept} clips packed, {rejected} rejected" + (" (see rejected.csv)" if rejected else ""))


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help=f"One of {', '.join(RECIPES)}.")],
    data: Annotated[Path, typer.Option(help="A folder made by pack.")],
    out: Annotated[Path, typer.Option(help="The run folder; one with a checkpoint is resumed.")],
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; default: the recipe's steps.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a value: key=value.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Train a recipe; the same command again resumes the run."""
    config = with_settings(get_recipe(recipe), settings or [])
    try:
        where = torch.device(device)
        torch.empty(0, device=where)
    except (RuntimeError, AssertionError) as error:  # torch's own words for a device that is not there
        raise ConfigError(f"--device {device}: {str(error).splitlines()[0]}") from error
    trainer = Trainer(config, data, out, where)
    until = config.steps if max_steps is None else max_steps
    say(
        f"{recipe}: {trainer.crops.hours:.2f} h of audio, {trainer.crops.crops_per_epoch} crops an epoch, "
        f"{trainer.config.precision} on {device}, step {trainer.step} of {until}"
    )

    def show(step: int, values: dict[str, float]) -> None:
        left = (until - step) * config.batch / values["crops_per_second"] / 60
        shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        say(f"step {step}/{until}  {shown}  {left:.0f} min left")

    trainer.fit(until, show)
    say(f"{out}: stopped after step {trainer.step}")


@app.command(name="export")
def export_run(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The release folder to make, such as weights/NAME.")],
    licence: Annotated[str, typer.Option(help="SPDX identifier for the weights.")] = "CC-BY-4.0",
    results: Annotated[Path | None, typer.Option(help="JSON written by linear, for the model card.")] = None,
) -> None:
    """Make a release folder from the newest checkpoint of a run."""
    done = export(run, out, licence, results)
    for branch, change in done.rounding.items():
        say(f"{branch}: half precision moves an embedding by at most {change:.1e} of its length")
    say(f"{out}: exported")


@app.command()
def linear(
    models: Annotated[list[str], typer.Argument(help="Releases (name, folder, hf-hub:...), log-mel, untrained.")],
    tasks_dir: Annotated[Path, typer.Option(help="A folder of scene tasks in hear-eval-kit's layout.")],
    json_out: Annotated[Path | None, typer.Option("--json", help="Where to write the scores.")] = None,
) -> None:
    """Linear probe of frozen scene embeddings: accuracy in % on each task."""
    if json_out is not None and not json_out.parent.is_dir():
        raise TaskError(f"--json {json_out}: the folder {json_out.parent} does not exist")
    tasks = read_tasks(tasks_dir, 16000)
    rows = []
    for model in models:
        for branch in ("",) if model in BASELINES else BRANCHES:
            scores = evaluate(model, branch, tasks)
            rows.append({"model": f"{Path(model).name} {branch}".strip(), "scores": scores})
            shown = "  ".join(f"{name} {value:.1f}" for name, value in scores.items())
            say(f"{rows[-1]['model']}: {shown}")
    if json_out is not None:
        write_whole(json_out, json.dumps(rows, indent=2) + "\n")


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[RichHandler(console=console)])
    try:
        app()
    except ERRORS as error:
        say(f"error: {error}", style="red")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
