"""Which arithmetic an embedding is computed in, whatever a program has switched on for its own models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from selfie_hear.config import ConfigError

PRECISIONS = ("fp32", "bf16")


def _switches(device: torch.device) -> list[tuple[Any, str, Any]]:
    """(place, attribute, value) of what lets PyTorch round float32 products to 8 or 11 bits on `device`."""
    library = torch.backends.cuda if device.type == "cuda" else torch.backends.mkldnn
    convolution = torch.backends.cudnn if device.type == "cuda" else torch.backends.mkldnn
    if hasattr(torch.backends.cudnn, "fp32_precision"):  # PyTorch 2.9 and later
        places = (library.matmul, convolution.conv)
        return [(place, "fp32_precision", "ieee") for place in places if place.fp32_precision in ("tf32", "bf16")]
    if device.type == "cuda":
        return [(torch.backends.cuda.matmul, "allow_tf32", False), (torch.backends.cudnn, "allow_tf32", False)]
    return []


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No TF32, no bfloat16 products, no autocast: an embedding must not change with its surroundings."""
    switches = _switches(device)
    saved = [getattr(place, name) for place, name, _ in switches]
    for place, name, value in switches:
        setattr(place, name, value)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.clear_autocast_cache()  # `encoder_precision` filled it without gradient: no training step may find that
        for (place, name, _), value in zip(switches, saved, strict=True):
            setattr(place, name, value)


@contextmanager
def encoder_precision(precision: str, device: torch.device) -> Iterator[None]:
    """What an encoder runs in: "fp32" changes nothing; "bf16" rounds the factors of its products to bfloat16.

    Raises:
        ConfigError: the device has no bfloat16.
    """
    if precision == "fp32":
        yield
        return
    lacking = ConfigError(f"precision {precision!r}: device {device} has no bfloat16; use precision='fp32' there")
    try:
        reduced = torch.autocast(device.type, torch.bfloat16)
    except RuntimeError as error:
        raise lacking from error
    with reduced:
        if not torch.is_autocast_enabled(device.type):  # some devices warn and would go on in float32
            raise lacking
        yield
