"""Two processes take the steps of one, whatever the method: losses, gradients, queues, banks and prototypes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from tests.training import family
from tests.training.processes import CPU, in_ranks
from tests.training.test_distributed import in_float64
from training.batch_norm import over_all_ranks
from training.objectives import Objective, Views
from training.objectives.barlow_twins import BarlowTwins, BarlowTwinsConfig
from training.objectives.bootstrap import BootstrapConfig
from training.objectives.byol import Byol
from training.objectives.cola import Cola, ColaConfig
from training.objectives.hybrid import Hybrid, HybridConfig
from training.objectives.moco import Moco, MocoConfig
from training.objectives.npid import Npid, NpidConfig
from training.objectives.simclr import Simclr, SimclrConfig
from training.objectives.simsiam import Simsiam, SimsiamConfig
from training.objectives.swav import Swav, SwavConfig
from training.objectives.vicreg import Vicreg, VicregConfig
from training.ranks import Ranks, joined_ranks

HEAD = {"head_hidden": 16, "head_outputs": 4}
METHODS: dict[str, tuple[type[Objective], Any]] = {
    "cola": (Cola, ColaConfig(head_outputs=4)),
    "simclr": (Simclr, SimclrConfig(temperature=0.5, **HEAD)),
    "moco": (Moco, MocoConfig(temperature=0.5, decay=0.9, queue=11, **HEAD)),
    "npid": (Npid, NpidConfig(temperature=0.5, noise=7, head_outputs=4)),
    "byol": (Byol, BootstrapConfig(decay=0.9, **HEAD)),
    "hybrid": (Hybrid, HybridConfig(decay=0.9, head_hidden=16, head_outputs=family.TARGETS)),
    "simsiam": (Simsiam, SimsiamConfig(predictor_hidden=8, **HEAD)),
    "barlow_twins": (BarlowTwins, BarlowTwinsConfig(**HEAD)),
    "vicreg": (Vicreg, VicregConfig(**HEAD)),
    "swav": (Swav, SwavConfig(prototypes=5, frozen_steps=1, **HEAD)),
}
FIXED = ("log_normaliser", "online.projector.7.weight")  # set in the first step; of SimSiam's last BatchNorm
PARTS = (1, 2)  # that a batch goes through in
BATCH, STEPS = 8, 3


def batch_of(step: int, rows: Any) -> Views:
    """Some rows of a batch in which clips occur several times."""
    generator = torch.Generator().manual_seed(step)
    first, second = torch.randn(2, BATCH, 1, family.MELS, family.FRAMES, generator=generator)
    clips = torch.randint(family.CLIPS, (BATCH,), generator=generator)
    targets = torch.randn(2, BATCH, family.TARGETS, generator=generator)
    return Views(first[rows], second[rows], clips[rows], targets[:, rows])


def steps_of(kind: type[Objective], options: Any, parts: int, ranks: Ranks) -> Iterator[dict[str, dict[str, Tensor]]]:
    """Every number of the first steps, taken as the trainer takes them."""
    objective = family.build(kind, options, ranks)
    network = objective
    if ranks.count > 1:
        over_all_ranks(objective, CPU)
        network = DistributedDataParallel(objective, broadcast_buffers=False, gradient_as_bucket_view=True)
    learning = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    optimiser = torch.optim.SGD(learning.values(), lr=0.1)  # Adam makes full steps of rounding noise
    for step in range(STEPS):
        rows = ranks.rows(BATCH, parts).reshape(parts, -1)
        optimiser.zero_grad()
        told: dict[str, Tensor] = {}
        for part in range(parts):
            with ExitStack() as stack:
                if part + 1 < parts and ranks.count > 1:
                    stack.enter_context(network.no_sync())
                terms = network(batch_of(step, rows[part]))
                (terms["loss"] / parts).backward()
            terms["embedding"] = ranks.gather(terms["embedding"])
            told.update({f"{name} of part {part}": value.detach() for name, value in terms.items()})
        gradients = {name: p.grad.clone() for name, p in learning.items() if p.grad is not None}
        assert gradients.keys() == learning.keys()
        optimiser.step()
        objective.after_step()
        yield {"terms": told, "gradients": gradients, "state": family.state_of(objective)}


def first_steps() -> dict[str, Any]:
    with joined_ranks(CPU) as ranks, in_float64():
        return {
            f"{name} in {parts}": list(steps_of(kind, options, parts, ranks))
            for name, (kind, options) in METHODS.items()
            for parts in PARTS
        }


@pytest.fixture(scope="module")
def found() -> dict[int, list[dict[str, Any]]]:
    """By number of processes, and there by process: every number of the first steps."""
    return {count: in_ranks(count, first_steps) for count in (1, 2)}


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_take_the_steps_of_one(found: dict[int, list[dict[str, Any]]], name: str, parts: int) -> None:
    (whole,), halves = found[1], found[2]
    for half in halves:
        for step, expected in enumerate(whole[f"{name} in {parts}"]):
            for what, values in expected.items():
                ours = half[f"{name} in {parts}"][step][what]
                assert list(ours) == list(values)
                for key, value in values.items():
                    place = f"step {step}, {what}, {key}"
                    torch.testing.assert_close(
                        ours[key], value, rtol=1e-8, atol=1e-10, msg=lambda text, p=place: f"{p}: {text}"
                    )


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", METHODS)
def test_the_state_of_both_processes_is_the_same_bit_for_bit(
    found: dict[int, list[dict[str, Any]]], name: str, parts: int
) -> None:
    one, other = (there[f"{name} in {parts}"][-1]["state"] for there in found[2])
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("name", METHODS)
def test_steps_change_everything_that_is_compared(
    found: dict[int, list[dict[str, Any]]], name: str, parts: int
) -> None:
    """Nothing is so small, or stands so still, that the tolerance would hide what it does."""
    steps = found[1][0][f"{name} in {parts}"]
    before, after = steps[0]["state"], steps[-1]["state"]
    for key, value in after.items():
        if not key.endswith("bias") and key not in FIXED:  # a bias before a BatchNorm is without effect
            assert (value.double() - before[key].double()).abs().max() > 1e-6, key
    assert all(value.abs().max() > 1e-6 for key, value in steps[-1]["gradients"].items() if not key.endswith("bias"))
