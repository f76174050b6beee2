"""Shares of a batch, and what two real processes make of each other's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from selfie_hear.config import ConfigError
from tests.training.processes import CPU, in_ranks
from training.ranks import ALONE, Ranks, RanksError, joined_ranks

ROWS, INPUTS, OUTPUTS = 6, 4, 3


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_shares_follow_each_other_and_are_equal(count: int) -> None:
    shares = [np.arange(12)[Ranks(index, count).share(12)] for index in range(count)]
    assert {len(share) for share in shares} == {12 // count}
    assert np.concatenate(shares).tolist() == list(range(12))


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_rows_of_all_processes_together_are_each_part_in_order(count: int, parts: int) -> None:
    """Part p is rows [p m, (p + 1) m) whatever the number of processes: gathered, it is in the order of the batch."""
    rows = [Ranks(index, count).rows(24, parts).reshape(parts, -1) for index in range(count)]
    gathered = np.concatenate(rows, axis=1)
    assert gathered.tolist() == np.arange(24).reshape(parts, -1).tolist()


def test_rows_by_hand() -> None:
    assert Ranks(0, 2).rows(8, 2).tolist() == [0, 1, 4, 5]
    assert Ranks(1, 2).rows(8, 2).tolist() == [2, 3, 6, 7]


@pytest.mark.parametrize(("batch", "parts", "total"), [(8, 1, 8), (12, 2, 6), (36, 4, 9)])
def test_rows_that_cannot_be_shared_out_are_refused(batch: int, parts: int, total: int) -> None:
    complaint = f"{total} crops cannot be shared out evenly among 5 processes: batch / accumulate must be a multiple"
    with pytest.raises(ConfigError, match=complaint):
        Ranks(0, 5).rows(batch, parts)


def test_alone_everything_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined_ranks(CPU) as ranks:
        assert ranks == ALONE == Ranks(0, 1)
        assert ranks.first
        assert not dist.is_initialized()
    rows = torch.ones(2, 3, requires_grad=True)
    assert ALONE.gather(rows) is rows
    assert ALONE.mean(rows) is rows
    assert [ALONE.any(flag) for flag in (False, True)] == [False, True]


# Two processes, once, with everything that the tests after this compare.


def whole_batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(ROWS, INPUTS, generator=generator, dtype=torch.float64)
    return batch, torch.randn(INPUTS, OUTPUTS, generator=generator, dtype=torch.float64)


def statistic(rows: Tensor) -> Tensor:
    """A loss of all rows at once, which is not the mean of the losses of some."""
    return (rows - rows.mean(0)).pow(4).mean().sqrt() + (rows[0] * rows[-1]).sum()


def weighted(rows: Tensor, rank: int) -> Tensor:
    """A loss that is another one in each process."""
    return (torch.arange(1.0, len(rows) + 1, dtype=torch.float64)[:, None] * rows**3).sum() * (rank + 1) ** 2


def collectives() -> dict[str, Any]:
    with joined_ranks(CPU) as ranks:
        mine = ranks.share(ROWS)
        batch, weight = whole_batch()
        found: dict[str, Any] = {"place": (ranks.index, ranks.count, ranks.first)}
        found["gather"] = ranks.gather(batch[mine])
        found["gather_transposed"] = ranks.gather(batch.T.contiguous().T[mine])
        found["gather_integers"] = ranks.gather(torch.tensor([10 + ranks.index]))
        found["gather_bfloat16"] = ranks.gather(batch[mine].bfloat16())
        value = torch.tensor([1.0, 10.0]) * (ranks.index + 1)
        found["mean"] = ranks.mean(value.requires_grad_())
        found["mean_of"] = value.detach()
        found["any"] = [ranks.any(flag) for flag in (False, ranks.first, not ranks.first, True)]

        rows, weights = batch[mine].clone().requires_grad_(), weight.clone().requires_grad_()
        loss = statistic(ranks.gather(rows @ weights))
        loss.backward()
        found["same"] = loss.detach(), rows.grad, weights.grad

        rows = batch[mine].clone().requires_grad_()
        weighted(ranks.gather(rows), ranks.index).backward()
        found["own"] = rows.grad

        layer = nn.Linear(INPUTS, OUTPUTS, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(weight.T)
        network = DistributedDataParallel(layer)
        statistic(ranks.gather(network(batch[mine]))).backward()
        found["averaged"] = layer.weight.grad
        del network  # see joined_ranks
        ranks.any(False)
    found["left"] = not dist.is_initialized()
    return found


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return in_ranks(2, collectives)


def test_processes_know_their_place_and_leave_nothing(found: list[dict[str, Any]]) -> None:
    assert [there["place"] for there in found] == [(0, 2, True), (1, 2, False)]
    assert all(there["left"] for there in found)


def test_rows_are_gathered_in_the_order_of_the_batch(found: list[dict[str, Any]]) -> None:
    batch, _ = whole_batch()
    for there in found:
        assert torch.equal(there["gather"], batch)
        assert torch.equal(there["gather_transposed"], batch)
        assert torch.equal(there["gather_bfloat16"], batch.bfloat16())
        assert there["gather_integers"].tolist() == [10, 11]


def test_mean_is_that_of_all_processes_and_has_no_gradient(found: list[dict[str, Any]]) -> None:
    for rank, there in enumerate(found):
        assert there["mean"].tolist() == [1.5, 15.0]
        assert not there["mean"].requires_grad
        assert there["mean_of"].tolist() == [rank + 1, 10 * (rank + 1)]  # untouched


def test_any_is_true_where_it_is_in_one_process(found: list[dict[str, Any]]) -> None:
    assert [there["any"] for there in found] == [[False, True, True, True]] * 2


def test_gradient_of_a_common_loss_is_that_of_one_process_after_averaging(found: list[dict[str, Any]]) -> None:
    batch, weight = whole_batch()
    rows, weights = batch.requires_grad_(), weight.requires_grad_()
    loss = statistic(rows @ weights)
    loss.backward()
    assert rows.grad is not None and weights.grad is not None
    mean = torch.stack([there["same"][2] for there in found]).mean(0)
    torch.testing.assert_close(mean, weights.grad, rtol=1e-12, atol=1e-13)
    for rank, there in enumerate(found):
        torch.testing.assert_close(there["same"][0], loss.detach(), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(there["same"][1] / 2, rows.grad[Ranks(rank, 2).share(ROWS)], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(there["averaged"], weights.grad.T, rtol=1e-12, atol=1e-13)


def test_gradient_of_a_loss_of_each_process_is_the_sum_over_processes(found: list[dict[str, Any]]) -> None:
    rows = whole_batch()[0].requires_grad_()
    (weighted(rows, 0) + weighted(rows, 1)).backward()
    assert rows.grad is not None
    for rank, there in enumerate(found):
        torch.testing.assert_close(there["own"], rows.grad[Ranks(rank, 2).share(ROWS)], rtol=1e-12, atol=1e-13)


def one_that_stops(in_backward: bool) -> str:
    """The first gives up while the other waits for it, in a collective or in the backward pass."""
    try:
        with joined_ranks(CPU) as ranks:
            network = DistributedDataParallel(nn.Linear(3, 2))
            if ranks.first:
                raise ConfigError("my own reason")
            if in_backward:
                network(torch.ones(1, 3)).sum().backward()
            ranks.any(False)
    except (ConfigError, RanksError) as error:
        return f"{type(error).__name__}: {error}"
    return "went on"


def one_that_is_wrong() -> str:
    try:
        with joined_ranks(CPU):
            raise RuntimeError("of another kind")
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("in_backward", [False, True])
def test_a_process_whose_fellow_has_stopped_says_so_and_stops_too(in_backward: bool) -> None:
    assert in_ranks(2, one_that_stops, in_backward) == [
        "ConfigError: my own reason",
        "RanksError: another process has stopped, see its own error",
    ]


def test_other_errors_pass() -> None:
    assert in_ranks(2, one_that_is_wrong) == ["RuntimeError: of another kind"] * 2
