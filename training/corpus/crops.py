"""Batches of crops from a pack; batch n is a function of the seed and n, so a run resumes where it stopped."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from selfie_hear.config import ConfigError
from training.corpus.shards import Pack

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


class Crops:
    """Random crops of equal length from a folder that `pack` wrote.

    An epoch takes from each clip, in random order, as many crops as `SamplingConfig` says; of a fraction of a crop
    some epochs make one, so that in the long run the share is exact. Clips shorter than a crop lie at a random place
    in silence.
    """

    def __init__(
        self, folder: Path, crop: int, margin: int, batch: int, seed: int, sampling: SamplingConfig | None = None
    ) -> None:
        """
        Args:
            folder: a pack.
            crop: samples of a crop.
            margin: samples of real audio kept on either side of the crop for the windows of its outer mel frames.
            batch: crops in a batch.
            seed: of all draws.

        Raises:
            PackError: not a pack, or one without the column that sampling names.
            ConfigError: weights of values that the column has not, or that leave nothing.
        """
        self.pack = Pack(folder)
        self.crop, self.margin, self.batch, self.seed = crop, margin, batch, seed
        self.sampling = sampling or SamplingConfig()
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

    def read(self, step: int, rows: np.ndarray) -> np.ndarray:
        """Some rows of batch `step`, the same whoever reads them.

        Args:
            rows: `(n,)`, each in `[0, batch)`.

        Returns:
            int16 `(crops_per_clip, n, margin + crop + margin)`.
        """
        clips = self._clips(step * self.batch + np.arange(self.batch))
        lengths = self.pack.samples[clips]
        room = lengths - self.crop  # negative: a short clip starts inside the crop
        generator = np.random.default_rng([self.seed, 1, step])
        views = self.sampling.crops_per_clip
        starts = generator.integers(np.minimum(0, room), np.maximum(0, room) + 1, (views, self.batch)) - self.margin
        out = np.zeros((views, len(rows), self.crop + 2 * self.margin), np.int16)
        for view in range(views):
            for place, row in enumerate(rows):
                start = int(starts[view, row])
                first, last = max(0, start), min(int(lengths[row]), start + out.shape[2])
                out[view, place, first - start : last - start] = self.pack.cut(int(clips[row]), first, last)
        return out

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
