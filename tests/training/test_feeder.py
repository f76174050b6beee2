"""Batches read ahead: in order, by any number of threads, errors and all."""

from __future__ import annotations

import threading
import time
from itertools import count
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from training.corpus.crops import Batch, Crops
from training.corpus.feeder import Feeder

CPU = torch.device("cpu")
ROWS = np.array([2, 0])


class Reader:
    """Reads batches that hold the number of their step; slowly, or not the one that is broken."""

    def __init__(self, seconds: float = 0.0, broken: int = -1) -> None:
        self.seconds, self.broken = seconds, broken
        self.steps: list[int] = []

    def read(self, step: int, rows: np.ndarray) -> Batch:
        self.steps.append(step)
        time.sleep(self.seconds)
        if step == self.broken:
            raise OSError(f"batch {step} cannot be read")
        audio = torch.full((1, len(rows), 5), step, dtype=torch.int16)
        return Batch(audio, torch.from_numpy(rows), torch.empty(1, len(rows), 0))


def feeder(reader: Reader, step: int = 0, threads: int = 2, ahead: int = 4) -> Feeder:
    return Feeder(cast(Crops, reader), ROWS, CPU, step, threads, ahead)


def equal(here: Batch, there: Batch) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(here, there, strict=True))


def feeders_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]


@pytest.mark.parametrize("threads", [1, 8])
@pytest.mark.parametrize("step", [0, 7])
def test_batches_are_those_of_the_crops_in_order_from_a_step_on(packed: Path, threads: int, step: int) -> None:
    crops = Crops(packed, 8000, 512, 4, 0)
    with Feeder(Crops(packed, 8000, 512, 4, 0), ROWS, CPU, step, threads, ahead=9) as source:
        batches = [source.next() for _ in range(20)]
    for number, batch in enumerate(batches):
        assert batch.audio.dtype == torch.int16
        assert batch.audio.device == CPU
        assert batch.audio.shape == (1, 2, 8000 + 2 * 512)
        assert equal(batch, crops.read(step + number, ROWS))


def test_batches_that_are_ready_in_another_order_are_given_in_theirs() -> None:
    class Uneven(Reader):
        def read(self, step: int, rows: np.ndarray) -> Batch:
            time.sleep(0.01 * (step % 4 == 0))
            return super().read(step, rows)

    reader = Uneven()
    with feeder(reader, threads=4) as source:
        assert [int(source.next().audio[0, 0, 0]) for _ in range(20)] == list(range(20))
    assert reader.steps != sorted(reader.steps)


def test_no_more_is_read_than_is_kept_ready() -> None:
    reader = Reader()
    with feeder(reader, step=10, ahead=3) as source:
        for _ in range(5):
            source.next()
        deadline = time.monotonic() + 5
        while len(reader.steps) < 8 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.02)
        assert sorted(reader.steps) == list(range(10, 18))  # five were taken, three are ready


@pytest.mark.parametrize("threads", [1, 8])
def test_what_goes_wrong_in_reading_is_raised_where_the_batch_is_asked_for(threads: int) -> None:
    with pytest.raises(OSError, match="batch 3 cannot be read"), feeder(Reader(broken=3), threads=threads) as source:
        for step in range(3):
            assert int(source.next().audio[0, 0, 0]) == step
        source.next()
    assert feeders_threads() == []


def test_waiting_is_counted_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves whenever it is read: once before a wait and once after it."""
    monkeypatch.setattr("training.corpus.feeder.time.perf_counter", count(0.0, 0.5).__next__)
    with feeder(Reader(), threads=1) as source:
        source.next()
        source.next()
        assert source.take_wait() == 1.0
        assert source.take_wait() == 0.0
        source.next()
        assert source.take_wait() == 0.5


@pytest.mark.parametrize("threads", [1, 4])
def test_leaving_stops_the_threads_and_reads_nothing_more(threads: int) -> None:
    reader = Reader(seconds=0.2)
    with pytest.raises(KeyboardInterrupt), feeder(reader, threads=threads, ahead=20):
        raise KeyboardInterrupt
    assert feeders_threads() == []
    assert len(reader.steps) <= threads


def test_on_the_device_batches_are_the_same(packed: Path) -> None:
    crops, device = Crops(packed, 8000, 512, 4, 0), torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    with Feeder(crops, ROWS, device, 0, threads=4) as source:
        batches = [source.next() for _ in range(50)]
    for step, batch in enumerate(batches):
        assert batch.audio.device == batch.clips.device == device
        assert equal(batch.to(CPU), crops.read(step, ROWS))
