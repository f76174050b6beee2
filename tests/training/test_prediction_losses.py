"""SimSiam's and Hybrid BYOL-S's losses against slow second implementations, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.losses.prediction import negative_cosine, squared_error

SHAPES = [(1, 3), (2, 3), (5, 4), (4, 1)]


def rows_of(n: int, d: int, seed: int = 0) -> Tensor:
    return 3.0 * torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_negative_cosine(predictions: Tensor, targets: Tensor) -> float:
    total = 0.0
    for p, z in zip(predictions.tolist(), targets.tolist(), strict=True):
        product = sum(a * b for a, b in zip(p, z, strict=True))
        total += product / (math.sqrt(sum(a * a for a in p)) * math.sqrt(sum(b * b for b in z)))
    return -total / len(predictions)


def slow_squared_error(predictions: Tensor, targets: Tensor) -> float:
    pairs = list(zip(predictions.flatten().tolist(), targets.flatten().tolist(), strict=True))
    return sum((a - b) ** 2 for a, b in pairs) / len(pairs)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_negative_cosine_is_minus_the_mean_cosine_of_the_pairs(n: int, d: int) -> None:
    predictions, targets = rows_of(n, d), rows_of(n, d, seed=1)
    expected = slow_negative_cosine(predictions, targets)
    assert negative_cosine(predictions, targets).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_squared_error_is_the_mean_over_rows_and_values(n: int, d: int) -> None:
    predictions, targets = rows_of(n, d), rows_of(n, d, seed=1)
    expected = slow_squared_error(predictions, targets)
    assert squared_error(predictions, targets).item() == pytest.approx(expected, abs=1e-12)


def test_negative_cosine_runs_from_minus_1_for_equal_to_1_for_opposite_directions() -> None:
    rows = rows_of(6, 5)
    assert negative_cosine(rows, 7.0 * rows).item() == pytest.approx(-1.0)
    assert negative_cosine(rows, -0.1 * rows).item() == pytest.approx(1.0)


def test_a_zero_row_counts_0_and_its_gradient_is_finite() -> None:
    predictions, targets = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True), torch.tensor([[1.0, 0.0]] * 2)
    loss = negative_cosine(predictions, targets)
    assert loss.item() == pytest.approx(-0.3)
    loss.backward()
    assert predictions.grad is not None and predictions.grad.isfinite().all()
    assert negative_cosine(predictions, torch.zeros(2, 2)).item() == 0.0


def test_no_gradient_goes_into_the_targets_of_negative_cosine() -> None:
    predictions, targets = rows_of(4, 3).requires_grad_(), rows_of(4, 3, seed=1).requires_grad_()
    negative_cosine(predictions, targets).backward()
    assert targets.grad is None
    assert predictions.grad is not None and predictions.grad.abs().min() > 0


def test_squared_error_of_the_targets_themselves_is_0_and_of_0_their_mean_square() -> None:
    targets = rows_of(5, 4)
    assert squared_error(targets, targets).item() == 0.0
    assert squared_error(torch.zeros(5, 4).double(), targets).item() == pytest.approx(targets.square().mean().item())


def test_squared_error_of_shapes_that_only_broadcasting_fits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predictions are \(4, 3\), targets \(1, 3\): must be alike"):
        squared_error(rows_of(4, 3), rows_of(1, 3))


def test_gradients_are_those_of_the_functions() -> None:
    predictions, targets = rows_of(4, 3).requires_grad_(), rows_of(4, 3, seed=1)
    assert torch.autograd.gradcheck(lambda rows: negative_cosine(rows, targets), predictions)
    assert torch.autograd.gradcheck(lambda rows: squared_error(rows, targets), predictions)
