"""SimSiam: its networks, where its gradients stop, and its loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives.simsiam import Simsiam, SimsiamConfig

SMALL = SimsiamConfig(head_hidden=16, head_outputs=6, predictor_hidden=8)


def test_the_loss_is_minus_the_cosine_of_predictions_and_projections_in_both_directions() -> None:
    objective, batch = family.build(Simsiam, SMALL), family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "cosine_loss", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        first, second = (projector(mean_max([encoder(view)])) for view in batch[:2])
        ahead = F.cosine_similarity(objective.predictor(first), second).mean()
        back = F.cosine_similarity(objective.predictor(second), first).mean()
    assert terms["loss"].item() == terms["cosine_loss"].item() == pytest.approx(-(ahead + back).item() / 2, abs=1e-5)
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))


def test_the_projector_has_three_layers_and_ends_in_a_batch_norm_that_learns_nothing() -> None:
    objective = family.build(Simsiam, SMALL)
    projector = objective.online["projector"]
    shapes = [tuple(layer.weight.shape) for layer in projector if isinstance(layer, nn.Linear)]
    assert shapes == [(16, objective.encoders()["online"].dim), (16, 16), (6, 16)]
    assert [tuple(layer.weight.shape) for layer in objective.predictor if isinstance(layer, nn.Linear)] == [
        (8, 6),
        (6, 8),
    ]
    for seed in range(3):
        family.take_step(objective, family.views(seed=seed), rate=1.0)
    assert torch.equal(projector[-1].weight, torch.ones(6)) and torch.equal(projector[-1].bias, torch.zeros(6))


def test_gradient_comes_through_the_predictor_alone() -> None:
    objective, batch = family.build(Simsiam, SMALL), family.views()
    family.assert_every_parameter_learns(objective, batch)
    objective.zero_grad()
    nn.init.zeros_(objective.predictor[-1].weight)  # predictions no longer depend on what went in
    objective(batch)["loss"].backward()
    assert not any(p.grad.any() for p in objective.online.parameters() if p.grad is not None)
    assert objective.predictor[-1].weight.grad.any()


def test_it_learns_to_predict_the_other_view() -> None:
    early, late = family.learn(family.build(Simsiam, SMALL), 40, rate=1e-2)
    assert late["loss"] < early["loss"] - 0.3


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Simsiam, SMALL)
    family.assert_stands_anything(Simsiam, SMALL)
    family.assert_wide_losses(Simsiam, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Simsiam, SMALL)(family.views(1))


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Simsiam, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize("name", ["head_hidden", "head_outputs", "predictor_hidden"])
def test_options_are_checked(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=f"objective_options.{name}: must be at least 1, got 0"):
        SimsiamConfig(**wrong)
