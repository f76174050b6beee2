"""Barlow Twins' and VICReg's losses against slow second implementations, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.losses.redundancy import covariance, cross_correlation, invariance, off_diagonal, on_diagonal, variance

SHAPES = [(2, 3), (5, 4), (9, 2), (4, 1)]


def rows_of(n: int, d: int, seed: int = 0) -> Tensor:
    """With features of other means and sizes."""
    generator = torch.Generator().manual_seed(seed)
    size, mean = torch.rand(2, d, dtype=torch.float64, generator=generator)
    return size * torch.randn(n, d, dtype=torch.float64, generator=generator) + 3.0 * mean


def columns(rows: Tensor) -> list[list[float]]:
    """Features, each centred."""
    found = []
    for column in rows.T.tolist():
        mean = sum(column) / len(column)
        found.append([value - mean for value in column])
    return found


def slow_correlation(first: Tensor, second: Tensor) -> list[list[float]]:
    """Equation 10 of the survey with the squares that it lacks, entry by entry."""
    return [
        [
            sum(p * q for p, q in zip(a, b, strict=True))
            / (math.sqrt(sum(p * p for p in a)) * math.sqrt(sum(q * q for q in b)))
            for b in columns(second)
        ]
        for a in columns(first)
    ]


def slow_variance(rows: Tensor, floor: float, epsilon: float) -> float:
    n = len(rows)
    spreads = [math.sqrt(sum(value * value for value in column) / (n - 1) + epsilon) for column in columns(rows)]
    return sum(max(0.0, floor - spread) for spread in spreads) / len(spreads)


def slow_covariance(rows: Tensor) -> float:
    n, features = len(rows), columns(rows)
    total = 0.0
    for i, a in enumerate(features):
        for j, b in enumerate(features):
            if i != j:
                total += (sum(p * q for p, q in zip(a, b, strict=True)) / (n - 1)) ** 2
    return total / len(features)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_barlow_twins_terms_are_equation_9(n: int, d: int) -> None:
    first, second = rows_of(n, d), rows_of(n, d, seed=1)
    slow = slow_correlation(first, second)
    found = cross_correlation(first, second, epsilon=0.0)
    torch.testing.assert_close(found, torch.tensor(slow, dtype=torch.float64))
    assert on_diagonal(found).item() == pytest.approx(sum((1 - slow[i][i]) ** 2 for i in range(d)), abs=1e-12)
    others = sum(slow[i][j] ** 2 for i in range(d) for j in range(d) if i != j)
    assert off_diagonal(found).item() == pytest.approx(others, abs=1e-12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_vicreg_terms_are_those_of_its_paper(n: int, d: int) -> None:
    first, second = rows_of(n, d), rows_of(n, d, seed=1)
    squares = [(a - b) ** 2 for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)]
    assert invariance(first, second).item() == pytest.approx(sum(squares) / (n * d), abs=1e-12)
    assert variance(first).item() == pytest.approx(slow_variance(first, 1.0, 1e-4), abs=1e-12)
    assert variance(first, 0.3, 0.01).item() == pytest.approx(slow_variance(first, 0.3, 0.01), abs=1e-12)
    assert covariance(first).item() == pytest.approx(slow_covariance(first), abs=1e-12)


def test_views_that_are_alike_and_features_that_are_independent_cost_nothing() -> None:
    rows = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    same = cross_correlation(rows, 5.0 * rows + 2.0, epsilon=0.0)
    assert on_diagonal(same).item() == pytest.approx(0.0, abs=1e-12)
    assert off_diagonal(same).item() == pytest.approx(0.0, abs=1e-12)
    assert invariance(rows, rows).item() == 0.0
    assert variance(rows).item() == 0.0  # its features have a standard deviation above 1
    assert covariance(rows).item() == pytest.approx(0.0, abs=1e-12)


def test_features_that_copy_each_other_cost_by_hand() -> None:
    """Deviations of +-1 in both: correlation 1 and covariance 4 / 3 everywhere."""
    rows = torch.tensor([[1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert off_diagonal(cross_correlation(rows, rows, epsilon=0.0)).item() == pytest.approx(2.0)
    assert on_diagonal(cross_correlation(rows, -rows, epsilon=0.0)).item() == pytest.approx(2 * 2.0**2)
    assert covariance(rows).item() == pytest.approx(2 * (4 / 3) ** 2 / 2)


@pytest.mark.parametrize("rows", [torch.zeros(4, 3), torch.tensor([[1.0, -2.0, 3.0]]).repeat(4, 1)])
def test_of_a_collapsed_batch_losses_are_highest_and_gradients_finite(rows: Tensor) -> None:
    rows = rows.clone().requires_grad_()
    correlation = cross_correlation(rows, rows)
    assert torch.equal(correlation, torch.zeros(3, 3))
    assert on_diagonal(correlation).item() == 3.0
    assert variance(rows).item() == pytest.approx(1.0 - 0.01)
    assert covariance(rows).item() == 0.0
    total = on_diagonal(correlation) + off_diagonal(correlation) + variance(rows) + covariance(rows)
    assert torch.autograd.grad(total, rows)[0].isfinite().all()


def test_a_batch_of_one_has_no_correlation_and_no_variance_to_speak_of() -> None:
    row = torch.tensor([[1.0, -2.0, 3.0]])
    assert torch.equal(cross_correlation(row, row), torch.zeros(3, 3))
    assert invariance(row, row).item() == 0.0
    assert math.isnan(variance(row).item()) and math.isnan(covariance(row).item())


def test_correlation_ignores_the_mean_and_the_size_of_features_and_variance_does_not_ignore_their_size() -> None:
    first, second = rows_of(6, 4), rows_of(6, 4, seed=1)
    moved = first * torch.tensor([0.5, 2.0, 7.0, 1.0]) - 4.0
    torch.testing.assert_close(cross_correlation(moved, second, 0.0), cross_correlation(first, second, 0.0))
    assert variance(first + 4.0).item() == pytest.approx(variance(first).item())
    assert variance(0.5 * first).item() > variance(first).item()


def test_descending_the_variance_term_spreads_every_feature_up_to_the_floor() -> None:
    rows = (0.01 * rows_of(8, 4)).requires_grad_()
    optimiser = torch.optim.SGD([rows], lr=1.0)
    for _ in range(300):
        optimiser.zero_grad()
        variance(rows).backward()
        optimiser.step()
    spread = rows.detach().std(0)
    assert spread.min() > 0.99
    assert spread.max() < 1.2


def test_gradients_are_those_of_the_functions() -> None:
    first, second = 0.5 * rows_of(5, 3).requires_grad_(), rows_of(5, 3, seed=1).requires_grad_()
    for part in (on_diagonal, off_diagonal):
        assert torch.autograd.gradcheck(lambda *both, p=part: p(cross_correlation(*both)), (first, second))
    assert torch.autograd.gradcheck(invariance, (first, second))
    assert torch.autograd.gradcheck(variance, first)
    assert torch.autograd.gradcheck(covariance, first)
