"""COLA: its similarity, its negatives and its head."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from selfie_hear.config import ConfigError
from selfie_hear.pooling import mean_max
from tests.training import family
from training.objectives import Views
from training.objectives.cola import Cola, ColaConfig

SMALL = ColaConfig(head_outputs=5)


def test_terms_are_the_cross_entropy_and_the_accuracy_of_the_bilinear_similarity() -> None:
    objective = family.build(Cola, SMALL)
    batch = family.views()
    terms = objective(batch)
    assert set(terms) == {"loss", "contrastive_loss", "accuracy", "embedding"}
    encoder, projector = objective.online["encoder"], objective.online["projector"]
    with torch.no_grad():
        z, other = (torch.tanh(projector[1](projector[0](mean_max([encoder(view)])))) for view in batch[:2])
        weight = objective.similarity.weight
        scores = torch.stack([torch.stack([anchor @ weight @ row for row in other]) for anchor in z])
    expected = -scores.log_softmax(1).diagonal().mean()
    assert terms["loss"].item() == terms["contrastive_loss"].item() == pytest.approx(expected.item(), abs=1e-5)
    assert terms["accuracy"].item() == pytest.approx((scores.argmax(1) == torch.arange(6)).float().mean().item())
    torch.testing.assert_close(terms["embedding"], mean_max([encoder(batch.first)]))
    assert not terms["embedding"].requires_grad


def test_the_first_view_is_the_anchor() -> None:
    first, second, clips = family.views()[:3]
    there, back = (family.build(Cola, SMALL)(Views(*pair, clips)) for pair in ((first, second), (second, first)))
    assert there["loss"].item() != pytest.approx(back["loss"].item(), abs=1e-4)


def test_crops_of_one_clip_are_no_negatives() -> None:
    """Where a clip comes twice, its pairs lose a negative each, and where all is one clip none is left."""
    first, second, clips = family.views()[:3]
    losses = [
        family.build(Cola, SMALL)(Views(first, second, torch.tensor(owners)))["loss"].item()
        for owners in (clips.tolist(), [0, 0, 2, 3, 4, 5], [3] * 6)
    ]
    assert losses[0] > losses[1] > losses[2] == 0.0


@pytest.mark.parametrize("layer_norm", [True, False])
def test_the_head_is_one_layer_with_or_without_layer_norm(layer_norm: bool) -> None:
    objective = family.build(Cola, ColaConfig(head_outputs=5, layer_norm=layer_norm))
    kinds = [type(layer) for layer in objective.online["projector"]]
    assert kinds == [nn.Linear, *[nn.LayerNorm] * layer_norm, nn.Tanh]
    assert objective.online["projector"][0].out_features == 5
    assert ColaConfig().head_outputs == 512
    family.assert_every_parameter_learns(objective, family.views())


def test_a_batch_of_one_has_no_negatives() -> None:
    terms = family.build(Cola, SMALL)(family.views(1))
    assert terms["loss"].item() == 0.0
    assert terms["accuracy"].item() == 1.0


def test_it_learns_to_tell_clips_apart() -> None:
    early, late = family.learn(family.build(Cola, ColaConfig(head_outputs=16)), 60, rate=1e-2)
    assert early["accuracy"] < 0.6 and late["accuracy"] > 0.8
    assert late["loss"] < 0.5 * early["loss"]


def test_it_resumes_exactly_stands_anything_and_keeps_its_losses_wide() -> None:
    family.assert_resumes_exactly(Cola, SMALL)
    family.assert_stands_anything(Cola, SMALL)
    family.assert_wide_losses(Cola, SMALL)


def test_the_online_encoder_is_released() -> None:
    objective = family.build(Cola, SMALL)
    assert objective.encoders() == {"online": objective.online["encoder"]}


def test_options_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"objective_options.head_outputs: must be at least 1, got 0"):
        ColaConfig(head_outputs=0)
