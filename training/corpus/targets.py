"""The side table of a pack: which crops of each clip there are, and the values that a network should give for each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from selfie_hear.pretrained import file_digest
from training.corpus.shards import Pack, pa, pq

FORMAT_VERSION = 1
VALUES, CROPS, DIMENSIONS, ABOUT = "values.npy", "crops.parquet", "dimensions.parquet", "targets.json"
COMMAND = "`python -m training targets`"


class TargetsError(ValueError):
    """Targets that cannot be made, or a folder that does not hold those that are needed."""


class Targets:
    """A folder that `extract` wrote.

    Attributes:
        size: values of a crop.
        starts: `(crops,)` int64, where each crop begins in its clip; negative where a short clip lies in silence.
    """

    def __init__(self, folder: Path, pack: Pack, crop: int) -> None:
        """
        Args:
            pack: that is trained on.
            crop: samples of a crop.

        Raises:
            TargetsError: not such a folder, damaged, not whole yet, of another pack or of crops of another length.
        """
        self.folder = folder
        self.about = _read_about(folder)
        if self.about["pack"] != file_digest(pack.folder / "pack.json"):
            raise TargetsError(f"{folder}: made from another pack than {pack.folder}; make targets of this one")
        if self.about["crop"] != crop:
            rate = pack.sample_rate
            raise TargetsError(
                f"{folder}: of crops of {self.about['crop'] / rate:g} s, and crop_seconds is {crop / rate:g}; train "
                "with the same, or make targets of such crops"
            )
        self.size = int(self.about["size"])
        try:
            table = pq.read_table(folder / CROPS)
            clips, self.starts = (table[name].to_numpy() for name in ("clip", "start"))
            self._values = np.load(folder / VALUES, mmap_mode="r")
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise TargetsError(f"{folder}: damaged ({error}); make the targets again") from error
        if self._values.shape != (len(clips), self.size):
            raise TargetsError(
                f"{folder}: damaged, values of {self._values.shape} for {len(clips)} crops of {self.size}; make the "
                "targets again"
            )
        self._first = np.searchsorted(clips, np.arange(len(pack) + 1))

    def draw(self, clips: np.ndarray, views: int, generator: np.random.Generator) -> np.ndarray:
        """A crop of each clip for each view, `(views, n)`: places in the table.

        Args:
            clips: `(n,)`, numbers in the pack.
        """
        return generator.integers(self._first[clips], self._first[clips + 1], (views, len(clips)))

    def values(self, places: np.ndarray) -> np.ndarray:
        """Standardised values of crops, `(..., size)` float32, read from the disk when they are asked for.

        Args:
            places: of `draw`.
        """
        values: np.ndarray = self._values[places].astype(np.float32)
        return values

    def describe(self) -> dict[str, Any]:
        """What they are, and a digest."""
        return {
            "features": self.about["features"],
            "crops": len(self.starts),
            "sha256": file_digest(self.folder / ABOUT),  # which holds those of the files
        }


def working_folder(out: Path) -> Path:
    """Where a table grows until it is whole."""
    return out.with_name(f".{out.name}.extracting")


def _read_about(folder: Path) -> dict[str, Any]:
    if not folder.exists() and working_folder(folder).exists():
        raise TargetsError(f"{folder}: begun, but not whole yet; the command that began it goes on with it")
    try:
        about = dict(json.loads((folder / ABOUT).read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise TargetsError(f"{folder}: not a folder made by {COMMAND} ({error})") from error
    if about.get("format_version") != FORMAT_VERSION:
        raise TargetsError(
            f"{folder}: targets format {about.get('format_version')}, this version reads {FORMAT_VERSION}; make the "
            "targets again"
        )
    if missing := {"pack", "crop", "size", "features"} - set(about):
        raise TargetsError(f"{folder / ABOUT}: damaged, says nothing of {', '.join(sorted(missing))}")
    return about
