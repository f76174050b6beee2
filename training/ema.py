"""Exponential moving average of a network: parameters and buffers alike."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def make_target(online: nn.Module) -> nn.Module:
    """A copy of `online` that takes no gradient and whose buffers only `update_target` changes.

    In training the target normalises by the statistics of its own batch, as the online network does, but does not
    gather them: its running statistics are the moving average of the online network's, like its parameters.
    """
    target = copy.deepcopy(online).requires_grad_(False)
    for module in target.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 0.0  # running = (1 - 0) * running + 0 * batch
    return target


@torch.no_grad()
def update_target(target: nn.Module, online: nn.Module, decay: float) -> None:
    """xi <- decay * xi + (1 - decay) * theta for parameters and floating-point buffers; integer buffers are copied."""
    theirs = online.state_dict()
    for name, mine in target.state_dict().items():  # tensors that share the networks' memory
        if mine.is_floating_point():
            mine.lerp_(theirs[name], 1.0 - decay)
        else:
            mine.copy_(theirs[name])
