"""What the tests of several methods share: small networks, views, steps, and what every method must stand."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from selfie_hear.config import EncoderConfig
from selfie_hear.encoders import Encoder, build_encoder
from training.objectives import Objective, Views
from training.ranks import ALONE, Ranks

CLIPS = 12  # in the pack
MELS, FRAMES = 8, 16
TARGETS = 4  # values of a target


def small_encoder() -> Encoder:
    """Without dropout, so that two passes over the same batch are equal."""
    return build_encoder(EncoderConfig(options={"channels": 3, "hidden": 8, "dropout": 0.0}), MELS)


def build(kind: type[Objective], options: Any, ranks: Ranks = ALONE, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return kind(small_encoder(), options, CLIPS, ranks).train()


def views(count: int = 6, seed: int = 1) -> Views:
    """Of the first clips, one each."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, 1, MELS, FRAMES, generator=generator)
    return Views(first, second, torch.arange(count), torch.randn(1, count, TARGETS, generator=generator))


def noisy_views(count: int = 6, seed: int = 1) -> Views:
    """Two noisy pictures of each of the first clips, which can be told apart."""
    clean = torch.randn(count, 1, MELS, FRAMES, generator=torch.Generator().manual_seed(0))
    batch = views(count, seed)
    return batch._replace(first=clean + 0.3 * batch.first, second=clean + 0.3 * batch.second)


def take_step(objective: Objective, batch: Views, rate: float = 0.01) -> dict[str, Tensor]:
    """One of plain gradient descent; returns the terms before it."""
    objective.zero_grad()
    terms = objective(batch)
    terms["loss"].backward()
    with torch.no_grad():
        for value in objective.parameters():
            if value.grad is not None:
                value -= rate * value.grad
    objective.after_step()
    return {name: value.detach() for name, value in terms.items()}


def learn(objective: Objective, steps: int, rate: float) -> tuple[dict[str, float], dict[str, float]]:
    """Mean terms of the first and of the last ten of these steps on `noisy_views`, with Adam."""
    optimiser = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], lr=rate)
    found = []
    for number in range(steps):
        optimiser.zero_grad()
        terms = objective(noisy_views(seed=number))
        terms["loss"].backward()
        optimiser.step()
        objective.after_step()
        found.append({name: value.item() for name, value in terms.items() if name != "embedding"})
    early, late = (
        {name: sum(terms[name] for terms in ten) / 10 for name in ten[0]} for ten in (found[:10], found[-10:])
    )
    return early, late


def state_of(objective: Objective) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in objective.state_dict().items()}


def assert_resumes_exactly(kind: type[Objective], options: Any) -> None:
    """Three steps, or two, a checkpoint and one more in a fresh object, are the same bit for bit."""
    through = build(kind, options)
    for number in range(2):
        take_step(through, views(seed=number))
    file = io.BytesIO()
    torch.save(through.state_dict(), file)
    file.seek(0)
    resumed = build(kind, options, seed=99)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    torch.manual_seed(12345)  # whatever happened in between
    found = take_step(resumed, views(seed=2))
    expected = take_step(through, views(seed=2))
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    ours, theirs = state_of(resumed), state_of(through)
    assert list(ours) == list(theirs)
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


def assert_stands_anything(kind: type[Objective], options: Any) -> None:
    """Silence, one sound everywhere, one clip everywhere, huge values: what comes of them is finite."""
    batch = views()
    silence, sound = torch.zeros_like(batch.first), batch.first[:1].expand_as(batch.first)
    hard = {
        "zeros": batch._replace(first=silence, second=silence),
        "one sound": batch._replace(first=sound, second=sound),
        "one clip": batch._replace(clips=torch.zeros_like(batch.clips)),
        "huge": batch._replace(first=1e4 * batch.first, second=1e4 * batch.second),
    }
    for name, batch in hard.items():
        objective = build(kind, options)
        for _ in range(2):  # the second meets what the first left
            terms = take_step(objective, batch)
            assert all(torch.isfinite(value).all() for value in terms.values()), name
        values = {**objective.state_dict(), **{key: p.grad for key, p in objective.named_parameters()}}
        assert [key for key, value in values.items() if value is not None and not value.isfinite().all()] == [], name


def assert_every_parameter_learns(objective: Objective, batch: Views) -> None:
    """What takes a gradient gets one, and in its weights it is not zero; the rest gets none."""
    objective.zero_grad()
    objective(batch)["loss"].backward()
    for name, value in objective.named_parameters():
        assert (value.grad is not None) == value.requires_grad, name
        # A bias before a batch normalisation has no effect, so only the weights must feel something.
        if value.grad is not None and name.endswith(("weight", "prototypes")):
            assert value.grad.abs().sum() > 0, name


def assert_wide_losses(kind: type[Objective], options: Any) -> None:
    """Float32 under autocast and float64 in float64, and much the same."""
    batch = views()
    with torch.autocast("cpu", torch.bfloat16):
        half = build(kind, options)(batch)
    wide = batch._replace(first=batch.first.double(), second=batch.second.double())
    double = build(kind, options).double()(wide)
    for name in set(half) - {"embedding"}:
        assert half[name].shape == ()
        assert half[name].dtype == torch.float32
        assert double[name].dtype == torch.float64
    assert half["loss"].item() == pytest.approx(double["loss"].item(), rel=0.1)
