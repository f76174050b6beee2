"""Resumable training state: one file a checkpoint, written whole or not at all, the last few kept."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import torch

from training.files import appears_whole

log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that cannot be used."""


def save(folder: Path, step: int, state: dict[str, Any], keep: int) -> Path:
    """Write `step-*.pt`, whole or not at all, then delete all but the last `keep`.

    Raises:
        CheckpointError: it cannot be written, the disk being full for example; those that there are stay.
    """
    path = folder / f"step-{step:08d}.pt"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".step-*.partial-*"):  # of a process that was killed; a run has one that writes
            leftover.unlink(missing_ok=True)
        with appears_whole(path) as file:
            torch.save({"step": step, **state}, file)
    except (OSError, RuntimeError) as error:  # the archive writer has errors of its own
        cause = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = _first_line(cause)
        raise CheckpointError(f"{path}: cannot be written ({reason}); earlier checkpoints are untouched") from error
    there = checkpoints(folder)
    # Later ones are damaged, as the run resumed before them: counted, they would push out those that can be read.
    for old in there[: there.index(path) + 1][:-keep]:
        old.unlink(missing_ok=True)
    return path


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files in `folder`, oldest first."""
    return sorted(folder.glob("step-*.pt"), key=lambda path: (len(path.name), path.name))  # of any number of digits


def load(path: Path) -> dict[str, Any]:
    """A checkpoint.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums, but does not look at them
            if (spoilt := archive.testzip()) is not None:
                raise CheckpointError(f"the checksum of {spoilt} is not the one that was written")
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged archive
        raise CheckpointError(f"{path} is missing or damaged: {_first_line(error)}") from error


def load_latest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint, or None where there is none at all.

    A damaged file is passed over with a warning.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    paths = checkpoints(folder)
    for path in reversed(paths):
        try:
            return load(path)
        except CheckpointError as error:
            log.warning("%s; passed over", error)
    if paths:
        raise CheckpointError(f"{folder}: none of its {len(paths)} checkpoints can be read")
    return None
