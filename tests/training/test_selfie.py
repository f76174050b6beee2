"""The SELFIE objective: its terms, its two directions and where its gradients go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from selfie_hear.config import ConfigError, EncoderConfig
from selfie_hear.encoders import build_encoder
from selfie_hear.pooling import mean_max
from tests.training.runs import tiny
from training.objectives import Selfie, SelfieConfig, Views, build_objective
from training.ranks import ALONE

SMALL = SelfieConfig(head_hidden=16, head_outputs=4)
TERMS = ("loss", "align_loss", "diversity_loss", "decorrelation_loss")


def small_objective(config: SelfieConfig = SMALL) -> Selfie:
    """Without dropout, so that two passes over the same batch are equal; the target has moved away from the online."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(options={"channels": 3, "hidden": 8, "dropout": 0.0}), n_mels=8)
    objective = Selfie(encoder, config, 6, ALONE).train()
    with torch.no_grad():
        for value in objective.target.parameters():
            value.add_(0.2 * torch.randn_like(value))
    return objective


def views(count: int = 6) -> Views:
    first, second = torch.randn(2, count, 1, 8, 16, generator=torch.Generator().manual_seed(1))
    return Views(first, second, torch.arange(count))


def project(network: nn.Module, view: Tensor) -> Tensor:
    frames = network.get_submodule("encoder")(view)
    projection: Tensor = network.get_submodule("projector")(mean_max([frames]))
    return projection


def test_terms_are_scalars_and_the_embedding_carries_no_graph() -> None:
    objective = small_objective()
    terms = objective(views())
    assert set(terms) == {*TERMS, "embedding"}
    assert all(terms[name].shape == () and terms[name].requires_grad for name in TERMS)
    assert terms["embedding"].shape == (6, objective.encoders()["online"].dim)
    assert not terms["embedding"].requires_grad


def test_embedding_is_the_mean_plus_max_of_the_online_encoder_over_the_first_view() -> None:
    objective = small_objective()
    first, second, clips, _ = views()
    frames = objective.online["encoder"](first)
    torch.testing.assert_close(objective(Views(first, second, clips))["embedding"], frames.mean(1) + frames.amax(1))


@pytest.mark.parametrize(("diversity", "decorrelation"), [(1.0, 1.0), (0.5, 3.0), (0.0, 0.0)])
def test_loss_is_the_weighted_sum_of_its_terms(diversity: float, decorrelation: float) -> None:
    config = SelfieConfig(diversity, decorrelation, head_hidden=16, head_outputs=4)
    terms = {name: value.item() for name, value in small_objective(config)(views()).items() if name in TERMS}
    expected = terms["align_loss"] + diversity * terms["diversity_loss"] + decorrelation * terms["decorrelation_loss"]
    assert terms["loss"] == pytest.approx(expected, abs=1e-6)
    assert terms["align_loss"] > 0
    assert -2 <= terms["diversity_loss"] < 0
    assert terms["decorrelation_loss"] > 0


def test_terms_are_those_of_both_directions_averaged() -> None:
    """Each view through the online network, against the other through the target network, row by row."""
    objective = small_objective()
    first, second, clips, _ = views()
    align, diverse, correlated = [], [], []
    with torch.no_grad():
        for view, other in ((first, second), (second, first)):
            q = F.normalize(objective.predictor(project(objective.online, view)), dim=1)
            z = F.normalize(project(objective.target, other), dim=1)
            n = len(q)
            align.append(sum((q[i] - z[i]).square().sum().item() for i in range(n)) / n)
            diverse.append(-sum((q[i] - q[j]).square().sum().item() for i in range(n) for j in range(n)) / n**2)
            covariance = torch.cov(q.T)
            correlated.append((covariance - covariance.diag().diag()).square().sum().item())
    terms = objective(Views(first, second, clips))
    assert terms["align_loss"].item() == pytest.approx(sum(align) / 2, abs=1e-5)
    assert terms["diversity_loss"].item() == pytest.approx(sum(diverse) / 2, abs=1e-5)
    assert terms["decorrelation_loss"].item() == pytest.approx(sum(correlated) / 2, abs=1e-5)


def test_terms_do_not_depend_on_which_view_comes_first() -> None:
    first, second, clips, _ = views()
    there, back = (small_objective()(Views(*pair, clips)) for pair in ((first, second), (second, first)))
    for name in TERMS:
        assert there[name].item() == pytest.approx(back[name].item(), abs=1e-6)
    assert not torch.allclose(there["embedding"], back["embedding"])


def test_gradient_reaches_every_online_parameter_and_no_target_one() -> None:
    objective = small_objective()
    objective(views())["loss"].backward()
    learning = {name: p for name, p in objective.named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in learning} == {"online", "predictor"}
    assert all(p.grad is not None for p in learning.values())
    # A bias before a batch normalisation has no effect, so only the weights must feel something.
    assert all(p.grad.abs().sum() > 0 for name, p in learning.items() if name.endswith("weight") and p.grad is not None)
    assert all(p.grad is None and not p.requires_grad for p in objective.target.parameters())


def test_after_a_step_the_target_has_moved_towards_the_online_network() -> None:
    objective = small_objective(SelfieConfig(decay=0.9, head_hidden=16, head_outputs=4))
    online, before = objective.online.state_dict(), {k: v.clone() for k, v in objective.target.state_dict().items()}
    objective.after_step()
    for name, value in objective.target.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * online[name])


def test_encoders_are_the_online_and_the_target_one() -> None:
    objective = small_objective()
    encoders = objective.encoders()
    assert list(encoders) == ["online", "target"]
    assert encoders["online"] is objective.online["encoder"]
    assert encoders["target"] is objective.target.get_submodule("encoder")


def test_heads_have_the_sizes_of_the_configuration() -> None:
    objective = small_objective()
    shapes = [tuple(p.shape) for p in objective.predictor.parameters()]
    assert shapes == [(16, 4), (16,), (16,), (16,), (4, 16), (4,)]
    dim = objective.encoders()["online"].dim
    assert tuple(next(objective.online["projector"].parameters()).shape) == (16, dim)


def test_losses_are_float32_under_autocast_and_float64_in_float64() -> None:
    first, second, clips, _ = views()
    with torch.autocast("cpu", torch.bfloat16):
        half = small_objective()(Views(first, second, clips))
    double = small_objective().double()(Views(first.double(), second.double(), clips))
    for name in TERMS:
        assert half[name].dtype == torch.float32
        assert double[name].dtype == torch.float64
        assert half[name].item() == pytest.approx(double[name].item(), abs=0.05)


def test_networks_are_a_function_of_the_seed() -> None:
    first = build_objective(tiny(), 6).state_dict()
    torch.manual_seed(99)
    again, other = (
        build_objective(tiny(), 6).state_dict(),
        build_objective(replace(tiny(), seed=1), 6).state_dict(),
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["predictor.0.weight"], other["predictor.0.weight"])


def test_unknown_names_and_options_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="objective 'bjol' is unknown; known are selfie, byol, "):
        build_objective(replace(tiny(), objective="bjol"), 6)
    with pytest.raises(ConfigError, match=r"objective_options: unknown key 'tau'; known keys are .*decay"):
        build_objective(replace(tiny(), objective_options={"tau": 0.9}), 6)
    with pytest.raises(ConfigError, match=r"objective_options.decay: must be in \[0, 1\], got 1.5"):
        build_objective(replace(tiny(), objective_options={"decay": 1.5}), 6)
    model = replace(tiny().model, encoder=EncoderConfig(options={"width": 3}))
    with pytest.raises(ConfigError, match="unknown option width; options are blocks, channels, dropout, hidden"):
        build_objective(replace(tiny(), model=model), 6)
