"""Mean + max over time: over a whole clip, and over a window that slides frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor


def mean_max(frames: Iterable[Tensor]) -> Tensor:
    """Mean over time plus maximum over time (SELFIE section 2.2) of a clip that comes in pieces.

    Args:
        frames: tensors `(B, T_i, D)`, one after the other in time.

    Returns:
        `(B, D)`, of the frames' type. The sum runs in float64, so the size of the pieces does not show.
    """
    total, peak, count = None, None, 0
    for piece in frames:
        wide = torch.float32 if piece.device.type == "mps" else torch.float64  # mps has no float64
        part, top = piece.sum(1, dtype=wide), piece.amax(1)
        total = part if total is None else total + part
        peak = top if peak is None else torch.maximum(peak, top)
        count += piece.shape[1]
    if total is None or peak is None:
        raise ValueError("mean_max: no frames to pool")
    return (total / count).to(peak.dtype) + peak


def sliding_mean_max(frames: Iterable[Tensor], window: int) -> Iterator[Tensor]:
    """Mean + max over `window` frames around each frame; at the ends of the clip over those that exist.

    Args:
        frames: tensors `(B, T_i, D)`, one after the other in time.
        window: odd number of frames.

    Yields:
        tensors `(B, t, D)`; together one vector per input frame, in order.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be a positive odd number of frames, got {window}")
    half = window // 2
    held: Tensor | None = None  # frames not yet pooled, after `before` frames of left context
    before = 0
    for piece in frames:
        held = piece if held is None else torch.cat([held, piece], dim=1)
        ready = held.shape[1] - before - half
        if ready > 0:
            yield _pool(held[:, : before + ready + half], before, ready, half)
            keep = max(0, before + ready - half)
            held, before = held[:, keep:], before + ready - keep
    if held is None:
        raise ValueError("sliding_mean_max: no frames to pool")
    if held.shape[1] > before:
        yield _pool(held, before, held.shape[1] - before, half)


def _pool(frames: Tensor, start: int, count: int, half: int) -> Tensor:
    """Pool around the frames `[start, start + count)`; a loop over the few offsets, each one tensor operation."""
    half = min(half, frames.shape[1] - 1)  # a wider window holds no more frames
    left, right = half - start, start + count + half - frames.shape[1]  # missing at the ends of the clip
    total = torch.nn.functional.pad(frames, (0, 0, left, right))
    peak = torch.nn.functional.pad(frames, (0, 0, left, right), value=float("-inf"))
    mean, top = total[:, :count].clone(), peak[:, :count].clone()
    for offset in range(1, 2 * half + 1):
        mean = mean + total[:, offset : offset + count]
        top = torch.maximum(top, peak[:, offset : offset + count])
    position = torch.arange(start, start + count, device=frames.device)
    last = frames.shape[1] - 1
    present = (position + half).clamp(max=last) - (position - half).clamp(min=0) + 1
    return mean / present[:, None] + top
