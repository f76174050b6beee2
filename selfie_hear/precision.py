"""Full float32 arithmetic for the time of a call, whatever a program has switched on for its own models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
        for (place, name, _), value in zip(switches, saved, strict=True):
            setattr(place, name, value)
