"""Silence before or after a sound, which moves in its crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Moves(NamedTuple):
    """By how many samples the sound comes later (above 0) or earlier, `(B,)`."""

    later: Tensor


@dataclass(frozen=True)
class RandomPadding:
    """Pad both ends with silence, then crop to the length it had, at a random place: the sound moves by U(-most, most).

    Lin (2022, section 2.1) pads and crops at random and gives no lengths. A clip shorter than its crop lies at a
    random place in silence without this (`training.corpus.crops`), which is the random padding of ESResNet.
    """

    most: int  # samples

    def draw(self, count: int, generator: torch.Generator) -> Moves:
        return Moves(torch.randint(-self.most, self.most + 1, (count,), generator=generator, device=generator.device))

    def apply(self, audio: Tensor, moves: Moves) -> Tensor:
        """`(B, N)` to the same shape."""
        count = audio.shape[1]
        source = torch.arange(count, device=audio.device) - moves.later[:, None]
        inside = (source >= 0) & (source < count)
        return audio.gather(1, source.clamp(0, count - 1)) * inside
