"""The statistics of a batch, given back to it after it was augmented."""

from __future__ import annotations

import torch
from torch import Tensor

from training.ranks import ALONE, Ranks


def post_normalise(mel: Tensor, before: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """BYOL-A's post-normalisation (Niizumi et al. 2021): undo what augmenting did to the statistics.

    One mean and one deviation over all cells of the batch of all processes. BYOL-A's input is standardised, so there
    this gives mean 0 and deviation 1; here the input is not, and the batch gets back what it had, for the encoder
    must meet the same units in a view as in a clip that is to be embedded.

    Args:
        mel: the augmented batch `(B, 1, F, T)`.
        before: the batch before it was augmented.

    Returns:
        `(B, 1, F, T)`; where all cells are equal, they are the former mean.
    """
    mean, deviation = _statistics(mel, ranks)
    former_mean, former_deviation = _statistics(before, ranks)
    gain = former_deviation / deviation.clamp(min=torch.finfo(mel.dtype).tiny)
    return torch.where(deviation > 0, (mel - mean) * gain, 0.0) + former_mean


def _statistics(mel: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor]:
    mean = ranks.mean(mel.mean())
    return mean, ranks.mean((mel - mean).square().mean()).sqrt()
