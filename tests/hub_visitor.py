"""A process where the Hub's real client finds an environment of its own, as it wants: before it is imported."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from selfie_hear import ReleaseError, get_scene_embeddings, load_model
from tests.conftest import noise
from tests.hub_server import HubServer
from tests.training.processes import forked


class Visitor:
    """Does jobs in a process whose client asks `server` and keeps its cache in `home`.

    Args:
        environment: further variables of the process, such as HF_TOKEN.
    """

    def __init__(self, server: HubServer, home: Path, **environment: str) -> None:
        asked = {"HF_ENDPOINT": server.address, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        self._here, there = multiprocessing.Pipe()
        self._process = forked(_visit, there, {**asked, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment})
        there.close()

    def __call__(self, job: Callable[..., Any], *arguments: Any) -> Any:
        """What `job(*arguments)` returns there."""
        return self.begin(job, *arguments)()

    def begin(self, job: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Begin a job; returns a function that waits for its end and gives what it returned."""
        self._here.send((job, arguments))

        def finish() -> Any:
            done, value = self._here.recv()
            assert done, value
            return value

        return finish

    def close(self) -> None:
        self._process.kill()
        self._process.join()


def _visit(there: Connection, environment: dict[str, str]) -> None:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        del os.environ[name]
    os.environ.update(environment)
    torch.set_num_threads(1)
    wait, time.sleep = time.sleep, lambda seconds: wait(seconds / 50)  # the client waits seconds before it tries again
    while True:
        job, arguments = there.recv()
        try:
            there.send((True, job(*arguments)))
        except BaseException:
            there.send((False, traceback.format_exc()))


class Loaded(NamedTuple):
    """What became of a `load_model`: the embedding of some noise, or what was said instead; and what was logged."""

    embedding: np.ndarray | None
    error: str
    logged: list[str]


def load(source: str, branch: str = "online", **options: Any) -> Loaded:
    """A job: load a model and listen to noise."""
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("selfie_hear").addHandler(handler)
    try:
        return Loaded(embedding(load_model(source, branch=branch, **options)), "", heard)
    except ReleaseError as error:
        return Loaded(None, str(error), heard)
    finally:
        logging.getLogger("selfie_hear").removeHandler(handler)


def embedding(model: Any) -> np.ndarray:
    """What all loaded models are compared by: in one thread, as another number of them rounds differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    embeddings: np.ndarray = get_scene_embeddings(noise(16000)[None], model).numpy()
    torch.set_num_threads(threads)
    return embeddings
