"""Losses that keep features apart: Barlow Twins' two terms and VICReg's three, functions of `(n, d)` projections."""

from __future__ import annotations

import torch
from torch import Tensor

from training.losses.selfie import decorrelation


def cross_correlation(first: Tensor, second: Tensor, epsilon: float = 1e-5) -> Tensor:
    """C, `(d, d)`: C_ij is the correlation over the batch of feature i of one view with feature j of the other.

    Liu et al. print it in their survey (Eq. 10) without the squares below the roots, and leave out that features are
    centred first; Zbontar et al. centre and scale them as a BatchNorm does. A feature that does not vary correlates
    with nothing.

    Args:
        first, second: `(n, d)`, row i of both from the same clip.
        epsilon: added to the variances.
    """
    first, second = (
        (rows - rows.mean(0)) * torch.rsqrt(rows.var(0, unbiased=False) + epsilon) for rows in (first, second)
    )
    return first.T @ second / len(first)


def on_diagonal(correlation: Tensor) -> Tensor:
    """Barlow Twins' invariance term: sum of (1 - C_ii)^2 (Liu et al., Eq. 9)."""
    return (1.0 - correlation.diagonal()).square().sum()


def off_diagonal(matrix: Tensor) -> Tensor:
    """Sum of the squared entries off the diagonal: Barlow Twins' redundancy reduction term (Liu et al., Eq. 9)."""
    return matrix.square().sum() - matrix.diagonal().square().sum()


def invariance(first: Tensor, second: Tensor) -> Tensor:
    """VICReg's s: mean over rows and features of the squared difference (Bardes, Ponce, LeCun, algorithm 1)."""
    return (first - second).square().mean()


def variance(rows: Tensor, floor: float = 1.0, epsilon: float = 1e-4) -> Tensor:
    """VICReg's v: mean over features of max(0, floor - sqrt(variance + epsilon)), the variance with 1 / (n - 1).

    It is not a number where n is 1.
    """
    spread = (rows - rows.mean(0)).square().sum(0) / (len(rows) - 1)
    return (floor - (spread + epsilon).sqrt()).clamp(min=0.0).mean()


def covariance(rows: Tensor) -> Tensor:
    """VICReg's c: SELFIE's decorrelation, which is made after it, divided by d; not a number where n is 1."""
    return decorrelation(rows) / rows.shape[1]
