"""Barlow Twins: the cross-correlation of the projections of both views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives.barlow_twins import BarlowTwins, BarlowTwinsConfig

SMALL = BarlowTwinsConfig(redundancy_weight=0.1, head_hidden=16, head_outputs=4)


def test_terms_are_those_of_the_correlations_over_the_batch() -> None:
    objective, batch = family.build(BarlowTwins, SMALL), family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "invariance_loss", "redundancy_loss", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        first, second = (projector(mean_max([encoder(view)])).numpy() for view in batch[:2])
    correlation = np.corrcoef(first, second, rowvar=False)[:4, 4:]
    diagonal = np.diagonal(correlation)
    assert terms["invariance_loss"].item() == pytest.approx(((1 - diagonal) ** 2).sum(), rel=1e-2)
    assert terms["redundancy_loss"].item() == pytest.approx((correlation**2).sum() - (diagonal**2).sum(), rel=1e-2)
    expected = terms["invariance_loss"].item() + 0.1 * terms["redundancy_loss"].item()
    assert terms["loss"].item() == pytest.approx(expected)
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))


def test_terms_do_not_depend_on_which_view_comes_first() -> None:
    batch = family.views()
    there, back = (
        family.build(BarlowTwins, SMALL)(views)
        for views in (batch, batch._replace(first=batch.second, second=batch.first))
    )
    assert there["loss"].item() == pytest.approx(back["loss"].item(), abs=1e-5)


def test_gradient_reaches_every_parameter() -> None:
    family.assert_every_parameter_learns(family.build(BarlowTwins, SMALL), family.views())


def test_it_learns_features_that_agree_and_differ() -> None:
    early, late = family.learn(family.build(BarlowTwins, SMALL), 40, rate=1e-2)
    assert late["invariance_loss"] < 0.3 * early["invariance_loss"]
    assert late["loss"] < 0.5 * early["loss"]


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(BarlowTwins, SMALL)
    family.assert_stands_anything(BarlowTwins, SMALL)
    family.assert_wide_losses(BarlowTwins, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(BarlowTwins, SMALL)(family.views(1))


def test_the_online_encoder_is_released() -> None:
    objective = family.build(BarlowTwins, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"redundancy_weight": -0.1}, "redundancy_weight: must be at least 0, got -0.1"),
        ({"head_hidden": 0}, "head_hidden: must be at least 1, got 0"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        BarlowTwinsConfig(**wrong)
