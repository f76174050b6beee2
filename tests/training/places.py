"""Places where clips are embedded: a task, a module that counts what it is asked for, and a cache."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np

from tests.training.tasks import RATE, SIMPLE, make_module, make_task
from training.evaluate.embeddings import embed_task
from training.evaluate.models import HearModel, ModelSpec
from training.evaluate.tasks import SceneTask, read_task

BREAKS = SIMPLE.replace(
    "    loudest",
    "    from pathlib import Path\n"
    "    if len(CALLS) == 3 and Path(__file__).with_name('break').exists():\n"
    "        raise KeyboardInterrupt\n"
    "    loudest",
)


class Place:
    """A task of three splits of four clips, a module, and how often it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = make_task(folder / "task", "trainvaltest", clips=4, seconds=0.1), folder / "cache"
        self.module = f"simple_{folder.name}".replace("-", "_")
        make_module(folder, self.module, BREAKS)

    def task(self) -> SceneTask:
        task = read_task(self.folder, RATE)
        assert task is not None
        return task

    def model(self) -> HearModel:
        return HearModel(ModelSpec("simple", self.module))

    def embed(self, cached: bool = True) -> dict[str, np.ndarray]:
        return embed_task(self.task(), self.model(), self.cache if cached else None)

    def calls(self) -> list[int]:
        """Clips of each call since the last time."""
        calls = importlib.import_module(self.module).CALLS
        found = list(calls)
        calls.clear()
        return found

    @property
    def file(self) -> Path:
        (found,) = self.cache.iterdir()
        return found


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    assert list(a) == list(b)
    return all(np.array_equal(a[split], b[split]) for split in a)
