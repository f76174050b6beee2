"""Losses of predictions against what they should be: a direction, or values."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def negative_cosine(predictions: Tensor, targets: Tensor) -> Tensor:
    """SimSiam: minus the mean cosine of each prediction and its target, in [-1, 1] (Chen, He, Eq. 1).

    Args:
        predictions, targets: `(n, d)`, of any length; no gradient goes into `targets`. A zero row counts 0.
    """
    return -(F.normalize(predictions, dim=1) * F.normalize(targets.detach(), dim=1)).sum(1).mean()


def squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Hybrid BYOL-S: mean over rows and values of (prediction - target)^2 (Elbanna et al., section 2.2, L_sup).

    Args:
        predictions, targets: `(n, d)`.

    Raises:
        ValueError: they are not of one shape, which broadcasting would hide.
    """
    if predictions.shape != targets.shape:
        raise ValueError(f"predictions are {tuple(predictions.shape)}, targets {tuple(targets.shape)}: must be alike")
    return (predictions - targets).square().mean()
