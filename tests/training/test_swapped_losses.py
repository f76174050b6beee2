"""Sinkhorn's codes and the swapped prediction against slow second implementations, and at their limits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.losses.swapped import sinkhorn, swapped_prediction

SHAPES = [(1, 3), (2, 2), (6, 4), (4, 9)]


def cosines(n: int, k: int, seed: int = 0) -> Tensor:
    return 2 * torch.rand(n, k, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) - 1


def slow_sinkhorn(scores: Tensor, epsilon: float, iterations: int) -> list[list[float]]:
    """As SwAV's authors print it: a matrix of total 1, whose prototypes then samples are scaled to 1 / k and 1 / n."""
    n, k = scores.shape
    codes = [[math.exp(score / epsilon) for score in row] for row in scores.tolist()]
    total = sum(map(sum, codes))
    codes = [[value / total for value in row] for row in codes]
    for _ in range(iterations):
        columns = [sum(row[j] for row in codes) for j in range(k)]
        codes = [[row[j] / columns[j] / k for j in range(k)] for row in codes]
        codes = [[value / sum(row) / n for value in row] for row in codes]
    return [[n * value for value in row] for row in codes]


def slow_cross_entropy(scores: Tensor, codes: list[list[float]], temperature: float) -> float:
    total = 0.0
    for row, code in zip(scores.tolist(), codes, strict=True):
        normaliser = sum(math.exp(score / temperature) for score in row)
        total -= sum(q * math.log(math.exp(s / temperature) / normaliser) for s, q in zip(row, code, strict=True))
    return total / len(codes)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_codes_are_those_of_the_plain_algorithm(n: int, k: int, iterations: int) -> None:
    scores = cosines(n, k)
    expected = torch.tensor(slow_sinkhorn(scores, 0.05, iterations), dtype=torch.float64)
    torch.testing.assert_close(sinkhorn(scores, 0.05, iterations), expected, rtol=1e-9, atol=1e-12)


def test_codes_of_a_row_sum_to_one_and_prototypes_come_to_share_the_rows() -> None:
    scores = cosines(12, 4) + torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64)  # all are nearest to the first
    few, many = sinkhorn(scores, 0.5, 1), sinkhorn(scores, 0.5, 100)
    even = torch.full((4,), 3.0, dtype=torch.float64)
    torch.testing.assert_close(few.sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(many.sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(many.sum(0), even)
    unbalanced = (scores / 0.5).softmax(1).sum(0)
    assert (unbalanced - even).abs().max() > 10 * (few.sum(0) - even).abs().max()


def test_equal_rows_and_a_row_alone_are_given_to_all_prototypes_alike() -> None:
    for scores in (cosines(1, 5), cosines(1, 5).expand(7, 5), torch.zeros(3, 5).double()):
        torch.testing.assert_close(sinkhorn(scores, 0.05, 3), torch.full_like(scores, 0.2))


def test_a_small_epsilon_gives_each_row_to_one_prototype_without_overflow() -> None:
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2]])  # both are nearest to the first
    codes = sinkhorn(scores, 1e-4, 3)  # exp(0.9 / 1e-4) is far beyond float32
    torch.testing.assert_close(codes, torch.eye(2))


@pytest.mark.parametrize(("n", "k"), SHAPES)
def test_each_view_predicts_the_code_of_the_other(n: int, k: int) -> None:
    first, second = cosines(n, k), cosines(n, k, seed=1)
    codes = [slow_sinkhorn(scores, 0.05, 3) for scores in (first, second)]
    expected = (slow_cross_entropy(first, codes[1], 0.1) + slow_cross_entropy(second, codes[0], 0.1)) / 2
    assert swapped_prediction(first, second, 0.1, 0.05, 3).item() == pytest.approx(expected, abs=1e-10)
    assert swapped_prediction(second, first, 0.1, 0.05, 3).item() == pytest.approx(expected, abs=1e-10)


def test_zero_scores_give_the_loss_of_guessing_and_no_gradient() -> None:
    zeros = torch.zeros(4, 6, requires_grad=True)
    loss = swapped_prediction(zeros, zeros, 0.1, 0.05, 3)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(6))
    assert zeros.grad is not None
    torch.testing.assert_close(zeros.grad, torch.zeros(4, 6))


def test_no_gradient_goes_through_the_codes() -> None:
    """That of a cross entropy with fixed targets: (softmax - code) / temperature, of half the mean over rows."""
    first, second = cosines(5, 3).requires_grad_(), cosines(5, 3, seed=1).requires_grad_()
    swapped_prediction(first, second, 0.1, 0.05, 3).backward()
    for scores, other in ((first, second), (second, first)):
        expected = ((scores / 0.1).softmax(1) - sinkhorn(other, 0.05, 3)) / 0.1 / 5 / 2
        assert scores.grad is not None
        torch.testing.assert_close(scores.grad, expected.detach())
