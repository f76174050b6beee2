"""`python -m training`: pack audio, train, export, push, evaluate."""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.logging import RichHandler

from selfie_hear.audio import AudioError
from selfie_hear.config import ConfigError, MissingExtraError
from selfie_hear.pretrained import ReleaseError, find_release, read_config
from training.checkpoint import CheckpointError
from training.config import with_settings
from training.console import console, say
from training.corpus import manifests
from training.corpus.extraction import ExtractionProgress, extract
from training.corpus.functionals import LICENCE
from training.corpus.manifests import ManifestError
from training.corpus.pack import Progress
from training.corpus.pack import pack as pack_sources
from training.corpus.shards import Pack, PackError
from training.corpus.targets import TargetsError
from training.corpus.workers import WorkerError
from training.device import local_device
from training.evaluate.commands.encoders import cka, finetune, history
from training.evaluate.commands.frozen import embedding_maps, knn, linear, regression, report
from training.evaluate.commands.labelled import hear_tasks, prepare
from training.evaluate.commands.tools import hear, windows
from training.evaluate.hear.leaderboard import LeaderboardError
from training.evaluate.hear.tasks import HearTasksError
from training.evaluate.hear.tools import HearError
from training.evaluate.knn import Probe
from training.evaluate.prepare import PrepareError
from training.evaluate.report.results import ReportError
from training.evaluate.tasks import TaskError
from training.export import ExportError, export
from training.loop import Trainer, TrainingError, crops_of
from training.memory import keep_freed_memory
from training.push import PushError, plan_push
from training.push import push as push_release
from training.ranks import RanksError, joined_ranks
from training.recipes import RECIPES, get_recipe

ERRORS = (
    AudioError, CheckpointError, ConfigError, ExportError, HearError, HearTasksError, LeaderboardError, ManifestError,
    MissingExtraError, PackError, PrepareError, PushError, RanksError, ReleaseError, ReportError, TargetsError,
    TaskError, TrainingError, WorkerError, OSError,
)  # fmt: skip
app = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, pretty_exceptions_enable=False, help="Pre-train selfie_hear encoders."
)
manifest = typer.Typer(rich_markup_mode=None, no_args_is_help=True)
app.add_typer(manifest, name="manifest", help="List the clips of a known corpus for pack.")


@app.command()
def pack(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Audio files, tar shards, Parquet or Arrow tables, folders of them, or CSV/TSV manifests."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make; begun and killed, it is gone on with.")],
    sample_rate: Annotated[int, typer.Option(min=1, help="Hz.")] = 16000,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
) -> None:
    """Pack audio into shards that training reads without decoding."""
    started = time.monotonic()

    def report(now: Progress) -> None:
        left = (time.monotonic() - started) / now.shards_done * (now.shards - now.shards_done) / 60
        say(f"shard {now.shards_done}/{now.shards}  {now.clips} clips  {now.hours:.2f} h  {left:.0f} min left")

    done = pack_sources(sources, out, sample_rate, workers, report)
    rejected = f", {done.rejected} rejected (see {out / 'rejected.csv'})" if done.rejected else ""
    say(f"{out}: {done.clips} clips, {done.hours:.2f} h packed{rejected}")


@manifest.command()
def audioset(
    segments: Annotated[list[Path], typer.Argument(help="balanced_train_segments.csv, ..., as they are distributed.")],
    clips: Annotated[Path, typer.Option(help="The folder of downloaded clips, each named by its YouTube id.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The CSV file to write.")],
    speech: Annotated[bool, typer.Option("--speech", help="Only speech and its kinds, for BYOL-S.")] = False,
    labels: Annotated[list[str] | None, typer.Option("--label", help="Only clips with this class, /m/...")] = None,
) -> None:
    """AudioSet: its segments and a folder of clips to a manifest."""
    _say_count(
        out, manifests.audioset(segments, clips, out, [*(labels or ()), *(manifests.AUDIOSET_SPEECH if speech else ())])
    )


@manifest.command()
def fsd50k(
    folder: Annotated[Path, typer.Argument(help="With FSD50K.dev_audio, FSD50K.ground_truth, ... as distributed.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The CSV file to write.")],
    split: Annotated[str, typer.Option(help="dev or eval.")] = "dev",
) -> None:
    """FSD50K: its folder to a manifest, with each clip's licence."""
    _say_count(out, manifests.fsd50k(folder, out, split))


def _say_count(out: Path, count: manifests.ManifestCount) -> None:
    say(f"{out}: {count.found} of {count.listed} clips found, {count.unlisted} other audio files")


@app.command()
def verify(data: Annotated[Path, typer.Argument(help="A folder made by pack.")]) -> None:
    """Compare a pack with its checksums."""
    Pack(data).verify(say)
    say(f"{data}: whole")


@app.command(help=f"Extract the targets of hybrid with openSMILE: 6373 values for each of a pack's crops. {LICENCE}.")
def targets(
    data: Annotated[Path, typer.Argument(help="A folder made by pack.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to make; begun and killed, it is gone on with.")],
    crop_seconds: Annotated[float, typer.Option(help="That of the recipe.")] = 0.95,
    crops_per_clip: Annotated[
        int | None, typer.Option(min=1, help="Crops to choose from; default: as many as a clip is long.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the places of the crops.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")] = None,
) -> None:
    say(LICENCE)
    started = time.monotonic()

    def report(now: ExtractionProgress) -> None:
        left = (time.monotonic() - started) / now.new * (now.crops - now.done) / 60
        say(f"{now.done}/{now.crops} crops  {left:.0f} min left")

    count = extract(data, out, crop_seconds, crops_per_clip, seed, workers, report)
    say(f"{out}: targets of {count} crops")


@app.command()
def recipes() -> None:
    """List the recipes: what each trains, which paper it is from, on what data that trained."""
    for recipe in RECIPES.values():
        typer.echo(f"{recipe.name}: {recipe.summary}")
        typer.echo(f"    {recipe.config.model.encoder.name}, batch {recipe.config.batch}")
        typer.echo(f"    {recipe.source}; on {recipe.data}")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A name that `recipes` lists.")],
    data: Annotated[Path, typer.Option(help="A folder made by pack.")],
    out: Annotated[Path, typer.Option(help="The run folder; one with a checkpoint is resumed.")],
    max_steps: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; default: the recipe's steps.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Set the recipe's steps to so many passes over the data.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", help="Change a value: key=value.")] = None,
    init: Annotated[
        str | None, typer.Option(help="Start from a release's encoders: a name, a folder or hf-hub:ORG/NAME.")
    ] = None,
    targets: Annotated[
        Path | None, typer.Option(help="A folder made by targets from the same pack, for hybrid.")
    ] = None,
    probe: Annotated[
        Path | None,
        typer.Option(help="Labelled audio to watch by nearest neighbours: a scene task, or a folder per label."),
    ] = None,
    probe_every: Annotated[int, typer.Option(help="Steps.")] = 200,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cuda" if torch.cuda.is_available() else "cpu",
) -> None:
    """Train a recipe; the same command again resumes the run. On several devices: torchrun -m training train ..."""
    config = with_settings(get_recipe(recipe), settings or [])
    if epochs is not None:
        if not 0 < epochs < math.inf:
            raise ConfigError(f"--epochs {epochs}: must be a positive number")
        config = replace(config, steps=math.ceil(epochs * crops_of(config, data).crops_per_epoch / config.batch))
    release = find_release(init) if init else None
    if release:
        config = replace(config, init=f"{release.name} {read_config(release).sha256['online.safetensors'][:12]}")
    where = local_device(device)
    if where.type == "cpu":
        keep_freed_memory()
    watch = Probe(probe, config.model.front_end.sample_rate, probe_every) if probe else None
    until = config.steps if max_steps is None else max_steps
    with joined_ranks(where) as ranks:
        trainer = Trainer(config, data, out, where, ranks, release, targets)
        if ranks.first:
            processes = f" in {ranks.count} processes" if ranks.count > 1 else ""
            say(
                f"{recipe}: {trainer.crops.pack.hours:.2f} h of audio, {trainer.crops.crops_per_epoch} crops an epoch, "
                f"{trainer.config.precision} on {device}{processes}, step {trainer.step} of {until}"
            )

        def show(step: int, values: dict[str, float]) -> None:
            left = (until - step) * config.batch / values["crops_per_second"] / 60
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            say(f"step {step}/{until}  {shown}  {left:.0f} min left")

        trainer.fit(until, show, watch)
        if ranks.first:
            say(f"{out}: stopped after step {trainer.step}")
        del trainer  # see joined_ranks


@app.command(name="export")
def export_run(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The release folder to make, such as weights/NAME.")],
    licence: Annotated[str, typer.Option(help="SPDX identifier for the weights.")] = "CC-BY-4.0",
    results: Annotated[
        list[Path] | None, typer.Option(help="JSON of linear, regression, knn or hear, for the model card; repeatable.")
    ] = None,
) -> None:
    """Make a release folder from the newest checkpoint of a run."""
    done = export(run, out, licence, results or ())
    for branch, change in done.rounding.items():
        say(f"{branch}: half precision moves an embedding by at most {change:.1e} of its length")
    say(f"{out}: exported")


@app.command()
def push(
    release: Annotated[str, typer.Argument(help="A release folder, such as weights/NAME, or a bundled name.")],
    repo: Annotated[str, typer.Option(help="ORG/NAME on the Hub; made if it is not there.")],
    private: Annotated[bool, typer.Option("--private", help="Make it private.")] = False,
    revision: Annotated[str, typer.Option(help="The branch to commit to; made if it is not there.")] = "main",
    replace_card: Annotated[
        bool, typer.Option("--replace-card", help="Even if people edited the card there; otherwise it is kept.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
) -> None:
    """Push a release to the Hugging Face Hub in one commit; prints what to give to load_model to get just this."""
    plan = plan_push(find_release(release), repo, revision, private, replace_card)
    for name in plan.files:
        say(f"{name}  {plan.size(name) / 1e6:.3f} MB")
    if plan.kept_card:
        say("README.md was edited there and is kept; --replace-card replaces it")
    where = f"commit {plan.head}" if plan.head else "a new repository, or one that needs another token"
    say(f"{repo}: {where}{'' if plan.is_branch or revision == 'main' else f', new branch {revision}'}")
    if dry_run:
        return
    commit = push_release(plan)
    say(f"{repo}: {'nothing has changed' if commit == plan.head else 'pushed'}")
    typer.echo(f"hf-hub:{repo}@{commit}")


app.add_typer(hear_tasks, name="hear-tasks", help="The 19 tasks of HEAR 2021: list, fetch or verify them.")
for command in (prepare, linear, regression, knn, finetune, history, cka, hear, windows, report):
    app.command()(command)
app.command("map")(embedding_maps)


def main() -> None:
    rank = os.environ.get("RANK", "0")
    level = logging.INFO if rank == "0" else logging.ERROR  # one of several processes speaks for all
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=console)])
    for http in ("httpx", "httpx2"):  # of the Hub's client, each request
        logging.getLogger(http).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view")  # of a weight of nine values
    try:
        app()
    except ERRORS as error:
        say(f"error: {error}" if rank == "0" else f"error in process {rank}: {error}", style="red")
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
