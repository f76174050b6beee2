"""NPID: every clip is a class of its own, known by a vector in a memory bank (Wu et al. 2018; Lin 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from selfie_hear.encoders import Encoder
from training.losses.contrastive import accuracy, against_memory, estimated_log_normaliser, nce, unit
from training.objectives.options import at_least, positive, share
from training.objectives.projected import Projected, Projections
from training.ranks import Ranks


@dataclass(frozen=True)
class NpidConfig:
    temperature: float = 0.07
    momentum: float = 0.5  # share of the old vector that the bank keeps
    noise: int = 4096  # samples of the bank that a batch is told from
    head_outputs: int = 128

    def __post_init__(self) -> None:
        positive(self, "temperature")
        share(self, "momentum")
        at_least(self, 1, "noise", "head_outputs")


class Bank(nn.Module):
    """A vector of unit length for each clip; random ones to begin with."""

    vectors: Tensor  # (clips, d)

    def __init__(self, clips: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("vectors", unit(torch.randn(clips, dim)))

    def update(self, rows: Tensor, clips: Tensor, momentum: float) -> None:
        """Move the vectors of some clips towards `(n, d)` rows; of a clip that occurs several times, to their mean."""
        same = clips[:, None] == clips
        means = same.to(rows.dtype) @ rows / same.sum(1, keepdim=True)
        # All rows of a clip write the bits of its first one, so that it does not matter which of them comes last.
        means = means[same.int().argmax(1)]
        self.vectors[clips] = unit(momentum * self.vectors[clips] + (1 - momentum) * means)


class Npid(Projected):
    """Each view is told, as its clip's vector in the bank, from noise: the vectors of clips drawn uniformly.

    Where the papers are silent: both views are samples of their clip; one draw of noise serves all rows of a batch, and
    a row's own clip in it does not count; Z is estimated from the first batch and then stays (Wu et al.); the bank
    takes in the mean of all views of a clip after the step. Wu et al.'s proximal term is not there, nor is it in Lin.
    The draws depend on a seed and on their number, both in the checkpoint, and are the same in all processes.
    """

    options = NpidConfig
    paper = "Wu et al.: *Unsupervised feature learning via non-parametric instance discrimination*"

    log_normaliser: Tensor  # scalar: log Z

    def __init__(self, encoder: Encoder, config: NpidConfig, clips: int, ranks: Ranks) -> None:
        super().__init__(encoder, nn.Linear(encoder.dim, config.head_outputs), config, clips, ranks)
        self.config = config
        self.bank = Bank(clips, config.head_outputs)
        self.register_buffer("log_normaliser", torch.tensor(0.0))
        self._seed, self._draws = int(torch.randint(2**62, ())), 0
        self._fresh: list[tuple[Tensor, Tensor]] = []  # rows of this step, and their clips

    def terms(self, rows: Projections) -> dict[str, Tensor]:
        vectors, clips = unit(torch.cat([rows.first, rows.second])), rows.clips.repeat(2)
        self._fresh.append((vectors.detach(), clips))
        bank, temperature = self.bank.vectors, self.config.temperature
        noise = self._draw(len(bank)).to(clips.device)
        if self._draws == 1:
            self.log_normaliser.copy_(estimated_log_normaliser(vectors, bank[noise], len(bank), temperature))
        candidates = against_memory(vectors, bank[clips], bank[noise], clips, noise, temperature)
        loss = nce(candidates, self.log_normaliser, len(bank))
        return {"loss": loss, "nce_loss": loss, "accuracy": accuracy(candidates)}

    def _draw(self, clips: int) -> Tensor:
        """The clips of the next noise, `(m,)`, on the host."""
        generator = torch.Generator().manual_seed(self._seed + self._draws)
        self._draws += 1
        return torch.randint(clips, (self.config.noise,), generator=generator)

    def after_step(self) -> None:
        rows, clips = (torch.cat(parts) for parts in zip(*self._fresh, strict=True))
        self.bank.update(rows, clips, self.config.momentum)
        self._fresh.clear()

    def get_extra_state(self) -> Tensor:
        """Where the draws of noise are: kept on the host, as asking a device would wait for it."""
        return torch.tensor([self._seed, self._draws])

    def set_extra_state(self, state: Tensor) -> None:
        self._seed, self._draws = state.tolist()
