"""MoCo: each query finds its key among those of earlier batches (He et al. 2020; MoCo v2's head and temperature)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from training.ema import make_target, update_target
from training.heads import mlp
from training.losses.contrastive import NOBODY, accuracy, against_memory, info_nce, unit
from training.objectives.options import at_least, positive, share
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class MocoConfig:
    temperature: float = 0.2
    decay: float = 0.999  # of the key network's moving average
    queue: int = 65536  # keys
    head_hidden: int = 2048
    head_outputs: int = 128

    def __post_init__(self) -> None:
        positive(self, "temperature")
        share(self, "decay")
        at_least(self, 1, "queue", "head_hidden", "head_outputs")


class KeyQueue(nn.Module):
    """The last keys and the clips that they are of, first in, first out; the clip of an empty place is `NOBODY`."""

    vectors: Tensor  # (size, d)
    clips: Tensor  # (size,)
    pushed: Tensor  # scalar: keys so far

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("clips", torch.full((size,), NOBODY))
        self.register_buffer("pushed", torch.tensor(0))

    def push(self, vectors: Tensor, clips: Tensor) -> None:
        """Put in `(n, d)` keys, of which the last `size` are kept, in the place of the oldest."""
        size, skipped = len(self.clips), max(0, len(clips) - len(self.clips))
        places = (self.pushed + torch.arange(skipped, len(clips), device=clips.device)) % size
        self.vectors[places] = vectors[skipped:]
        self.clips[places] = clips[skipped:]
        self.pushed += len(clips)

    def filled(self) -> float:
        """Share of the places that hold a key."""
        return min(1.0, int(self.pushed) / len(self.clips))


class Moco(Projected):
    """The first view is the query; the second goes through a slowly moving copy of the network and is its key.

    Negatives are keys of earlier batches that are of other clips. Empty places of the queue are left out rather than
    filled at random, so in the first step, with no negatives, the loss and its gradient are zero. The keys of a batch
    are pushed after its step.

    MoCo shuffles rows among devices, whose BatchNorms see few rows each and betray which rows came together. Here
    statistics are over the batch of all processes, as in the other methods, and nothing is shuffled: a row is 1 / n of
    them, and both networks see the same clips in a batch.
    """

    options = MocoConfig
    paper = "He et al.: *Momentum contrast for unsupervised visual representation learning*"

    def __init__(self, encoder: Encoder, config: MocoConfig, clips: int, ranks: Ranks) -> None:
        projector = mlp(encoder.dim, config.head_hidden, config.head_outputs)
        super().__init__(encoder, projector, config, clips, ranks)
        self.config = config
        self.target = make_target(self.online)
        self.queue = KeyQueue(config.queue, config.head_outputs)
        self._fresh: list[tuple[Tensor, Tensor]] = []  # keys of this step, and their clips

    def project_other(self, view: Tensor) -> Tensor:
        with torch.no_grad():
            return self.project(self.target, view)[1]

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        queue, keys = self.queue, unit(rows.second)
        self._fresh.append((keys, rows.clips))
        candidates = against_memory(
            unit(rows.first), keys, queue.vectors, rows.clips, queue.clips, self.config.temperature
        )
        loss = info_nce(candidates)
        return {"loss": loss, "contrastive_loss": loss, "accuracy": accuracy(candidates)}

    def after_step(self) -> None:
        update_target(self.target, self.online, self.config.decay)
        for keys, clips in self._fresh:
            self.queue.push(keys, clips)
        self._fresh.clear()

    def watched(self) -> dict[str, float]:
        return {"ema_decay": self.config.decay, "queue_filled": self.queue.filled()}

    def encoders(self) -> dict[str, Encoder]:
        target = cast(nn.ModuleDict, self.target)
        return {**super().encoders(), "target": cast(Encoder, target["encoder"])}
