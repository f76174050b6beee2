"""The device of a process, and the precision that suits it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from selfie_hear.config import ConfigError
from training.device import local_device, resolve_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def many_gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A machine that has any GPU; returns those that were tried."""
    tried: list[torch.device] = []

    def zeros(*_: Any, device: torch.device) -> Tensor:
        tried.append(device)
        return torch.tensor([0.0])

    monkeypatch.setattr(torch, "zeros", zeros)
    return tried


def test_the_cpu_is_the_cpu_whatever_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device("cpu") == CPU


@pytest.mark.parametrize(
    ("name", "rank", "index"), [("cuda", None, 0), ("cuda", "0", 0), ("cuda", "3", 3), ("cuda:1", "3", 1)]
)
def test_cuda_is_the_one_of_the_rank_and_a_number_is_that_number(
    monkeypatch: pytest.MonkeyPatch, many_gpus: list[torch.device], name: str, rank: str | None, index: int
) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert local_device(name) == torch.device("cuda", index)
    assert many_gpus == [torch.device("cuda", index)]


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99", "cuda:x", "meta", "hpu", "xla"])
def test_a_device_that_is_not_there_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ConfigError, match=rf"^--device {name}: cannot be used \(.+\); this machine has cpu") as caught:
        local_device(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ConfigError, match="--device cuda: cannot be used"):
        local_device("cuda")


def test_one_device_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"--device cuda:0: cannot be used \(one for all processes of this machine"):
        local_device("cuda:0")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("device", [CPU, CUDA, torch.device("mps")])
def test_a_stated_precision_stays(precision: str, device: torch.device) -> None:
    assert resolve_precision(precision, device) == precision


@pytest.mark.parametrize(("supported", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_the_hardware_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, supported: bool, expected: str
) -> None:
    def by_gpu(including_emulation: bool = True) -> bool:
        return supported or including_emulation  # any GPU emulates it

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", by_gpu)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: not supported)
    assert resolve_precision("auto", CUDA) == expected
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: not supported)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: supported)
    assert resolve_precision("auto", CPU) == expected


def test_auto_is_fp32_on_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


def test_auto_on_this_machine_is_one_that_can_be_stated() -> None:
    assert resolve_precision("auto", CPU) in ("bf16", "fp32")
