"""Sampling of clips: how often each is in an epoch, in which order, and by which weight."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfie_hear.config import ConfigError
from tests.training.ramps import BATCH, CROP, DOMAINS, EPOCH, Clips, crops_of, pack_ramps, read_all, source_of
from training.corpus import crops as crops_module
from training.corpus.crops import Crops, SamplingConfig
from training.corpus.shards import PackError

SLOTS = (1, 3, 5, 1, 1, 1)  # crops of each clip in an epoch: its length in crops, rounded, at least one


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_ramps(tmp_path_factory.mktemp("ramps"))


def taken(crops: Crops, steps: range) -> Counter[int]:
    """How often each clip is taken in these batches."""
    return Counter(source_of(row)[0] for step in steps for row in read_all(crops, step)[0])


def counts(*each: int) -> Counter[int]:
    return Counter({clip: count for clip, count in enumerate(each) if count})


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_takes_each_clip_as_often_as_it_is_long(folder: Path, epoch: int) -> None:
    crops = crops_of(folder)
    assert crops.crops_per_epoch == EPOCH * BATCH
    assert taken(crops, range(epoch * EPOCH, (epoch + 1) * EPOCH)) == counts(*SLOTS)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_by_clip_an_epoch_takes_each_clip_once(folder: Path, epoch: int) -> None:
    crops = crops_of(folder, batch=3, by="clip")
    assert crops.crops_per_epoch == 6
    assert taken(crops, range(2 * epoch, 2 * epoch + 2)) == counts(1, 1, 1, 1, 1, 1)


def test_batches_that_straddle_epochs_neither_lose_nor_repeat_a_clip(folder: Path) -> None:
    """Twelve batches of 5 are five epochs of 12."""
    assert taken(crops_of(folder, batch=5), range(12)) == counts(*(5 * count for count in SLOTS))


def test_a_batch_may_be_larger_than_an_epoch(folder: Path) -> None:
    crops = crops_of(folder, batch=36)
    for step in (0, 1, 0):
        assert taken(crops, range(step, step + 1)) == counts(*(3 * count for count in SLOTS))


def test_epochs_differ_in_their_order(folder: Path) -> None:
    crops = crops_of(folder, batch=12)
    orders = {tuple(source_of(row)[0] for row in read_all(crops, epoch)[0]) for epoch in range(6)}
    assert len(orders) == 6


def test_a_step_far_away_is_a_batch_like_any_other(folder: Path) -> None:
    step = 3 * 10**9
    assert taken(crops_of(folder, seed=2**40), range(step, step + EPOCH)) == counts(*SLOTS)


def test_an_epoch_is_put_in_order_once_however_many_threads_ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a large pack takes a second and tens of megabytes."""
    orders: list[int] = []
    default_rng = np.random.default_rng

    def slow(seed: list[int]) -> np.random.Generator:
        if seed[1] == 0:
            orders.append(seed[2])
            time.sleep(0.05)
        return default_rng(seed)

    monkeypatch.setattr(np.random, "default_rng", slow)
    crops = crops_of(folder, batch=1, by="clip")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda step: read_all(crops, step), range(6)))
    assert orders == [0]


def test_of_very_many_clips_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = Clips([CROP] * 70_000, [])
    monkeypatch.setattr(crops_module, "Pack", lambda _: clips)
    read_all(crops_of(Path(), batch=70_000), 0)
    assert sorted(clip for clip, _, _ in clips.cuts) == list(range(70_000))


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"bird": 2}, (2, 6, 5, 1, 1, 1)),
        ({"bird": 3, "speech": 2.0, "wind": 0}, (3, 9, 10, 2, 0, 1)),
        ({"bird": 0, "wind": 0}, (0, 0, 5, 1, 0, 1)),
        ({"": 0}, (1, 3, 5, 1, 1, 0)),
        ({"": 4, "speech": 0.0}, (1, 3, 0, 0, 1, 4)),
    ],
)
def test_whole_weights_multiply_the_crops_of_each_epoch(
    folder: Path, weights: dict[str, float], expected: tuple[int, ...]
) -> None:
    total = sum(expected)
    crops = crops_of(folder, batch=total, column="domain", weights=weights)
    assert crops.crops_per_epoch == total
    for epoch in range(20):
        assert taken(crops, range(epoch, epoch + 1)) == counts(*expected)


@pytest.mark.parametrize("by", ["duration", "clip"])
@pytest.mark.parametrize(
    "weights",
    [
        {"bird": 0.5},
        {"bird": 0.3, "speech": 1.7, "wind": 0.05},
        {"bird": 0.01, "speech": 0.02, "wind": 0.01, "": 0.005},  # less than one crop in all
        {"speech": 1 / 3, "": 0},
    ],
)
def test_fractions_are_within_one_in_each_epoch_and_exact_in_the_long_run(
    folder: Path, weights: dict[str, float], by: str
) -> None:
    slots = SLOTS if by == "duration" else (1,) * 6
    rates = np.array([count * weights.get(domain, 1.0) for count, domain in zip(slots, DOMAINS, strict=True)])
    total = max(1, round(rates.sum()))
    share = rates / rates.sum() * total
    crops = crops_of(folder, batch=total, by=by, column="domain", weights=weights)
    assert crops.crops_per_epoch == total
    epochs = np.zeros((800, 6))
    for epoch in range(len(epochs)):
        for clip, count in taken(crops, range(epoch, epoch + 1)).items():
            epochs[epoch, clip] = count
    assert (np.abs(epochs - share) < 1).all()
    np.testing.assert_allclose(epochs.mean(0), share, atol=0.06)  # a standard deviation is at most 0.018


def test_weight_0_means_never_whatever_the_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of fractions miss the whole number at the end of an epoch by a few bits, above or below."""
    for clips in range(1, 60):
        for weight in (0.1, 0.3, 0.7, 1 / 3, 1.1):
            domains = ["some"] * clips + ["none"] * 3
            pack = Clips([CROP] * len(domains), domains)
            monkeypatch.setattr(crops_module, "Pack", lambda _, pack=pack: pack)
            crops = crops_of(Path(), column="domain", weights={"some": weight, "none": 0})
            for draw in (0.0, 1e-17, 1e-16, 1 - 1e-16):
                edges = np.floor(crops._ends + draw)
                assert edges[-1] >= crops.crops_per_epoch
                assert (np.diff(edges) >= 0).all()
                assert (np.diff(edges)[clips - 1 :] == 0).all()


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"column": "domain", "weights": {"birds": 2, "bird": 3}}, "no 'birds'; it has '', 'bird', 'speech', 'wind'"),
        ({"column": "domain", "weights": {"y": 1, "x": 1}}, "column domain has no 'x', 'y'"),
        ({"column": "domain", "weights": {"": 0, "bird": 0, "speech": 0, "wind": 0}}, "leave no clip to train on"),
        ({"column": "domain", "weights": {"bird": 1e12}}, r"epoch would be of 4e\+12 crops.*lower sampling.weights"),
        ({"column": "domain", "weights": {"bird": 1.7e308}}, "lower sampling.weights"),
    ],
)
def test_weights_that_do_not_fit_the_pack_are_refused(folder: Path, sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message), np.errstate(over="ignore"):
        crops_of(folder, **sampling)


def test_an_unknown_column_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(PackError, match="has no column 'domian'; its columns are domain, licence"):
        crops_of(folder, column="domian", weights={"bird": 2})


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"by": "second"}, "sampling.by: 'second' is unknown; known are duration, clip"),
        ({"crops_per_clip": 3}, "sampling.crops_per_clip: must be 1 or 2, got 3"),
        ({"crops_per_clip": 0}, "sampling.crops_per_clip: must be 1 or 2, got 0"),
        ({"column": "domain"}, "column and weights go together, got column 'domain' and weights {}"),
        ({"weights": {"bird": 2}}, "column and weights go together, got column '' and weights {'bird': 2}"),
        ({"column": "domain", "weights": {"bird": -0.5}}, "weights.bird: expected a number of at least 0, got -0.5"),
        ({"column": "domain", "weights": {"bird": "2"}}, "weights.bird: expected a number of at least 0, got '2'"),
        ({"column": "domain", "weights": {"bird": True}}, "weights.bird: expected a number of at least 0, got True"),
        ({"column": "domain", "weights": {"bird": float("nan")}}, "expected a number of at least 0, got nan"),
        ({"column": "domain", "weights": {"bird": float("inf")}}, "expected a number of at least 0, got inf"),
        ({"column": "domain", "weights": {1: 2}}, "the values of a column are text, got 1; put it in quotes"),
    ],
)
def test_sampling_without_sense_is_refused(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SamplingConfig(**sampling)
