"""NPID: its bank, its noise, and its loss."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives import Views
from training.objectives.npid import Bank, Npid, NpidConfig

SMALL = NpidConfig(temperature=0.5, momentum=0.5, noise=9, head_outputs=4)


def rows_of(objective: Npid, batch: Views) -> Tensor:
    """The vectors of all first views, then of all second ones."""
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        return F.normalize(torch.cat([projector(mean_max([encoder(view)])) for view in batch[:2]]), dim=1)


# The bank.


def test_a_bank_begins_with_a_random_unit_vector_for_each_clip() -> None:
    vectors = Bank(50, 3).vectors
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(50))
    assert vectors.mean(0).norm() < 0.5
    assert len(vectors.unique(dim=0)) == 50


def test_a_vector_moves_by_the_momentum_and_is_of_unit_length_again() -> None:
    bank = Bank(4, 2)
    bank.vectors.copy_(torch.tensor([[1.0, 0.0]]).expand(4, 2))
    bank.update(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.tensor([2, 0]), 0.75)
    expected = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.75 / 0.625**0.5, 0.25 / 0.625**0.5], [1.0, 0.0]])
    torch.testing.assert_close(bank.vectors, expected)


def test_a_clip_that_occurs_several_times_moves_once_towards_their_mean() -> None:
    together, mean = Bank(3, 2), torch.tensor([[0.6, 0.2]])
    together.vectors.copy_(F.normalize(torch.tensor([[1.0, 1.0], [2.0, -1.0], [0.0, 1.0]]), dim=1))
    alone = Bank(3, 2)
    alone.vectors.copy_(together.vectors)
    together.update(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.2, 0.4], [0.6, 0.2]]), torch.tensor([1, 0, 1, 1]), 0.5)
    alone.update(torch.cat([mean, torch.tensor([[0.0, 1.0]])]), torch.tensor([1, 0]), 0.5)
    torch.testing.assert_close(together.vectors, alone.vectors)


def test_the_order_of_a_batch_does_not_show_in_the_bank() -> None:
    rows = F.normalize(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    clips, order = torch.arange(40) % 7, torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    one = Bank(9, 8)
    other = Bank(9, 8)
    other.vectors.copy_(one.vectors)
    one.update(rows, clips, 0.5)
    other.update(rows[order], clips[order], 0.5)
    torch.testing.assert_close(one.vectors, other.vectors)


def test_vectors_that_cancel_leave_zero_and_not_nan() -> None:
    bank = Bank(1, 2)
    bank.update(-bank.vectors, torch.tensor([0]), 0.5)
    assert torch.equal(bank.vectors, torch.zeros(1, 2))


# The objective.


def noise_of(objective: Npid) -> Tensor:
    """The clips of the noise of the next batch: those of a copy."""
    copy = family.build(Npid, objective.config)
    copy.load_state_dict(objective.state_dict())
    return copy._draw(family.CLIPS)


def test_terms_are_those_of_both_views_against_the_bank_and_the_noise() -> None:
    objective = family.build(Npid, SMALL)
    for seed in range(2):
        family.take_step(objective, family.views(seed=seed))
    batch = family.views(seed=2)._replace(clips=torch.tensor([0, 1, 7, 8, 1, 11]))
    rows, bank, noise = rows_of(objective, batch), objective.bank.vectors.clone(), noise_of(objective)
    normaliser = objective.log_normaliser.exp().item()
    losses, picked = [], []
    for row, clip in zip(rows, batch.clips.repeat(2).tolist(), strict=True):
        own = math.exp(row @ bank[clip] / 0.5) / normaliser
        others = [math.exp(row @ bank[j] / 0.5) / normaliser for j in noise.tolist() if j != clip]
        share = 9 / family.CLIPS  # m P_n
        losses.append(-math.log(own / (own + share)) - sum(math.log(1 - p / (p + share)) for p in others))
        picked.append(own > max(others))
    terms = objective(batch)
    assert set(terms) == {"loss", "nce_loss", "accuracy", "embedding"}
    assert terms["loss"].item() == terms["nce_loss"].item() == pytest.approx(sum(losses) / 12, abs=1e-4)
    assert terms["accuracy"].item() == pytest.approx(sum(picked) / 12)
    torch.testing.assert_close(terms["embedding"], mean_max([objective.online["encoder"](batch.first)]))
    assert not terms["embedding"].requires_grad


def test_the_normaliser_is_that_of_the_first_batch_and_stays() -> None:
    objective = family.build(Npid, SMALL)
    batch = family.views()
    rows, vectors = rows_of(objective, batch), objective.bank.vectors[noise_of(objective)]
    expected = family.CLIPS * (rows @ vectors.T / 0.5).exp().mean()
    assert objective.log_normaliser.item() == 0.0
    objective(batch)
    found = objective.log_normaliser.clone()
    assert found.exp().item() == pytest.approx(expected.item(), rel=1e-5)
    objective(family.views(seed=2))  # another part of the batch
    objective.after_step()
    family.take_step(objective, family.views(seed=3))
    assert torch.equal(objective.log_normaliser, found)


def test_the_bank_takes_in_the_views_after_the_step_whatever_the_parts() -> None:
    """Every part meets the bank of the step before; a clip of both parts moves once, towards all its views."""
    objective = family.build(Npid, SMALL)
    before = objective.bank.vectors.clone()
    parts = [family.views(4), family.views(4, seed=2)._replace(clips=torch.tensor([3, 4, 5, 9]))]
    rows = torch.cat([rows_of(objective, part) for part in parts])
    clips = torch.cat([part.clips.repeat(2) for part in parts])
    for part in parts:
        objective(part)["loss"].backward()
        assert torch.equal(objective.bank.vectors, before)
    objective.after_step()
    expected = before.clone()
    for clip in set(clips.tolist()):
        expected[clip] = F.normalize(before[clip] + rows[clips == clip].mean(0), dim=0)
    torch.testing.assert_close(objective.bank.vectors, expected)
    assert torch.equal(objective.bank.vectors[6:9], before[6:9])


def test_noise_is_drawn_anew_for_every_part_and_whatever_other_random_numbers_were() -> None:
    first, second = family.build(Npid, SMALL), family.build(Npid, SMALL)
    draws = []
    for number in range(4):
        draws.append(first._draw(family.CLIPS).tolist())
        torch.manual_seed(number)
        torch.rand(number)
        assert second._draw(family.CLIPS).tolist() == draws[-1]
    assert len({tuple(draw) for draw in draws}) == 4
    assert all(len(draw) == 9 and min(draw) >= 0 and max(draw) < family.CLIPS for draw in draws)
    assert family.build(Npid, SMALL, seed=1)._draw(family.CLIPS).tolist() != draws[0]


def test_noise_is_uniform_over_the_clips() -> None:
    many = family.build(Npid, NpidConfig(noise=12000, head_outputs=4))
    counts = many._draw(family.CLIPS).bincount(minlength=family.CLIPS)
    assert counts.min() > 850 and counts.max() < 1150


def test_gradient_reaches_every_parameter() -> None:
    objective = family.build(Npid, SMALL)
    family.assert_every_parameter_learns(objective, family.views())
    assert not objective.bank.vectors.requires_grad


def test_it_learns_to_tell_clips_apart() -> None:
    options = NpidConfig(temperature=0.2, noise=20, head_outputs=4)
    early, late = family.learn(family.build(Npid, options), 60, rate=3e-3)
    assert early["accuracy"] < 0.5 and late["accuracy"] > 0.7
    assert late["loss"] < 0.8 * early["loss"]


def test_a_batch_of_one_and_a_pack_of_one_clip_give_finite_losses() -> None:
    terms = family.build(Npid, SMALL)(family.views(1))
    assert terms["loss"].isfinite()
    torch.manual_seed(0)
    only = Npid(family.small_encoder(), SMALL, 1, family.ALONE).train()  # all noise is the clip itself
    terms = family.take_step(only, family.views(3)._replace(clips=torch.zeros(3, dtype=torch.int64)))
    assert terms["loss"].isfinite() and terms["accuracy"].item() == 1.0
    assert only.bank.vectors.isfinite().all()


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Npid, SMALL)
    family.assert_stands_anything(Npid, SMALL)
    family.assert_wide_losses(Npid, SMALL)


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Npid, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"temperature": 0.0}, "temperature: must be positive, got 0.0"),
        ({"momentum": -0.1}, r"momentum: must be in \[0, 1\], got -0.1"),
        ({"noise": 0}, "noise: must be at least 1, got 0"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        NpidConfig(**wrong)
