"""BatchNorm whose statistics are those of the rows of all processes."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class _Normalise(torch.autograd.Function):
    """Normalise `(B, C, ...)` by given statistics of the whole batch, of which this process has `1 / ranks`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + epsilon))
        ctx.epsilon = epsilon
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, epsilon)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        variance = scale.pow(-2) - ctx.epsilon
        # With fixed statistics: d_input = gradient * weight * scale, and the sums that the rest is made of.
        d_input, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            gradients[0], x, weight, mean, variance, mean, scale, False, ctx.epsilon, [True, True, True]
        )
        # The statistics are functions of all rows:
        # d_input -= weight * scale * (mean(gradient) + normalised * mean(gradient * normalised)).
        sums = torch.stack([d_bias, d_weight])
        dist.all_reduce(sums)
        mean_gradient, mean_product = sums / (x.numel() // x.shape[1] * dist.get_world_size())
        shape = [1, -1] + [1] * (x.ndim - 2)
        slope = weight * scale.square() * mean_product
        d_input.sub_((weight * scale * mean_gradient - slope * mean).view(shape))
        d_input.addcmul_(x, slope.view(shape), value=-1.0)
        return d_input, d_weight, d_bias, None, None, None


def _over_ranks(x: Tensor, running_mean: Tensor, running_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and (biased) variance of `(B, C, ...)` over the rows of all processes, which have as many each."""
    mean, variance = torch.batch_norm_update_stats(x, running_mean.clone(), running_variance.clone(), 0.0)
    means = [torch.empty_like(mean) for _ in range(dist.get_world_size())]
    dist.all_gather(means, mean)
    whole = torch.stack(means).mean(0)
    spread = variance + (mean - whole).square()
    dist.all_reduce(spread)
    return whole, spread / dist.get_world_size()


class GlobalBatchNorm(_BatchNorm):
    """What `SyncBatchNorm` is on a GPU, for the CPU, where it refuses to run. In eval mode a plain BatchNorm.

    All processes must have as many rows as the others.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"expected (B, C, ...), got {tuple(x.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the library's name
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        assert self.running_mean is not None  # for the type checker: it is always tracked here
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        with torch.no_grad():
            mean, variance = _over_ranks(input, self.running_mean, self.running_var)
            count = input.numel() // input.shape[1] * dist.get_world_size()
            self.num_batches_tracked.add_(1)
            momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), momentum)  # unbiased, as the library keeps it
        return cast(Tensor, _Normalise.apply(input, self.weight, self.bias, mean, variance, self.eps))


def over_all_ranks(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with every BatchNorm replaced by one over all processes; parameters, buffers and their names stay."""
    if device.type == "cuda":
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(module))
    if isinstance(module, _BatchNorm):
        norm = GlobalBatchNorm(
            module.num_features, module.eps, module.momentum, device=module.weight.device, dtype=module.weight.dtype
        )
        norm.load_state_dict(module.state_dict())
        norm.weight.requires_grad_(module.weight.requires_grad)
        norm.bias.requires_grad_(module.bias.requires_grad)
        return norm.train(module.training)
    for name, child in module.named_children():
        setattr(module, name, over_all_ranks(child, device))
    return module
