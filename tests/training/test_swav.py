"""SwAV: its prototypes, and what each view predicts of the other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.losses.swapped import sinkhorn
from training.objectives import Views
from training.objectives.swav import Swav, SwavConfig

SMALL = SwavConfig(prototypes=5, head_hidden=16, head_outputs=4)


def test_terms_are_those_of_the_cosines_with_the_prototypes() -> None:
    objective = family.build(Swav, SMALL)
    batch = family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "swapped_loss", "agreement", "prototypes_used", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        first, second = (
            F.cosine_similarity(projector(mean_max([encoder(view)]))[:, None], objective.prototypes, dim=2)
            for view in batch[:2]
        )
    ahead = -(sinkhorn(second, 0.05, 3) * (first / 0.1).log_softmax(1)).sum(1).mean()
    back = -(sinkhorn(first, 0.05, 3) * (second / 0.1).log_softmax(1)).sum(1).mean()
    assert terms["loss"].item() == pytest.approx((ahead + back).item() / 2, abs=1e-5)
    assert terms["loss"].item() == terms["swapped_loss"].item()
    nearest = first.argmax(1).tolist(), second.argmax(1).tolist()
    assert terms["agreement"].item() == pytest.approx(sum(a == b for a, b in zip(*nearest, strict=True)) / 6)
    assert terms["prototypes_used"].item() == pytest.approx(len({*nearest[0], *nearest[1]}) / 5)
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))
    assert not any(terms[name].requires_grad for name in ("agreement", "prototypes_used", "embedding"))


def test_terms_do_not_depend_on_which_view_comes_first() -> None:
    first, second, clips = family.views()[:3]
    there, back = (family.build(Swav, SMALL)(Views(*pair, clips)) for pair in ((first, second), (second, first)))
    assert there["loss"].item() == pytest.approx(back["loss"].item(), abs=1e-5)


def test_gradient_reaches_every_parameter_and_the_prototypes() -> None:
    objective = family.build(Swav, SMALL)
    family.assert_every_parameter_learns(objective, family.views())
    assert "prototypes" in dict(objective.named_parameters())


def test_prototypes_are_of_unit_length_from_the_start_and_after_every_step() -> None:
    objective = family.build(Swav, SMALL)
    before = objective.prototypes.detach().clone()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(5))
    family.take_step(objective, family.views(), rate=1.0)
    after = objective.prototypes.detach()
    torch.testing.assert_close(after.norm(dim=1), torch.ones(5))
    assert (after - before).abs().max() > 1e-3
    assert objective.prototypes.requires_grad


def test_prototypes_stand_still_in_the_frozen_steps_and_then_move() -> None:
    objective = family.build(Swav, SwavConfig(prototypes=5, head_hidden=16, head_outputs=4, frozen_steps=2))
    begun, moved = objective.prototypes.detach().clone(), []
    for seed in range(4):
        family.take_step(objective, family.views(seed=seed), rate=1.0)
        assert objective.prototypes.grad is not None  # DistributedDataParallel waits for one
        moved.append(bool((objective.prototypes - begun).abs().max() > 1e-3))
    assert moved == [False, False, True, True]


def test_frozen_prototypes_count_optimiser_steps_and_not_the_parts_of_a_batch() -> None:
    objective = family.build(Swav, SwavConfig(prototypes=5, head_hidden=16, head_outputs=4, frozen_steps=1))
    for seed in range(3):
        objective(family.views(seed=seed))["loss"].backward()
    assert not objective.prototypes.grad.any()
    objective.after_step()
    objective(family.views())["loss"].backward()
    assert objective.prototypes.grad.any()


def test_it_learns_to_assign_both_views_alike_to_many_prototypes() -> None:
    early, late = family.learn(family.build(Swav, SMALL), 60, rate=3e-3)
    assert early["agreement"] < 0.9 < late["agreement"]
    assert early["prototypes_used"] < 0.9 < late["prototypes_used"]
    assert late["loss"] < 0.7 * early["loss"]


@pytest.mark.parametrize("frozen", [0, 3])
def test_it_resumes_exactly(frozen: int) -> None:
    family.assert_resumes_exactly(Swav, SwavConfig(prototypes=5, head_hidden=16, head_outputs=4, frozen_steps=frozen))


def test_it_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_stands_anything(Swav, SMALL)
    family.assert_wide_losses(Swav, SMALL)


def test_more_prototypes_than_rows_and_a_single_one_give_finite_losses() -> None:
    for count in (1, 50):
        options = SwavConfig(prototypes=count, head_hidden=16, head_outputs=4)
        assert family.take_step(family.build(Swav, options), family.views())["loss"].isfinite()


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Swav, SMALL)(family.views(1))


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Swav, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"prototypes": 0}, "prototypes: must be at least 1, got 0"),
        ({"temperature": 0.0}, "temperature: must be positive, got 0.0"),
        ({"epsilon": -0.1}, "epsilon: must be positive, got -0.1"),
        ({"iterations": 0}, "iterations: must be at least 1, got 0"),
        ({"frozen_steps": -1}, "frozen_steps: must be at least 0, got -1"),
        ({"head_hidden": 0}, "head_hidden: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        SwavConfig(**wrong)
