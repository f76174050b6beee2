"""The checkpoints of a run judged one by one, online and target (SELFIE, figure 2); also a HEAR module of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from selfie_hear import Embedder, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.config import from_dict
from training import checkpoint
from training.checkpoint import CheckpointError
from training.config import TrainConfig
from training.curves import read_series
from training.embedders import embedder_of
from training.evaluate.embeddings import Report, embed_task
from training.evaluate.linear import LinearConfig, linear_probe
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import SceneTask, TaskError
from training.objectives import Objective, build_objective
from training.run import RunFolder, read_json

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "history", "load_model"]

log = logging.getLogger(__name__)


def load_model(model_file_path: str, branch: str = "online") -> Embedder:
    """The model of a checkpoint, as `export` would release it but for the rounding, in eval mode.

    Args:
        model_file_path: `RUN/checkpoints/step-*.pt`.
        branch: online, or target where the method has one.

    Raises:
        CheckpointError: missing, damaged, or not of the run that it lies in.
        ConfigError: the run's `config.json` is missing or damaged.
    """
    path = Path(model_file_path)
    config, objective = _begin(path.absolute().parent.parent)
    state = checkpoint.load(path)
    try:
        objective.load_state_dict(state["objective"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not of the run that it lies in ({str(error).splitlines()[0]})") from error
    return embedder_of(objective.encoders()[branch], config.model)


def _begin(run: Path) -> tuple[TrainConfig, Objective]:
    """The configuration of a run, and its networks as they are initialised."""
    config = from_dict(TrainConfig, read_json(run / "config.json"), str(run / "config.json"))
    with torch.random.fork_rng(devices=[]):
        return config, build_objective(config, read_json(run / "data.json")["clips"])


def history(
    run: Path,
    tasks: list[SceneTask],
    config: LinearConfig | None = None,
    cache: Path | None = None,
    report: Report = lambda _done, _all: None,
) -> dict[str, Any]:
    """The linear protocol on the encoders of every checkpoint in a run folder.

    A run keeps its last two checkpoints; train it with `--set keep_checkpoints=1000` to keep them all. Checkpoints
    that are damaged, or that a run deletes meanwhile, are passed over with a warning.

    Args:
        run: the folder, also of a run that goes on.
        cache: a folder for embeddings: of a run that went on, only what is new is embedded. None: nothing is kept.
        report: called with the number of clips that are embedded and of all, over all checkpoints and branches.

    Returns:
        `kind` "history", `run`, `config` and `rows` in the order of steps, each of a `step`, its `epoch` (None where
        the run has no journal), `branch`, `task` and `accuracy` in %, the mean over seeds.

    Raises:
        TaskError: no checkpoint, none that can be read, a multilabel task, or see `embed_task`.
        ConfigError: not the folder of a run.
    """
    config = config or LinearConfig()
    if several := [task.name for task in tasks if task.multilabel]:
        raise TaskError(f"{several[0]}: is multilabel; the history is of the accuracy on multiclass tasks")
    found = checkpoint.checkpoints(RunFolder(run).checkpoints)
    if not found:
        raise TaskError(
            f"{run}: has no checkpoint (checkpoints/step-*.pt); train a run there, with --set keep_checkpoints=1000 "
            "to keep them all, not only the last two"
        )
    branches = list(_begin(run)[1].encoders())
    clips = [sum(map(len, task.splits.values())) for task in tasks]
    most, done = len(found) * len(branches) * sum(clips), 0
    pace = _epochs_per_step(run)
    rows = []
    for path in found:
        step = int(path.stem.removeprefix("step-"))
        for branch in branches:
            try:
                model = HearModel(ModelSpec(f"{path.stem} {branch}", __name__, str(path), {"branch": branch}))
            except (CheckpointError, FileNotFoundError) as error:
                log.warning("passed over: %s", error)
                done += sum(clips)
                report(done, most)
                continue
            for task, count in zip(tasks, clips, strict=True):
                embedded = embed_task(task, model, cache, _beyond(report, done, most))
                accuracy = float(linear_probe(task, embedded, config).metrics["accuracy"].mean())
                epoch = None if pace is None else round(step * pace, 4)
                rows.append({"step": step, "epoch": epoch, "branch": branch, "task": task.name, "accuracy": accuracy})
                done += count
    if not rows:
        raise TaskError(f"{run}: none of its {len(found)} checkpoints can be read")
    return {"kind": "history", "run": run.absolute().name, "config": vars(config), "rows": rows}


def _beyond(report: Report, before: int, most: int) -> Report:
    return lambda done, _all: report(before + done, most)


def _epochs_per_step(run: Path) -> float | None:
    epochs = read_series(run / "metrics.jsonl").get("epoch")
    return None if epochs is None else float(epochs[-1, 1] / epochs[-1, 0])
