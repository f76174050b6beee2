"""The learning rate of each step."""

from __future__ import annotations

import math

from training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, then constant or a half cosine down to zero.

    Args:
        step: counted from 0.
    """
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    if config.schedule == "constant":
        return config.learning_rate * warm
    done = max(0.0, step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
