"""VICReg: variance, invariance and covariance of the projections of both views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives.vicreg import Vicreg, VicregConfig

SMALL = VicregConfig(head_hidden=16, head_outputs=4)


def test_terms_are_the_invariance_of_both_views_and_the_spread_of_each() -> None:
    objective, batch = family.build(Vicreg, SMALL), family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "invariance_loss", "variance_loss", "covariance_loss", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        both = [projector(mean_max([encoder(view)])).double().numpy() for view in batch[:2]]
    assert terms["invariance_loss"].item() == pytest.approx(((both[0] - both[1]) ** 2).mean(), rel=1e-4)
    hinges = [np.maximum(0, 1 - np.sqrt(rows.var(0, ddof=1) + 1e-4)).mean() for rows in both]
    assert terms["variance_loss"].item() == pytest.approx(sum(hinges), rel=1e-4)
    covariances = [np.cov(rows, rowvar=False) for rows in both]
    off = [((c**2).sum() - (np.diagonal(c) ** 2).sum()) / 4 for c in covariances]
    assert terms["covariance_loss"].item() == pytest.approx(sum(off), rel=1e-4)
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))


@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 0.5, 3.0), (0.0, 1.0, 0.0)])
def test_the_loss_is_the_weighted_sum_of_its_terms(weights: tuple[float, float, float]) -> None:
    terms = family.build(Vicreg, VicregConfig(*weights, head_hidden=16, head_outputs=4))(family.views())
    names = ("invariance_loss", "variance_loss", "covariance_loss")
    expected = sum(weight * terms[name].item() for weight, name in zip(weights, names, strict=True))
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)
    assert (VicregConfig().invariance_weight, VicregConfig().variance_weight, VicregConfig().covariance_weight) == (
        *(25.0, 25.0, 1.0),
    )


def test_terms_do_not_depend_on_which_view_comes_first() -> None:
    batch = family.views()
    there, back = (
        family.build(Vicreg, SMALL)(views) for views in (batch, batch._replace(first=batch.second, second=batch.first))
    )
    assert there["loss"].item() == pytest.approx(back["loss"].item(), abs=1e-4)


def test_gradient_reaches_every_parameter() -> None:
    family.assert_every_parameter_learns(family.build(Vicreg, SMALL), family.views())


def test_it_learns_features_that_vary_and_agree() -> None:
    early, late = family.learn(family.build(Vicreg, SMALL), 40, rate=1e-2)
    assert late["variance_loss"] < 0.3 * early["variance_loss"]
    assert late["loss"] < 0.5 * early["loss"]


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Vicreg, SMALL)
    family.assert_stands_anything(Vicreg, SMALL)
    family.assert_wide_losses(Vicreg, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Vicreg, SMALL)(family.views(1))


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Vicreg, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"invariance_weight": -1.0}, "invariance_weight: must be at least 0, got -1.0"),
        ({"variance_weight": -1.0}, "variance_weight: must be at least 0, got -1.0"),
        ({"covariance_weight": -1.0}, "covariance_weight: must be at least 0, got -1.0"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        VicregConfig(**wrong)
