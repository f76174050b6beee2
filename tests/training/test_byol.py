"""BYOL: SELFIE's alignment alone, by the same networks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives import Selfie, SelfieConfig
from training.objectives.bootstrap import BootstrapConfig
from training.objectives.byol import Byol

SMALL = BootstrapConfig(decay=0.9, head_hidden=16, head_outputs=4)


def moved(objective: Any) -> Any:
    """With a target that has moved away from the online network."""
    with torch.no_grad():
        for value in objective.target.parameters():
            value.add_(0.2 * torch.randn(value.shape, generator=torch.Generator().manual_seed(5)))
    return objective


def project(network: nn.Module, view: torch.Tensor) -> torch.Tensor:
    projection: torch.Tensor = network.get_submodule("projector")(mean_max([network.get_submodule("encoder")(view)]))
    return projection


def test_the_loss_is_the_squared_distance_of_unit_vectors_in_both_directions_averaged() -> None:
    objective, batch = moved(family.build(Byol, SMALL)), family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "align_loss", "embedding"}
    expected = []
    with torch.no_grad():
        for view, other in ((batch.first, batch.second), (batch.second, batch.first)):
            q, z = objective.predictor(project(objective.online, view)), project(objective.target, other)
            expected.append((2 - 2 * F.cosine_similarity(q, z)).mean().item())  # the survey's equation 8
    assert terms["loss"].item() == terms["align_loss"].item() == pytest.approx(sum(expected) / 2, abs=1e-5)
    torch.testing.assert_close(terms["embedding"], mean_max([objective.online["encoder"](batch.first)]))
    assert not terms["embedding"].requires_grad


def test_it_is_selfie_without_its_two_terms() -> None:
    byol = moved(family.build(Byol, SMALL))
    selfie = moved(family.build(Selfie, SelfieConfig(0.0, 0.0, decay=0.9, head_hidden=16, head_outputs=4)))
    assert list(byol.state_dict()) == list(selfie.state_dict())
    for number in range(3):
        there, here = (family.take_step(objective, family.views(seed=number)) for objective in (selfie, byol))
        assert torch.equal(here["loss"], there["loss"]) and torch.equal(here["embedding"], there["embedding"])
    assert all(torch.equal(value, selfie.state_dict()[name]) for name, value in byol.state_dict().items())


def test_gradient_reaches_every_online_parameter_and_no_target_one() -> None:
    objective = moved(family.build(Byol, SMALL))
    family.assert_every_parameter_learns(objective, family.views())
    learning = {name.split(".")[0] for name, p in objective.named_parameters() if p.requires_grad}
    assert learning == {"online", "predictor"}


def test_a_step_moves_the_target_by_the_decay() -> None:
    objective = moved(family.build(Byol, SMALL))
    online, before = objective.online.state_dict(), {k: v.clone() for k, v in objective.target.state_dict().items()}
    objective.after_step()
    for name, value in objective.target.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * online[name])
    assert objective.watched() == {"ema_decay": 0.9}


def test_it_learns_to_predict_the_other_view() -> None:
    early, late = family.learn(family.build(Byol, SMALL), 40, rate=1e-2)
    assert late["align_loss"] < 0.5 * early["align_loss"]


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Byol, SMALL)
    family.assert_stands_anything(Byol, SMALL)
    family.assert_wide_losses(Byol, SMALL)


def test_a_batch_of_one_is_refused_by_the_head() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        family.build(Byol, SMALL)(family.views(1))


def test_both_encoders_are_released() -> None:
    objective = family.build(Byol, SMALL)
    assert objective.encoders() == {
        "online": objective.online["encoder"],
        "target": objective.target.get_submodule("encoder"),
    }


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"decay": 1.5}, r"decay: must be in \[0, 1\], got 1.5"),
        ({"decay": float("nan")}, r"decay: must be in \[0, 1\], got nan"),
        ({"head_hidden": 0}, "head_hidden: must be at least 1, got 0"),
        ({"head_outputs": 0}, "head_outputs: must be at least 1, got 0"),
    ],
)
def test_options_are_checked(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=f"objective_options.{complaint}"):
        BootstrapConfig(**wrong)
