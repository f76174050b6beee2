"""The target network: a moving average of parameters and buffers that nothing else moves."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.ema import make_target, update_target


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def copy_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_new_target_is_an_equal_but_separate_network() -> None:
    online = small_network()
    target = make_target(online)
    assert all(torch.equal(value, target.state_dict()[name]) for name, value in online.state_dict().items())
    before = copy_of(target)
    with torch.no_grad():
        for value in online.state_dict().values():
            value.add_(1)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_the_target_takes_no_gradient() -> None:
    online = small_network()
    target = make_target(online)
    assert not any(p.requires_grad for p in target.parameters())
    assert all(p.requires_grad for p in online.parameters())
    inputs = torch.randn(4, 3, requires_grad=True)
    (online(inputs) + target(inputs)).square().sum().backward()
    assert all(p.grad is None for p in target.parameters())


def test_update_by_hand() -> None:
    """0.75 of the target's value and 0.25 of the online network's, for parameters and running statistics alike."""
    online = nn.BatchNorm1d(1)
    target = make_target(online)
    state = {"weight": 5.0, "bias": -4.0, "running_mean": 2.0, "running_var": 9.0, "num_batches_tracked": 17}
    online.load_state_dict({name: torch.tensor(v).expand_as(online.state_dict()[name]) for name, v in state.items()})
    update_target(target, online, 0.75)  # from weight 1, bias 0, mean 0, variance 1
    updated = {name: value.item() for name, value in target.state_dict().items()}
    assert updated == {
        "weight": 2.0,
        "bias": -1.0,
        "running_mean": 0.5,
        "running_var": 3.0,
        "num_batches_tracked": 17,
    }
    update_target(target, online, 0.75)
    assert target.state_dict()["weight"].item() == 2.75


def test_update_leaves_the_online_network_alone() -> None:
    online = small_network()
    target = make_target(online)
    with torch.no_grad():
        for value in online.parameters():
            value.add_(1.0)
    before = copy_of(online)
    update_target(target, online, 0.9)
    assert all(torch.equal(value, before[name]) for name, value in online.state_dict().items())


def test_running_statistics_of_the_target_follow_the_online_network_and_not_its_own_batches() -> None:
    online = small_network().train()
    target = make_target(online).train()
    online(torch.randn(8, 3) + 4.0)
    before = copy_of(target)
    target(torch.randn(8, 3) * 50.0 - 20.0)
    for name in ("1.running_mean", "1.running_var"):
        assert torch.equal(target.state_dict()[name], before[name])
    update_target(target, online, 0.9)
    for name in ("1.running_mean", "1.running_var"):
        expected = 0.9 * before[name] + 0.1 * online.state_dict()[name]
        assert not torch.equal(before[name], online.state_dict()[name])
        torch.testing.assert_close(target.state_dict()[name], expected)
    assert target.state_dict()["1.num_batches_tracked"].item() == 1


def test_in_training_the_target_normalises_by_its_own_batch() -> None:
    target = make_target(nn.BatchNorm1d(3)).train()
    batch = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)) * 7.0 + 100.0
    expected = (batch - batch.mean(0)) / (batch.var(0, unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(target(batch), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(target.eval()(batch), batch, rtol=1e-4, atol=0)  # its own statistics are still 0 and 1
