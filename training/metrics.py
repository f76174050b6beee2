"""What a run shows of itself: collapse measures, JSON lines and TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from selfie_hear.config import MissingExtraError
from training.files import write_whole


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


class Journal:
    """`metrics.jsonl` and TensorBoard events of a run folder; after a resume, lines of lost steps are dropped."""

    def __init__(self, run: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError("training logs to TensorBoard: pip install 'selfie_hear[train]'") from error
        self._path = run / "metrics.jsonl"
        if self._path.exists():
            lines = self._path.read_text().splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
            write_whole(self._path, "".join(kept))
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, values: dict[str, float]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **{k: float(f"{v:.6g}") for k, v in values.items()}}) + "\n")
        for name, value in values.items():
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._board.close()
