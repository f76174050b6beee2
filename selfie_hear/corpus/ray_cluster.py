"""The shards of a collection on a Ray cluster: actors that hold the model and take one shard after the other."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from typing import Any

import torch

from selfie_hear.config import MissingExtraError
from selfie_hear.corpus.decoding import Decoders
from selfie_hear.corpus.plan import Collection
from selfie_hear.corpus.shard import Shard, Work
from selfie_hear.embedder import Embedder
from selfie_hear.tables import TableError

ATTEMPTS = 3  # at a shard whose actor or machine was lost


class _Encoder:
    """What runs on the cluster; the paths of the plan and of the collection must lead to the same files there."""

    def __init__(self, collection: Collection, model: list[Any], device: str) -> None:
        """
        Args:
            model: one reference to an `Embedder`; in a list, or Ray would warn that it can be lost.
        """
        import ray

        torch.set_num_threads(collection.plan.threads)
        self._collection = collection
        self._embedder: Embedder = ray.get(model[0]).to(device)

    def embed(self, number: int) -> Work:
        with Decoders(0, self._embedder.sample_rate) as decoders:
            recordings = decoders.each(self._collection.paths(number))
            return Shard(self._collection, number, self._embedder, lambda _: None).write(recordings)


def embed_on_ray(collection: Collection, todo: list[int], embedder: Embedder, encoders: int | None) -> Iterator[Work]:
    """Embed the shards `todo`; yields the work of each when it is done.

    Args:
        encoders: actors, each with as many cores as the plan has threads and, if the embedder is on one, an
            accelerator; None for as many as the cluster has room for.

    Raises:
        MissingExtraError: no ray.
        TableError: an actor was lost several times, or what it ran failed.
    """
    try:
        import ray
        from ray.util import ActorPool
    except ImportError as error:
        raise MissingExtraError("the engine ray needs ray: pip install 'selfie_hear[ray]'") from error
    if not todo:
        return
    begun = not ray.is_initialized()
    if begun:
        ray.init(log_to_driver=False, logging_level=logging.WARNING)
    try:
        needs: dict[str, Any] = {"num_cpus": collection.plan.threads, "num_gpus": int(embedder.device.type == "cuda")}
        room = ray.cluster_resources()
        most = int(room.get("CPU", 0) // needs["num_cpus"])
        most = min(most, int(room.get("GPU", 0))) if needs["num_gpus"] else most
        actor: Any = ray.remote(max_restarts=ATTEMPTS, max_task_retries=ATTEMPTS, **needs)(_Encoder)
        model = ray.put(copy.deepcopy(embedder).cpu())
        actors = [
            actor.remote(collection, [model], embedder.device.type)
            for _ in range(min(encoders or max(1, most), len(todo)))
        ]
        yield from ActorPool(actors).map_unordered(lambda encoder, number: encoder.embed.remote(number), todo)
    except ray.exceptions.RayError as error:
        raise TableError(f"{collection.folder}: Ray gave up; the same command goes on from there ({error})") from error
    finally:
        if begun:
            ray.shutdown()
