"""Batches of crops from a pack; batch n is a function of the seed and n, so a run resumes where it stopped."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from selfie_hear.config import ConfigError
from training.corpus.shards import Pack
from training.corpus.targets import Targets

MOST_CROPS = 2**30  # in an epoch, whose order is kept in memory
GOLDEN = (5**0.5 - 1) / 2  # steps of it fill the circle more evenly than random ones


@dataclass(frozen=True)
class SamplingConfig:
    """Which clips a batch is made of."""

    by: str = "duration"  # crops of a clip in an epoch: as many as it is long ("duration"), or one ("clip")
    crops_per_clip: int = 1  # 1: both views show the same crop; 2: each view shows a crop of its own of the same clip
    column: str = ""  # of the manifest, such as domain or source: clips are weighted by its values
    weights: Mapping[str, float] = field(default_factory=dict)  # value -> how much more often (1 where not given)

    def __post_init__(self) -> None:
        if self.by not in ("duration", "clip"):
            raise ConfigError(f"sampling.by: {self.by!r} is unknown; known are duration, clip")
        if self.crops_per_clip not in (1, 2):
            raise ConfigError(f"sampling.crops_per_clip: must be 1 or 2, got {self.crops_per_clip}")
        if bool(self.column) != bool(self.weights):
            raise ConfigError(
                f"sampling: column and weights go together, got column {self.column!r} and weights {dict(self.weights)}"
            )
        for value, weight in self.weights.items():
            if not isinstance(value, str):
                raise ConfigError(f"sampling.weights: the values of a column are text, got {value!r}; put it in quotes")
            if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < float("inf"):
                raise ConfigError(f"sampling.weights.{value}: expected a number of at least 0, got {weight!r}")


class Batch(NamedTuple):
    """Rows of a batch."""

    audio: Tensor  # int16 (crops_per_clip, n, margin + crop + margin)
    clips: Tensor  # int64 (n,): number of the clip in the pack
    targets: Tensor  # float32 (crops_per_clip, n, D): what each crop should give; D is 0 without a table

    def parts(self, count: int) -> list[Batch]:
        """The rows in `count` consecutive parts of equal size."""
        chunks = self.audio.chunk(count, dim=1), self.clips.chunk(count), self.targets.chunk(count, dim=1)
        return [Batch(*part) for part in zip(*chunks, strict=True)]

    def pin_memory(self) -> Batch:
        """Itself in memory that a GPU copies from without waiting."""
        return Batch(*(value.pin_memory() for value in self))

    def to(self, device: torch.device) -> Batch:
        """Itself on a device."""
        return Batch(*(value.to(device, non_blocking=True) for value in self))


def lay(pack: Pack, clip: int, start: int, out: np.ndarray) -> None:
    """Copy the samples of a clip from `start` on, which may be negative, into `out`; the rest stays as it is."""
    first, last = max(0, start), min(int(pack.samples[clip]), start + len(out))
    out[first - start : last - start] = pack.cut(clip, first, last)


class Crops:
    """Random crops of equal length from a folder that `pack` wrote.

    An epoch takes from each clip, in random order, as many crops as `SamplingConfig` says; of a fraction of a crop
    some epochs make one, so that in the long run the share is exact. Clips shorter than a crop lie at a random place
    in silence. With targets, each crop is one of those of the clip that the table knows.
    """

    def __init__(
        self,
        folder: Path,
        crop: int,
        margin: int,
        batch: int,
        seed: int,
        sampling: SamplingConfig | None = None,
        targets: Path | None = None,
    ) -> None:
        """
        Args:
            folder: a pack.
            crop: samples of a crop.
            margin: samples of real audio kept on either side of the crop for the windows of its outer mel frames.
            batch: crops in a batch.
            seed: of all draws.
            targets: a folder that `extract` wrote for this pack.

        Raises:
            PackError: not a pack, or one without the column that sampling names.
            TargetsError: not targets of such crops of this pack.
            ConfigError: weights of values that the column has not, or that leave nothing.
        """
        self.pack = Pack(folder)
        self.crop, self.margin, self.batch, self.seed = crop, margin, batch, seed
        self.sampling = sampling or SamplingConfig()
        self.targets = Targets(targets, self.pack, crop) if targets else None
        self._first = np.random.default_rng([seed, 2]).random()
        self._lock = threading.Lock()
        self._orders: dict[int, np.ndarray] = {}
        rates = self._rates()
        ends = np.cumsum(rates)
        if ends[-1] > MOST_CROPS:
            raise ConfigError(
                f"an epoch would be of {ends[-1]:.3g} crops, more than {MOST_CROPS}: lower sampling.weights, or set "
                "sampling.by=clip"
            )
        self.crops_per_epoch = max(1, round(float(ends[-1])))
        # The last, and with it clips of weight 0 after it, lies at a whole number whatever the rounding.
        self._ends = np.where(ends < ends[-1], ends * (self.crops_per_epoch / ends[-1]), self.crops_per_epoch)

    def _rates(self) -> np.ndarray:
        """Crops of each clip in an epoch, `(clips,)`."""
        rates = np.ones(len(self.pack))
        if self.sampling.by == "duration":
            rates = np.maximum(1.0, np.rint(self.pack.samples / self.crop))
        if self.sampling.column:
            values, which = self.pack.column(self.sampling.column)
            unknown = sorted(set(self.sampling.weights) - set(values))
            if unknown:
                known = ", ".join(map(repr, sorted(values)[:20])) + (", ..." if len(values) > 20 else "")
                missing = ", ".join(map(repr, unknown))
                raise ConfigError(
                    f"sampling.weights: the column {self.sampling.column} has no {missing}; it has {known}"
                )
            rates *= np.array([self.sampling.weights.get(value, 1.0) for value in values])[which]
        if not rates.sum():
            raise ConfigError("sampling.weights: leave no clip to train on")
        return rates

    def read(self, step: int, rows: np.ndarray) -> Batch:
        """Some rows of batch `step`, the same whoever reads them.

        Args:
            rows: `(n,)`, each in `[0, batch)`.
        """
        clips = self._clips(step * self.batch + np.arange(self.batch))
        generator = np.random.default_rng([self.seed, 1, step])
        views = self.sampling.crops_per_clip
        if self.targets:
            places = self.targets.draw(clips, views, generator)
            starts, targets = self.targets.starts[places], self.targets.values(places[:, rows])
        else:
            room = self.pack.samples[clips] - self.crop  # negative: a short clip starts inside the crop
            starts = generator.integers(np.minimum(0, room), np.maximum(0, room) + 1, (views, self.batch))
            targets = np.empty((views, len(rows), 0), np.float32)
        out = np.zeros((views, len(rows), self.crop + 2 * self.margin), np.int16)
        for view in range(views):
            for place, row in enumerate(rows):
                lay(self.pack, int(clips[row]), int(starts[view, row]) - self.margin, out[view, place])
        return Batch(torch.from_numpy(out), torch.from_numpy(clips[rows]), torch.from_numpy(targets))

    def describe(self) -> dict[str, Any]:
        """What a run learns from: the pack, and the targets if there are any."""
        return {**self.pack.describe(), **({"targets": self.targets.describe()} if self.targets else {})}

    def _clips(self, places: np.ndarray) -> np.ndarray:
        """The clips at these places of the endless sequence of epochs."""
        epochs, slots = np.divmod(places, self.crops_per_epoch)
        clips = np.empty(len(places), np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            clips[here] = self._order(int(epoch))[slots[here]]
        return clips

    def _order(self, epoch: int) -> np.ndarray:
        """The clips of an epoch, `(crops_per_epoch,)`."""
        with self._lock:  # several threads read ahead
            if epoch not in self._orders:
                generator = np.random.default_rng([self.seed, 0, epoch])
                fraction = (self._first + epoch * GOLDEN) % 1.0
                counts = np.diff(np.floor(self._ends + fraction), prepend=0.0)
                clips = np.arange(len(counts), dtype=np.int32).repeat(counts.astype(np.int64))
                generator.shuffle(clips)
                self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1} | {epoch: clips}
            return self._orders[epoch]
