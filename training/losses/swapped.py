"""SwAV's swapped prediction, and the balanced codes that it predicts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    """Codes: exp(scores / epsilon) scaled by Sinkhorn-Knopp until prototypes share the batch evenly; no gradient.

    It runs on logarithms, where a small epsilon does not overflow. The last scaling is that of the rows.

    Args:
        scores: `(n, k)`, of each row with each prototype.

    Returns:
        `(n, k)`; rows sum to 1, columns to n / k as nearly as the iterations get.
    """
    codes = scores / epsilon
    for _ in range(iterations):
        codes = codes.log_softmax(0).log_softmax(1)
    return codes.exp()


def swapped_prediction(first: Tensor, second: Tensor, temperature: float, epsilon: float, iterations: int) -> Tensor:
    """Cross entropy of each view's softmax with the other view's code, mean of both directions (Lin, section 1.2).

    Args:
        first, second: `(n, k)`, cosines of the two views with each prototype.
    """
    ahead, back = (sinkhorn(scores, epsilon, iterations) for scores in (second, first))
    return (F.cross_entropy(first / temperature, ahead) + F.cross_entropy(second / temperature, back)) / 2
