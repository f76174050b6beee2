"""The contrastive losses against slow second implementations, and what becomes of them at their limits."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.contrastive import (
    NOBODY,
    Candidates,
    accuracy,
    across_views,
    against_memory,
    bilinear,
    estimated_log_normaliser,
    info_nce,
    nce,
    unit,
)

SHAPES = [(1, 3), (2, 3), (5, 4), (9, 2)]
CLIPS = {"different": [7, 1, 3, 0, 2, 9, 4, 6, 8], "some twice": [7, 1, 7, 0, 1, 7, 4, 6, 0]}
TEMPERATURE = 0.2


def unit_rows(n: int, d: int, seed: int = 0) -> Tensor:
    rows = torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def slow_softmax_loss(positive: float, negatives: list[float]) -> float:
    return -math.log(math.exp(positive) / (math.exp(positive) + sum(math.exp(score) for score in negatives)))


def slow_cola(anchors: Tensor, others: Tensor, weight: Tensor, clips: list[int]) -> float:
    """Equations 2 and 3 of augmented contrastive learning, entry by entry; the negatives are other clips."""
    z, other, w = anchors.tolist(), others.tolist(), weight.tolist()
    n, d = len(z), len(w)

    def score(i: int, j: int) -> float:
        return sum(z[i][a] * w[a][b] * other[j][b] for a in range(d) for b in range(d))

    return (
        sum(slow_softmax_loss(score(i, i), [score(i, j) for j in range(n) if clips[j] != clips[i]]) for i in range(n))
        / n
    )


def slow_nt_xent(first: Tensor, second: Tensor, clips: list[int]) -> float:
    """Each of the 2n views against its partner and every view of other clips."""
    rows, owners, n = first.tolist() + second.tolist(), clips + clips, len(clips)
    losses = []
    for i, row in enumerate(rows):
        partner = i + n if i < n else i - n
        negatives = [dot(row, rows[j]) / TEMPERATURE for j in range(2 * n) if owners[j] != owners[i]]
        losses.append(slow_softmax_loss(dot(row, rows[partner]) / TEMPERATURE, negatives))
    return sum(losses) / len(losses)


def slow_moco(queries: Tensor, keys: Tensor, queue: list[tuple[list[float], int]], clips: list[int]) -> float:
    """Each query against its key and the keys of other clips in the queue."""
    losses = []
    for query, key, clip in zip(queries.tolist(), keys.tolist(), clips, strict=True):
        negatives = [dot(query, old) / TEMPERATURE for old, owner in queue if owner != clip]
        losses.append(slow_softmax_loss(dot(query, key) / TEMPERATURE, negatives))
    return sum(losses) / len(losses)


def slow_nce(candidates: Candidates, normaliser: float, clips: int) -> float:
    """With the posterior h as it is printed."""
    rows = candidates.scores.tolist()
    m = len(rows[0]) - 1

    def posterior(score: float) -> float:
        probability = math.exp(score) / normaliser
        return probability / (probability + m * (1 / clips))

    return sum(
        -math.log(posterior(positive)) - sum(math.log(1 - posterior(score)) for score in noise)
        for positive, *noise in rows
    ) / len(rows)


def first_of(name: str, n: int) -> tuple[list[int], Tensor]:
    return CLIPS[name][:n], torch.tensor(CLIPS[name][:n])


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_cola_is_equation_3(n: int, d: int, name: str) -> None:
    anchors, others, weight = unit_rows(n, d), unit_rows(n, d, seed=1), unit_rows(d, d, seed=2)
    known, clips = first_of(name, n)
    found = info_nce(bilinear(anchors, others, weight, clips)).item()
    assert found == pytest.approx(slow_cola(anchors, others, weight, known), abs=1e-12)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_nt_xent_is_the_softmax_over_all_other_views(n: int, d: int, name: str) -> None:
    first, second = unit_rows(n, d), unit_rows(n, d, seed=1)
    known, clips = first_of(name, n)
    found = info_nce(across_views(first, second, clips, TEMPERATURE)).item()
    assert found == pytest.approx(slow_nt_xent(first, second, known), abs=1e-12)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_moco_is_the_softmax_over_the_key_and_the_filled_places_of_the_queue(n: int, d: int, name: str) -> None:
    queries, keys, memory = unit_rows(n, d), unit_rows(n, d, seed=1), unit_rows(5, d, seed=2)
    owners = [1, NOBODY, 7, 12, NOBODY]
    known, clips = first_of(name, n)
    found = info_nce(against_memory(queries, keys, memory, clips, torch.tensor(owners), TEMPERATURE)).item()
    queue = [(key, owner) for key, owner in zip(memory.tolist(), owners, strict=True) if owner != NOBODY]
    assert found == pytest.approx(slow_moco(queries, keys, queue, known), abs=1e-12)


@pytest.mark.parametrize("noise", [1, 4, 30])
def test_nce_is_the_log_posterior_of_data_and_noise(noise: int) -> None:
    scores = 3.0 * torch.randn(5, 1 + noise, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    candidates = Candidates(scores, torch.zeros(5, dtype=torch.int64))
    found = nce(candidates, torch.tensor(40.0, dtype=torch.float64).log(), clips=20).item()
    assert found == pytest.approx(slow_nce(candidates, 40.0, 20), abs=1e-10)


def test_nce_where_data_and_noise_are_equally_likely() -> None:
    """P = m / N everywhere: both posteriors are one half, for one positive and m noise samples."""
    candidates = Candidates(torch.zeros(3, 6), torch.zeros(3, dtype=torch.int64))
    assert nce(candidates, torch.tensor(4.0).log(), clips=20).item() == pytest.approx(6 * math.log(2))


def test_noise_of_the_own_clip_counts_nothing() -> None:
    rows, memory = unit_rows(2, 3), unit_rows(4, 3, seed=1)
    zero = torch.tensor(0.0, dtype=torch.float64)
    clips, owners = torch.tensor([5, 6]), torch.tensor([1, 5, 2, 5])
    found = [
        nce(Candidates(scores[None], torch.tensor([0])), zero, clips=8).item()
        for scores in against_memory(rows, rows, memory, clips, owners, 1.0).scores
    ]
    for row, kept, value in zip(rows.tolist(), ([0, 2], [0, 1, 2, 3]), found, strict=True):
        even = 4 / 8
        noise = sum(math.log(1 + math.exp(dot(row, memory[j].tolist())) / even) for j in kept)
        assert value == pytest.approx(math.log(1 + even / math.e) + noise, abs=1e-12)


def test_the_normaliser_is_exact_where_the_noise_is_every_clip_once() -> None:
    rows, bank = unit_rows(3, 4), unit_rows(7, 4, seed=1)
    totals = [sum(math.exp(dot(row, vector) / TEMPERATURE) for vector in bank.tolist()) for row in rows.tolist()]
    found = estimated_log_normaliser(rows.requires_grad_(), bank, 7, TEMPERATURE)
    assert not found.requires_grad
    assert found.exp().item() == pytest.approx(sum(totals) / 3)
    twice = estimated_log_normaliser(rows, bank.repeat(2, 1), 7, TEMPERATURE)
    assert twice.item() == pytest.approx(found.item())


def test_accuracy_by_hand() -> None:
    scores = torch.tensor([[3.0, 1.0, 2.0], [3.0, 1.0, 2.0], [1.0, 1.0, -math.inf], [-5.0, -math.inf, -math.inf]])
    picked = accuracy(Candidates(scores.requires_grad_(), torch.tensor([0, 2, 1, 0])))
    assert picked.item() == 0.5  # found; not found; a tie; the only one
    assert not picked.requires_grad


def test_accuracy_of_a_collapsed_batch_is_0_and_its_loss_is_that_of_guessing() -> None:
    rows = torch.tensor([[0.6, 0.8]]).expand(4, 2)
    clips, owners = torch.arange(4), torch.arange(4, 9)
    for candidates, count in (
        (bilinear(rows, rows, torch.eye(2), clips), 4),
        (across_views(rows, rows, clips, TEMPERATURE), 7),
        (against_memory(rows, rows, rows[:1].expand(5, 2), clips, owners, TEMPERATURE), 6),
    ):
        assert info_nce(candidates).item() == pytest.approx(math.log(count), abs=1e-6)
        assert accuracy(candidates).item() == 0.0


def test_pairs_that_are_alike_and_clips_that_are_not_are_told_apart() -> None:
    axes, clips = torch.eye(4), torch.arange(4)
    right, wrong = (across_views(axes, axes.roll(shift, 0), clips, 0.05) for shift in (0, 1))
    assert info_nce(right).item() < 1e-6
    assert accuracy(right).item() == 1.0
    assert info_nce(wrong).item() == pytest.approx(20.0, abs=0.01)
    assert accuracy(wrong).item() == 0.0


def test_a_row_without_negatives_gives_no_loss_and_no_gradient() -> None:
    """A batch of one, a batch of one clip, an empty queue."""
    for n in (1, 4):
        rows, clips = unit_rows(n, 3).requires_grad_(), torch.zeros(n, dtype=torch.int64)
        other, memory, empty = unit_rows(n, 3, seed=1), torch.zeros(6, 3).double(), torch.full((6,), NOBODY)
        for candidates in (
            bilinear(rows, other, torch.eye(3).double(), clips),
            across_views(rows, other, clips, TEMPERATURE),
            against_memory(rows, other, memory, clips, empty, TEMPERATURE),
        ):
            loss = info_nce(candidates)
            assert loss.item() == 0.0
            assert torch.equal(*torch.autograd.grad(loss, rows), torch.zeros_like(rows))


def test_zero_rows_stay_zero_and_give_finite_losses_and_gradients() -> None:
    raw = torch.zeros(3, 4, requires_grad=True)
    rows, clips = unit(raw), torch.arange(3)
    assert torch.equal(rows, torch.zeros(3, 4))
    bank = F.normalize(torch.ones(5, 4), dim=1)
    among = against_memory(rows, bank[:3], bank, clips, torch.arange(3, 8), TEMPERATURE)
    for loss, expected in (
        (info_nce(across_views(rows, rows, clips, TEMPERATURE)), math.log(5)),
        (info_nce(among), math.log(6)),
        (nce(among, torch.tensor(0.0), clips=5), 6 * math.log(2)),
    ):
        assert loss.item() == pytest.approx(expected, abs=1e-6)
        assert torch.autograd.grad(loss, raw, retain_graph=True)[0].isfinite().all()


def test_low_temperatures_do_not_overflow() -> None:
    rows, clips = unit_rows(4, 3).float().requires_grad_(), torch.arange(4)
    among = against_memory(rows, -rows, unit_rows(6, 3, seed=1).float(), clips, torch.arange(4, 10), 1e-4)
    log_normaliser = estimated_log_normaliser(rows, unit_rows(6, 3, seed=1).float(), 10, 1e-4)
    for loss in (info_nce(among), info_nce(across_views(rows, -rows, clips, 1e-4)), nce(among, log_normaliser, 10)):
        assert loss.isfinite()
        assert loss > 1e3
        assert torch.autograd.grad(loss, rows, retain_graph=True)[0].isfinite().all()


def test_gradients_are_those_of_the_functions_and_reach_neither_keys_nor_memory() -> None:
    rows, other, memory = (unit_rows(4, 3, seed).requires_grad_() for seed in range(3))
    weight, zero = unit_rows(3, 3, seed=3).requires_grad_(), torch.tensor(0.0, dtype=torch.float64)
    clips, owners = torch.tensor([0, 1, 0, 2]), torch.tensor([1, 5, NOBODY, 6])

    def among(rows: Tensor) -> Candidates:
        return against_memory(rows, other, memory, clips, owners, TEMPERATURE)

    assert torch.autograd.gradcheck(lambda *inputs: info_nce(bilinear(*inputs, clips)), (rows, other, weight))
    assert torch.autograd.gradcheck(lambda *both: info_nce(across_views(*both, clips, TEMPERATURE)), (rows, other))
    assert torch.autograd.gradcheck(lambda rows: info_nce(among(rows)), rows)
    assert torch.autograd.gradcheck(lambda rows: nce(among(rows), zero, clips=9), rows)
    (info_nce(among(rows)) + nce(among(rows), zero, clips=9)).backward()
    assert rows.grad is not None and other.grad is None and memory.grad is None
