"""An encoder and a projector that learn from where views land: what contrastive and clustering methods share."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from selfie_hear.pooling import mean_max
from training.losses.contrastive import widened
from training.objectives.base import Objective, Views
from training.ranks import Ranks


class Projections(NamedTuple):
    """Where the views of all processes land, in float32 at least."""

    first: Tensor  # (n, d)
    second: Tensor  # (n, d)
    clips: Tensor  # (n,): number of the clip of each row


class Projected(Objective):
    """Both views go through one network, each as a batch of its own; the losses are those of the rows of all processes.

    What a method remembers of a batch it stores in `after_step`, in the same order in all processes: all parts of a
    batch (`accumulate`) meet the same memory.
    """

    def __init__(self, encoder: Encoder, projector: nn.Module, config: Any, clips: int, ranks: Ranks) -> None:
        super().__init__(encoder, config, clips, ranks)
        self.ranks = ranks
        self.online = nn.ModuleDict({"encoder": encoder, "projector": projector})

    @abstractmethod
    def terms(self, rows: Projections) -> dict[str, Tensor]:
        """`loss` and its parts, outside of autocast."""

    def forward(self, views: Views) -> dict[str, Tensor]:
        embedding, first = self.project(self.online, views.first)
        second = self.project_other(views.second)
        with torch.autocast(first.device.type, enabled=False):  # the losses stay in float32
            terms = self.terms(Projections(first, second, self.ranks.gather(views.clips)))
        return {**terms, "embedding": embedding.detach()}

    def project(self, network: nn.Module, view: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `(B, D)` of the rows of this process, and projections `(n, d)` of those of all."""
        parts = cast(nn.ModuleDict, network)
        embedding = mean_max([parts["encoder"](view)])
        return embedding, self.ranks.gather(widened(parts["projector"](embedding)))

    def project_other(self, view: Tensor) -> Tensor:
        """Projections `(n, d)` of the second view: by the same network, where a method does not say."""
        return self.project(self.online, view)[1]

    def encoders(self) -> dict[str, Encoder]:
        return {"online": cast(Encoder, self.online["encoder"])}
