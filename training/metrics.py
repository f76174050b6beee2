"""What a run shows of itself: collapse measures, JSON lines and TensorBoard."""

from __future__ import annotations

import json
import math
import re
import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from selfie_hear.config import MissingExtraError
from training.curves import draw_curves
from training.files import write_whole

CURVES_EVERY = 60.0  # seconds; drawing takes half of one


def embedding_spread(embedding: Tensor) -> dict[str, float]:
    """Two numbers that fall when embeddings collapse.

    Args:
        embedding: `(B, D)`.

    Returns:
        `embedding_std`: mean over dimensions of the standard deviation of the unit-length embeddings, times sqrt(D)
        (0 = all alike, 1 = spread evenly); `effective_rank`: exp of the entropy of the centred embeddings' normalised
        singular values (Roy & Vetterli 2007; 1 = a line, at most B - 1).
    """
    unit = torch.nn.functional.normalize(embedding.float(), dim=1)
    centred = unit - unit.mean(0)
    values = torch.linalg.svdvals(centred.double())
    share = values / values.sum().clamp(min=1e-30)
    entropy = -(share * share.clamp(min=1e-30).log()).sum()
    return {
        "embedding_std": float(centred.std(0).mean() * embedding.shape[1] ** 0.5),
        "effective_rank": float(entropy.exp()),
    }


def peak_memory_mb(device: torch.device) -> float:
    """Most memory so far: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if status.exists() and (line := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(line[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux no less than that of the process's parent
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


class Journal:
    """`metrics.jsonl`, `curves.png` and TensorBoard events; after a resume, lines of lost steps are dropped."""

    def __init__(self, run: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("training logs to TensorBoard: pip install 'selfie_hear[train]'") from error
        self._path = run / "metrics.jsonl"
        if self._path.exists():
            lines = self._path.read_text(errors="replace").splitlines(keepends=True)
            kept = [line for line in lines if _step_of(line) <= step]
            write_whole(self._path, "".join(kept))
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        self._draw()

    def write(self, step: int, values: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **{k: float(f"{v:.6g}") for k, v in values.items()}}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        if time.monotonic() - self._drawn > CURVES_EVERY:
            self._draw()

    def _draw(self) -> None:
        draw_curves(self._path, self._path.with_name("curves.png"))
        self._drawn = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()
        self._draw()


def _step_of(line: str) -> float:
    """The step of a line; infinite for one that was only half written when the machine stopped."""
    try:
        return float(json.loads(line)["step"]) if line.endswith("\n") else math.inf
    except (KeyError, TypeError, ValueError):
        return math.inf
