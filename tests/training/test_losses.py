"""The losses against slow second implementations, and what the paper says that each does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.selfie import alignment, decorrelation, diversity

SHAPES = [(2, 3), (5, 4), (9, 2), (4, 1)]


def unit_rows(n: int, d: int, seed: int = 0) -> Tensor:
    rows = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1)


def squared_distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def slow_alignment(predictions: Tensor, targets: Tensor) -> float:
    pairs = list(zip(predictions.tolist(), targets.tolist(), strict=True))
    return sum(squared_distance(q, z) for q, z in pairs) / len(pairs)


def slow_diversity(predictions: Tensor) -> float:
    """Equation 2 as it is printed, over all n^2 pairs."""
    rows = predictions.tolist()
    return -sum(squared_distance(a, b) for a in rows for b in rows) / len(rows) ** 2


def slow_decorrelation(predictions: Tensor) -> float:
    """Equation 3 as it is printed, entry by entry of the covariance."""
    rows = predictions.tolist()
    n, d = len(rows), len(rows[0])
    means = [sum(row[a] for row in rows) / n for a in range(d)]
    total = 0.0
    for a in range(d):
        for b in range(d):
            if a != b:
                covariance = sum((row[a] - means[a]) * (row[b] - means[b]) for row in rows) / (n - 1)
                total += covariance**2
    return total


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_alignment_is_equation_1(n: int, d: int) -> None:
    predictions, targets = unit_rows(n, d), unit_rows(n, d, seed=1)
    assert alignment(predictions, targets).item() == pytest.approx(slow_alignment(predictions, targets), abs=1e-12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_diversity_is_minus_the_mean_squared_distance_of_all_pairs(n: int, d: int) -> None:
    predictions = unit_rows(n, d)
    assert diversity(predictions).item() == pytest.approx(slow_diversity(predictions), abs=1e-12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_decorrelation_is_equation_3(n: int, d: int) -> None:
    predictions = unit_rows(n, d)
    assert decorrelation(predictions).item() == pytest.approx(slow_decorrelation(predictions), abs=1e-12)


def test_alignment_runs_from_0_for_equal_to_4_for_opposite_vectors() -> None:
    rows = unit_rows(6, 5)
    assert alignment(rows, rows).item() == 0.0
    assert alignment(rows, -rows).item() == pytest.approx(4.0)


def test_alignment_sends_no_gradient_to_the_targets() -> None:
    predictions, targets = unit_rows(4, 3).requires_grad_(), unit_rows(4, 3, seed=1).requires_grad_()
    alignment(predictions, targets).backward()
    assert targets.grad is None
    assert predictions.grad is not None
    assert predictions.grad.abs().min() > 0


def test_diversity_is_highest_for_a_collapsed_batch() -> None:
    assert diversity(unit_rows(1, 5).expand(8, 5)).item() == pytest.approx(0.0, abs=1e-12)
    assert all(diversity(unit_rows(8, 5, seed)).item() < -0.1 for seed in range(10))


def test_diversity_is_lowest_where_the_mean_vector_is_zero() -> None:
    axes = torch.eye(3, dtype=torch.float64)
    assert diversity(torch.cat([axes, -axes])).item() == -2.0
    assert all(diversity(unit_rows(8, 5, seed)).item() > -2.0 for seed in range(10))


def test_descending_diversity_spreads_the_vectors() -> None:
    """With the sign of the paper's O(nd) line the mean would grow to length 1 instead."""
    rows = (unit_rows(8, 4) + torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)).requires_grad_()
    before = F.normalize(rows, dim=1).mean(0).norm().item()
    optimiser = torch.optim.SGD([rows], lr=0.5)
    for _ in range(200):
        optimiser.zero_grad()
        diversity(F.normalize(rows, dim=1)).backward()
        optimiser.step()
    after = F.normalize(rows, dim=1).mean(0).norm().item()
    assert before > 0.5
    assert after < 0.05


def test_decorrelation_of_two_equal_features_by_hand() -> None:
    """Deviations +-sqrt(1/2) in both: all of the covariance is (1/2 + 1/2) / (2 - 1) = 1, two entries off-diagonal."""
    rows = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64) / 2**0.5
    assert decorrelation(rows).item() == pytest.approx(2.0)


def test_decorrelation_is_a_sum_that_is_not_divided_by_the_dimension() -> None:
    rows = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    assert decorrelation(rows.expand(2, 3)).item() == pytest.approx(3 * 2 * 2.0**2)
    assert decorrelation(rows.expand(2, 6)).item() == pytest.approx(6 * 5 * 2.0**2)


def test_decorrelation_ignores_the_diagonal_and_the_mean() -> None:
    along_one_axis = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert decorrelation(along_one_axis).item() == pytest.approx(0.0, abs=1e-12)
    rows = unit_rows(6, 4)
    assert decorrelation(rows + 3.0).item() == pytest.approx(decorrelation(rows).item())


def test_decorrelation_is_zero_for_uncorrelated_features() -> None:
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert decorrelation(rows).item() == pytest.approx(0.0, abs=1e-12)


def test_gradients_are_those_of_the_functions() -> None:
    predictions, targets = unit_rows(5, 3).requires_grad_(), unit_rows(5, 3, seed=1)
    assert torch.autograd.gradcheck(lambda rows: alignment(rows, targets), predictions)
    assert torch.autograd.gradcheck(diversity, predictions)
    assert torch.autograd.gradcheck(decorrelation, predictions)
