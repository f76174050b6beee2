"""BatchNorm over the rows of two real processes against the library's over the whole batch."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tests.training.processes import CPU, in_ranks
from training.batch_norm import GlobalBatchNorm, over_all_ranks
from training.ranks import ALONE, Ranks, joined_ranks

CUDA = torch.device("cuda")  # only named: nothing is put there


@dataclass(frozen=True)
class Case:
    kind: type[_BatchNorm]
    shape: tuple[int, ...]  # of the whole batch
    momentum: float | None = 0.1
    memory: torch.memory_format = torch.contiguous_format
    offset: float = 1.0  # of the values: a mean that is large beside the deviation costs digits


CASES = {
    "rows": Case(nn.BatchNorm1d, (8, 5)),
    "one row each": Case(nn.BatchNorm1d, (2, 3)),
    "rows of frames": Case(nn.BatchNorm1d, (6, 4, 7)),
    "planes": Case(nn.BatchNorm2d, (6, 3, 4, 5)),
    "planes, channels last": Case(nn.BatchNorm2d, (6, 3, 4, 5), memory=torch.channels_last),
    "one channel": Case(nn.BatchNorm2d, (4, 1, 6, 5)),
    "far from zero": Case(nn.BatchNorm1d, (10, 3), offset=100.0),
    "target": Case(nn.BatchNorm1d, (8, 5), momentum=0.0),
    "cumulative": Case(nn.BatchNorm2d, (4, 3, 2, 2), momentum=None),
}


def network(case: Case) -> nn.Sequential:
    """With an affine map that is not the identity, and statistics that are not the initial ones."""
    norm = case.kind(case.shape[1], momentum=case.momentum, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in (norm.weight, norm.bias, norm.running_mean):
            assert value is not None
            value.copy_(torch.randn(value.shape, generator=generator))
    return nn.Sequential(norm)


def passes(case: Case, ranks: Ranks, device: torch.device) -> dict[str, Any]:
    """Two training passes and one in eval mode, each process with its rows; the loss is a sum over rows."""
    norm = network(case)
    if ranks.count > 1:
        over_all_ranks(norm, device)
    generator = torch.Generator().manual_seed(0)
    found: dict[str, Any] = {"kind": type(norm[0]).__name__, "outputs": [], "gradients": [], "dense": []}
    for _ in range(2):
        x, slope = torch.randn((2, *case.shape), generator=generator, dtype=torch.float64)
        x = (case.offset + x * torch.arange(1.0, case.shape[1] + 1).view(-1, *[1] * (len(case.shape) - 2))).double()
        mine = ranks.share(case.shape[0])
        rows = x[mine].contiguous(memory_format=case.memory).requires_grad_()
        y = norm(rows)
        (y * slope[mine] + y.pow(3)).sum().backward()
        found["outputs"].append(y.detach())
        found["gradients"].append(rows.grad)
        found["dense"].append(y.is_contiguous(memory_format=case.memory))
    found["weights"] = [value.grad for value in norm.parameters()]
    found["state"] = norm.state_dict()
    with torch.no_grad():
        found["eval"] = norm.eval()(x[mine])
    return found


def half_precision(ranks: Ranks) -> dict[str, Tensor]:
    """A convolution under autocast, whose output is bfloat16."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    if ranks.count > 1:
        over_all_ranks(layers, CPU)
    x = torch.randn(8, 2, 9, 9, generator=torch.Generator().manual_seed(2))[ranks.share(8)]
    with torch.autocast("cpu", torch.bfloat16):
        y = layers(x)
        y.float().pow(3).mean().backward()
    gradients = {f"gradient {name}": value.grad for name, value in layers.named_parameters()}
    return {"y": y.detach(), **gradients, **layers.state_dict()}


def constant_slope(ranks: Ranks) -> Tensor:
    """The gradient that sum() hands back is one number, expanded."""
    norm = over_all_ranks(nn.Sequential(nn.BatchNorm2d(3)), CPU)
    rows = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(3))[ranks.share(4)].requires_grad_()
    norm(rows).sum().backward()
    assert rows.grad is not None
    return rows.grad


def everything() -> dict[str, Any]:
    with joined_ranks(CPU) as ranks:
        found: dict[str, Any] = {name: passes(case, ranks, CPU) for name, case in CASES.items()}
        return {**found, "half": half_precision(ranks), "constant slope": constant_slope(ranks)}


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    return in_ranks(2, everything)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_normalise_as_one_does_the_whole_batch(found: list[dict[str, Any]], name: str) -> None:
    case, whole = CASES[name], passes(CASES[name], ALONE, CPU)
    parts = [there[name] for there in found]
    assert {part["kind"] for part in parts} == {"GlobalBatchNorm"}
    for number in range(2):
        for what in ("outputs", "gradients"):
            close(torch.cat([part[what][number] for part in parts]), whole[what][number])
        assert all(part["dense"][number] for part in parts)
    for number in range(2):  # weight and bias: each process has the gradient of what its own rows did
        close(torch.stack([part["weights"][number] for part in parts]).sum(0), whole["weights"][number])
    close(torch.cat([part["eval"] for part in parts]), whole["eval"])
    for part in parts:
        assert list(part["state"]) == list(whole["state"])
        assert part["state"]["0.num_batches_tracked"] == 2
        for value, expected in zip(part["state"].values(), whole["state"].values(), strict=True):
            close(value, expected)
    if case.momentum == 0.0:
        assert torch.equal(whole["state"]["0.running_mean"], network(case)[0].running_mean)


def test_in_bfloat16_statistics_and_gradients_stay_in_float32(found: list[dict[str, Any]]) -> None:
    whole, parts = half_precision(ALONE), [there["half"] for there in found]
    assert all(part["y"].dtype == whole["y"].dtype == torch.bfloat16 for part in parts)
    torch.testing.assert_close(torch.cat([part["y"] for part in parts]), whole["y"], rtol=0.02, atol=0.02)
    for part in parts:
        for name in ("1.running_mean", "1.running_var"):
            assert part[name].dtype == torch.float32
            torch.testing.assert_close(part[name], whole[name], rtol=1e-4, atol=1e-4)
    for name in ("gradient 0.weight", "gradient 1.weight", "gradient 1.bias"):
        mean = torch.stack([part[name] for part in parts]).mean(0)  # each has the mean over its own rows
        assert mean.dtype == torch.float32
        torch.testing.assert_close(mean, whole[name], rtol=0.03, atol=0.01)


def test_gradient_that_is_one_number_for_all_values_vanishes(found: list[dict[str, Any]]) -> None:
    for there in found:
        torch.testing.assert_close(there["constant slope"], torch.zeros(2, 3, 2, 2), rtol=0, atol=1e-6)


def test_a_tensor_without_channels_is_refused() -> None:
    for norm in (GlobalBatchNorm(3), GlobalBatchNorm(3).eval()):
        with pytest.raises(ValueError, match=r"expected \(B, C, ...\), got \(3,\)"):
            norm(torch.zeros(3))


class Nested(nn.Module):
    """BatchNorms at several depths, one that does not learn and one in eval mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3, eps=1e-3, momentum=0.0)
        self.heads = nn.ModuleDict({"a": nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4, momentum=None))})
        self.last = nn.BatchNorm1d(2, dtype=torch.float64)
        self.first.requires_grad_(False)
        self.last.eval()


@pytest.mark.parametrize(("device", "kind"), [(CPU, GlobalBatchNorm), (CUDA, nn.SyncBatchNorm)])
def test_conversion_keeps_all_but_the_kind(device: torch.device, kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    before = Nested()
    with torch.no_grad():
        for value in before.state_dict().values():
            value.copy_(torch.randn(value.shape) * 10)
    after = over_all_ranks(copy.deepcopy(before), device)
    assert isinstance(after, Nested)
    norms = (after.first, after.heads["a"][1], after.last)
    assert [type(norm) for norm in norms] == [kind] * 3
    assert [norm.momentum for norm in norms] == [0.0, None, 0.1]
    assert [norm.training for norm in norms] == [True, True, False]
    assert after.first.eps == 1e-3
    ours, theirs = after.state_dict(), before.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in theirs)
    learning = {name: value.requires_grad for name, value in after.named_parameters()}
    assert learning == {name: value.requires_grad for name, value in before.named_parameters()}
    assert learning["first.weight"] is False and learning["last.weight"] is True


@pytest.mark.parametrize(("device", "kind"), [(CPU, GlobalBatchNorm), (CUDA, nn.SyncBatchNorm)])
def test_a_batch_norm_by_itself_is_converted(device: torch.device, kind: type[nn.Module]) -> None:
    assert type(over_all_ranks(nn.BatchNorm1d(3), device)) is kind
