"""MoCo: its queue, whatever the batch, what it compares with what, and its key network."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.losses.contrastive import NOBODY
from training.objectives import Views
from training.objectives.moco import KeyQueue, Moco, MocoConfig

SMALL = MocoConfig(temperature=0.5, decay=0.9, queue=10, head_hidden=16, head_outputs=4)


# The queue.


def numbered(first: int, count: int) -> tuple[Tensor, Tensor]:
    """Keys whose values say which they are."""
    numbers = torch.arange(first, first + count)
    return numbers[:, None].expand(count, 2).float(), numbers


@pytest.mark.parametrize("size", [1, 5, 7])
@pytest.mark.parametrize("batches", [[1] * 12, [5, 5, 5], [3, 3, 3, 3], [2, 4, 1, 6, 3], [17], [7, 15, 2], [1, 14, 14]])
def test_the_queue_holds_the_last_keys_whatever_the_batches(size: int, batches: list[int]) -> None:
    """Those that divide it, those that do not, those that are larger than it."""
    queue, expected, first = KeyQueue(size, 2), deque[int](maxlen=size), 0
    for count in batches:
        queue.push(*numbered(first, count))
        expected.extend(range(first, first + count))
        first += count
        held = queue.clips[queue.clips != NOBODY]
        assert sorted(held.tolist()) == sorted(expected)
        assert torch.equal(queue.vectors[queue.clips != NOBODY], held[:, None].expand(-1, 2).float())
        assert queue.filled() == len(expected) / size
        assert int(queue.pushed) == first


def test_the_queue_wraps_round_by_hand() -> None:
    queue = KeyQueue(5, 2)
    assert queue.clips.tolist() == [NOBODY] * 5 and queue.filled() == 0.0
    places = []
    for first, count in ((0, 3), (3, 3), (6, 7)):
        queue.push(*numbered(first, count))
        places.append(queue.clips.tolist())
    assert places == [[0, 1, 2, NOBODY, NOBODY], [5, 1, 2, 3, 4], [10, 11, 12, 8, 9]]


# The objective.


def project(network: nn.Module, view: Tensor) -> Tensor:
    projection: Tensor = network.get_submodule("projector")(mean_max([network.get_submodule("encoder")(view)]))
    return F.normalize(projection, dim=1)


def moved(objective: Moco) -> Moco:
    """With a key network that is another one than the online one."""
    with torch.no_grad():
        for value in objective.target.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return objective


def test_the_first_batch_has_no_negatives_and_moves_nothing() -> None:
    objective = family.build(Moco, SMALL)
    terms = objective(family.views())
    terms["loss"].backward()
    assert set(terms) == {"loss", "contrastive_loss", "accuracy", "embedding"}
    assert terms["loss"].item() == 0.0
    assert all(p.grad is not None and not p.grad.any() for p in objective.online.parameters())


def test_queries_are_compared_with_their_keys_and_those_of_other_clips_before_them() -> None:
    objective = moved(family.build(Moco, SMALL))
    for count, seed in ((6, 1), (3, 2)):
        family.take_step(objective, family.views(count, seed))  # nine of ten places
    first, second, _ = family.views(6, seed=3)[:3]
    clips = torch.tensor([0, 1, 9, 10, 11, 9])
    with torch.no_grad():
        queries, keys = project(objective.online, first), project(objective.target, second)
        queue = list(zip(objective.queue.vectors[:9], [*range(6), *range(3)], strict=True))
        losses, picked = [], []
        for query, key, clip in zip(queries, keys, clips.tolist(), strict=True):
            scores = torch.stack([query @ key, *(query @ old for old, owner in queue if owner != clip)]) / 0.5
            losses.append(-scores.log_softmax(0)[0].item())
            picked.append(scores.argmax().item() == 0)
    terms = objective(Views(first, second, clips))
    assert terms["loss"].item() == pytest.approx(sum(losses) / 6, abs=1e-5)
    assert terms["loss"].item() == terms["contrastive_loss"].item()
    assert terms["accuracy"].item() == pytest.approx(sum(picked) / 6)
    torch.testing.assert_close(terms["embedding"], mean_max([objective.online["encoder"](first)]))


def test_keys_of_a_step_are_pushed_after_it_whatever_the_parts() -> None:
    """Every part of a batch meets the queue of the step before; all their keys are then in it, in order."""
    objective = moved(family.build(Moco, SMALL))
    family.take_step(objective, family.views(4))
    before = objective.queue.vectors.clone()
    parts = [family.views(4, seed=2), family.views(4, seed=3)]
    with torch.no_grad():
        keys = torch.cat([project(objective.target, part.second) for part in parts])
    for part in parts:
        objective(part)["loss"].backward()
        assert torch.equal(objective.queue.vectors, before)
    objective.after_step()
    assert torch.equal(objective.queue.vectors, torch.cat([keys[6:], before[2:4], keys[:6]]))
    assert objective.queue.clips.tolist() == [2, 3, 2, 3, 0, 1, 2, 3, 0, 1]
    after = objective.queue.vectors.clone()
    objective.after_step()  # nothing is pushed twice
    assert torch.equal(objective.queue.vectors, after)


def test_keys_are_of_unit_length_and_those_of_the_network_before_the_step() -> None:
    objective = moved(family.build(Moco, SMALL))
    with torch.no_grad():
        keys = project(objective.target, family.views().second)
    family.take_step(objective, family.views())
    assert torch.equal(objective.queue.vectors[:6], keys)
    torch.testing.assert_close(objective.queue.vectors[:6].norm(dim=1), torch.ones(6))
    assert objective.watched() == {"ema_decay": 0.9, "queue_filled": 0.6}


def test_gradient_reaches_the_online_network_alone() -> None:
    objective = family.build(Moco, SMALL)
    family.take_step(objective, family.views(seed=0))
    family.assert_every_parameter_learns(objective, family.noisy_views())
    assert not any(p.requires_grad for p in objective.target.parameters())
    second = family.views().second.requires_grad_()
    objective(family.views()._replace(second=second))["loss"].backward()
    assert second.grad is None


def test_after_a_step_the_key_network_has_moved_towards_the_online_network() -> None:
    objective = moved(family.build(Moco, SMALL))
    online = objective.online.state_dict()
    before = {name: value.clone() for name, value in objective.target.state_dict().items()}
    objective.after_step()
    for name, value in objective.target.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * online[name])
    assert objective.encoders() == {
        "online": objective.online["encoder"],
        "target": objective.target.get_submodule("encoder"),
    }


def test_it_learns_to_tell_clips_apart() -> None:
    options = replace(SMALL, temperature=0.2)
    early, late = family.learn(family.build(Moco, options), 60, rate=1e-2)
    assert early["accuracy"] < 0.9 and late["accuracy"] > 0.9
    assert late["loss"] < 0.6 * early["loss"]


@pytest.mark.parametrize("queue", [4, 10, 18])
def test_it_resumes_exactly(queue: int) -> None:
    """With a queue that a batch of six overflows, one that it wraps round in, one that is full just then."""
    family.assert_resumes_exactly(Moco, MocoConfig(queue=queue, head_hidden=16, head_outputs=4))


def test_it_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_stands_anything(Moco, SMALL)
    family.assert_wide_losses(Moco, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Moco, SMALL)(family.views(1))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"temperature": -1.0}, "temperature: must be positive, got -1.0"),
        ({"decay": 1.5}, r"decay: must be in \[0, 1\], got 1.5"),
        ({"queue": 0}, "queue: must be at least 1, got 0"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        MocoConfig(**wrong)
