"""The folder of a run: what it is made of, its checkpoints; a run is resumed only as what it was begun."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from selfie_hear.config import ConfigError, from_dict, to_dict
from training import checkpoint
from training.config import WATCHING, TrainConfig
from training.files import write_whole


class RunFolder:
    """`config.json`, `data.json` and `checkpoints/` of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    def check(self, config: TrainConfig, data: dict[str, Any]) -> None:
        """Make sure that the folder is new, or a run made of the same.

        Args:
            data: of `Pack.describe`.

        Raises:
            ConfigError: it is another run's folder, or not a folder.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ConfigError(f"{self.path}: is a file; name a folder for the run")
        self._compare("config.json", to_dict(config), WATCHING)
        self._compare("data.json", data, ())

    def adopt(self, config: TrainConfig, data: dict[str, Any]) -> None:
        """`check`, then write down what the run is made of."""
        self.check(config, data)
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / "config.json", json.dumps(to_dict(config), indent=2) + "\n")
        write_whole(self.path / "data.json", json.dumps(data, indent=2) + "\n")

    def _compare(self, name: str, values: dict[str, Any], free: Collection[str]) -> None:
        path = self.path / name
        if path.exists():
            theirs = read_json(path)
            if name == "config.json":  # of an older version: settings that are new since then have their default
                theirs = to_dict(from_dict(TrainConfig, theirs, str(path)))
            changed = {key for key in values.keys() | theirs.keys() if values.get(key) != theirs.get(key)} - set(free)
            if changed:
                raise ConfigError(
                    f"{self.path} is a run with other settings ({', '.join(sorted(changed))} of {name} differ): resume "
                    "it with those it was started with, or name a new folder"
                )
        elif checkpoint.checkpoints(self.checkpoints):
            raise ConfigError(f"{path}: missing, though the run has checkpoints; name a new folder")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder, and keep other processes from training there.

        Raises:
            ConfigError: one does already.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.path / ".lock", timeout=0):
                yield
        except Timeout as error:
            raise ConfigError(f"{self.path}: another process is training there") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run folder.

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:  # TypeError: JSON, but no object
        raise ConfigError(f"{path}: missing or damaged ({error})") from error
