"""SELFIE's three losses (section 2.1), functions of `(n, d)` rows of unit length."""

from __future__ import annotations

from torch import Tensor


def alignment(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of each prediction to its target (Eq. 1).

    Args:
        predictions, targets: `(n, d)`, rows of unit length; no gradient goes into `targets`.
    """
    return (predictions - targets.detach()).square().sum(1).mean()


def diversity(predictions: Tensor) -> Tensor:
    """Minus the mean squared distance over all n^2 pairs (Eq. 2), in O(nd): 2 ||mean||^2 - 2, in [-2, 0].

    The paper's O(nd) line has lost the minus sign of its Eq. 2; minimising this form spreads the predictions until
    their mean is zero.
    """
    return 2.0 * predictions.mean(0).square().sum() - 2.0


def decorrelation(predictions: Tensor) -> Tensor:
    """Sum of the squared off-diagonal entries of the predictions' covariance, with 1 / (n - 1) (Eq. 3)."""
    n = predictions.shape[0]
    centred = predictions - predictions.mean(0)
    covariance = centred.T @ centred / (n - 1)
    return covariance.square().sum() - covariance.diagonal().square().sum()
