"""Resumable training state: one file a checkpoint, written whole or not at all, the last few kept."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)

KEEP = 2


class CheckpointError(ValueError):
    """A checkpoint that cannot be used."""


def save(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Write `step-*.pt`: to a temporary name, flushed to the disk, then renamed; delete all but the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:08d}.pt"
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save({"step": step, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # of a save that failed, so that it does not fill the disk
    for old in checkpoints(folder)[:-KEEP]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint files in `folder`, oldest first."""
    return sorted(folder.glob("step-*.pt"))


def load_latest(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint, or None where there is none at all.

    A damaged file is passed over with a warning.

    Raises:
        CheckpointError: there are checkpoints, but none can be read.
    """
    paths = checkpoints(folder)
    for path in reversed(paths):
        try:
            return dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many kinds for a damaged archive
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("%s is damaged and passed over: %s", path, reason)
    if paths:
        raise CheckpointError(f"{folder}: none of its {len(paths)} checkpoints can be read")
    return None
