"""Which device a process trains on, and in which precision."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch

from selfie_hear.config import ConfigError


def local_device(name: str) -> torch.device:
    """A device by name; `cuda` is the one of this process's rank on its machine.

    Raises:
        ConfigError: there is no such device.
    """
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        elif device.index is not None and int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:
            raise RuntimeError("one for all processes of this machine; without its number each takes its own")
        torch.zeros(1, device=device).item()
    except (AssertionError, ImportError, RuntimeError, ValueError) as error:  # torch's own words, which can be pages
        reason = str(error).splitlines()[0].split(". ")[0]
        here = "cpu and cuda" if torch.cuda.is_available() else "cpu"
        raise ConfigError(f"--device {name}: cannot be used ({reason}); this machine has {here}") from error
    return device


def surroundings(device: torch.device, processes: int) -> dict[str, str | int]:
    """What rounding depends on, beside the settings of a run."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processes": processes,
        "threads": torch.get_num_threads(),
        "device": gpu or f"{device.type} {torch.backends.cpu.get_cpu_capability()}",
        "torch": str(torch.__version__),
    }


def differences(then: Mapping[str, str | int], now: Mapping[str, str | int]) -> str:
    """What has changed of the surroundings, in words."""
    return ", ".join(f"{name} {now[name]} instead of {then[name]}" for name in now if now[name] != then[name])


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` to "bf16" where bf16 matrix products run in hardware (CUDA from Ampere on, CPUs with AMX), else "fp32"."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"
