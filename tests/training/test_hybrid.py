"""Hybrid BYOL-S: BYOL and the squared error to each crop's targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives import Views
from training.objectives.bootstrap import BootstrapConfig
from training.objectives.byol import Byol
from training.objectives.hybrid import Hybrid, HybridConfig

SMALL = HybridConfig(decay=0.9, head_hidden=16, head_outputs=family.TARGETS)


def predictions(objective: Hybrid, view: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        embedding = mean_max([objective.online["encoder"](view)])
        found: torch.Tensor = objective.predictor(objective.online["projector"](embedding))
    return found


def test_both_views_predict_the_targets_of_their_one_crop() -> None:
    objective, batch = family.build(Hybrid, SMALL), family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "supervised_loss", "align_loss", "embedding"}
    errors = [F.mse_loss(predictions(objective, view), batch.targets[0]) for view in batch[:2]]
    assert terms["supervised_loss"].item() == pytest.approx((errors[0] + errors[1]).item() / 2, abs=1e-5)


def test_of_two_crops_each_view_predicts_the_targets_of_its_own() -> None:
    objective, batch = family.build(Hybrid, SMALL), family.views()
    targets = torch.randn(2, 6, family.TARGETS, generator=torch.Generator().manual_seed(7))
    terms = objective(batch._replace(targets=targets))
    pairs = zip(batch[:2], targets, strict=True)
    errors = [F.mse_loss(predictions(objective, view), own) for view, own in pairs]
    assert terms["supervised_loss"].item() == pytest.approx((errors[0] + errors[1]).item() / 2, abs=1e-5)


def test_its_alignment_is_that_of_byol() -> None:
    byol = family.build(Byol, BootstrapConfig(decay=0.9, head_hidden=16, head_outputs=family.TARGETS))
    batch = family.views()
    assert torch.equal(family.build(Hybrid, SMALL)(batch)["align_loss"], byol(batch)["align_loss"])


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (4.0, 1.0), (0.0, 2.0)])
def test_the_loss_is_equation_1(alpha: float, beta: float) -> None:
    options = replace(SMALL, supervised_weight=alpha, self_supervised_weight=beta)
    terms = family.build(Hybrid, options)(family.views())
    expected = alpha * terms["supervised_loss"].item() + beta * terms["align_loss"].item()
    assert terms["loss"].item() == pytest.approx(expected, abs=1e-6)
    assert terms["supervised_loss"].item() > 0 and terms["align_loss"].item() > 0


def test_it_needs_as_many_targets_as_its_heads_are_wide() -> None:
    objective, batch = family.build(Hybrid, SMALL), family.views()
    assert objective.target_size == family.TARGETS == objective.predictor[-1].out_features
    assert HybridConfig().head_outputs == 6373  # the paper's
    assert family.build(Byol, BootstrapConfig(head_hidden=16, head_outputs=4)).target_size == 0
    with pytest.raises(ValueError, match=r"predictions are \(6, 4\), targets \(6, 3\)"):
        objective(batch._replace(targets=batch.targets[..., :3]))
    with pytest.raises(ValueError, match="must be alike"):
        objective(Views(*batch[:3]))


def test_gradient_reaches_every_online_parameter_and_no_target_one() -> None:
    family.assert_every_parameter_learns(family.build(Hybrid, SMALL), family.views())
    supervised = replace(SMALL, self_supervised_weight=0.0)
    family.assert_every_parameter_learns(family.build(Hybrid, supervised), family.views())


def test_it_learns_what_the_targets_are() -> None:
    """The same targets in every batch, of the same clips."""
    objective = family.build(Hybrid, replace(SMALL, self_supervised_weight=0.0))
    targets = family.views().targets
    optimiser = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=1e-2)
    errors = []
    for number in range(60):
        optimiser.zero_grad()
        terms = objective(family.noisy_views(seed=number)._replace(targets=targets))
        terms["loss"].backward()
        optimiser.step()
        objective.after_step()
        errors.append(terms["supervised_loss"].item())
    assert sum(errors[-10:]) < 0.1 * sum(errors[:10])


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Hybrid, SMALL)
    family.assert_stands_anything(Hybrid, SMALL)
    family.assert_wide_losses(Hybrid, SMALL)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"supervised_weight": -1.0}, "supervised_weight: must be at least 0, got -1.0"),
        ({"self_supervised_weight": -0.5}, "self_supervised_weight: must be at least 0, got -0.5"),
        ({"decay": -0.1}, r"decay: must be in \[0, 1\], got -0.1"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        HybridConfig(**wrong)
