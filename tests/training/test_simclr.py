"""SimCLR: NT-Xent of the projections of both views."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives import Views
from training.objectives.simclr import Simclr, SimclrConfig

SMALL = SimclrConfig(temperature=0.5, head_hidden=16, head_outputs=4)


def test_terms_are_nt_xent_and_the_accuracy_over_the_views_of_the_batch() -> None:
    objective = family.build(Simclr, SMALL)
    batch = family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "contrastive_loss", "accuracy", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        rows = torch.cat([projector(mean_max([encoder(view)])) for view in batch[:2]])  # each view by itself
        scores = F.cosine_similarity(rows[:, None], rows, dim=2) / 0.5
    partners = torch.arange(12).roll(6)
    scores.fill_diagonal_(-torch.inf)
    expected = -scores.log_softmax(1).gather(1, partners[:, None]).mean()
    assert terms["loss"].item() == terms["contrastive_loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert terms["accuracy"].item() == pytest.approx((scores.argmax(1) == partners).float().mean().item())
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))
    assert not terms["embedding"].requires_grad


def test_terms_do_not_depend_on_which_view_comes_first() -> None:
    first, second, clips = family.views()[:3]
    there, back = (family.build(Simclr, SMALL)(Views(*pair, clips)) for pair in ((first, second), (second, first)))
    assert there["loss"].item() == pytest.approx(back["loss"].item(), abs=1e-5)
    assert not torch.allclose(there["embedding"], back["embedding"])


def test_crops_of_one_clip_are_no_negatives() -> None:
    first, second, clips = family.views()[:3]
    losses = [
        family.build(Simclr, SMALL)(Views(first, second, torch.tensor(owners)))["loss"].item()
        for owners in (clips.tolist(), [0, 0, 2, 3, 4, 5], [3] * 6)
    ]
    assert losses[0] > losses[1] > losses[2] == 0.0


def test_gradient_reaches_every_parameter_from_both_views() -> None:
    objective = family.build(Simclr, SMALL)
    family.assert_every_parameter_learns(objective, family.views())
    first, second, clips = family.views()[:3]
    first.requires_grad_()
    second.requires_grad_()
    objective(Views(first, second, clips))["loss"].backward()
    assert all(view.grad is not None and view.grad.abs().sum() > 0 for view in (first, second))


def test_it_learns_to_tell_clips_apart() -> None:
    early, late = family.learn(family.build(Simclr, SMALL), 40, rate=1e-2)
    assert early["accuracy"] < 0.9 and late["accuracy"] > 0.95
    assert late["loss"] < 0.8 * early["loss"]


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Simclr, SMALL)
    family.assert_stands_anything(Simclr, SMALL)
    family.assert_wide_losses(Simclr, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Simclr, SMALL)(family.views(1))


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Simclr, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"temperature": 0.0}, "temperature: must be positive, got 0.0"),
        ({"temperature": float("nan")}, "temperature: must be positive, got nan"),
        ({"head_hidden": 0}, "head_hidden: must be at least 1, got 0"),
        ({"head_outputs": -1}, "head_outputs: must be at least 1, got -1"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        SimclrConfig(**wrong)
