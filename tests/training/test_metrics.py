"""The measures of collapse, and a journal that survives interruptions."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training import metrics
from training.metrics import Journal, embedding_spread, peak_memory_mb

CPU = torch.device("cpu")


def read_lines(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_collapsed_batch_has_no_spread_and_rank_1() -> None:
    row = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    spread = embedding_spread(row.expand(16, 32))
    assert spread["embedding_std"] == pytest.approx(0.0, abs=1e-6)
    assert spread["effective_rank"] == pytest.approx(1.0)


def test_a_random_batch_has_nearly_full_spread_and_rank() -> None:
    spread = embedding_spread(torch.randn(256, 16, generator=torch.Generator().manual_seed(0)))
    assert spread["embedding_std"] == pytest.approx(1.0, abs=0.05)
    assert 15.5 < spread["effective_rank"] <= 16.0


def test_embeddings_on_a_line_have_rank_1() -> None:
    line = torch.tensor([[1.0, 2.0, 2.0]])
    assert embedding_spread(torch.cat([line, -line, line, -line]))["effective_rank"] == pytest.approx(1.0)


def test_effective_rank_by_hand() -> None:
    """Singular values sqrt(8) and sqrt(2) have shares 2/3 and 1/3, whose entropy is log(3) - 2/3 log(2)."""
    rows = [[1.0, 0.0], [-1.0, 0.0]] * 4 + [[0.0, 1.0], [0.0, -1.0]]
    assert embedding_spread(torch.tensor(rows))["effective_rank"] == pytest.approx(3 / 2 ** (2 / 3), abs=1e-5)


def test_embedding_std_by_hand_and_whatever_the_length_of_the_embeddings() -> None:
    """+-1 along one of two axes: standard deviations sqrt(4/3) and 0, mean 0.577, times sqrt(2)."""
    rows = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]])
    expected = (4 / 3) ** 0.5 / 2 * 2**0.5
    assert embedding_spread(rows)["embedding_std"] == pytest.approx(expected, abs=1e-5)
    assert embedding_spread(50.0 * rows)["embedding_std"] == pytest.approx(expected, abs=1e-5)


PEAKS = """
import torch
from training.metrics import peak_memory_mb
peaks = [peak_memory_mb(torch.device("cpu"))]
for megabytes in (200, 100):
    block = bytearray(b"x") * (megabytes * 1_000_000)
    peaks.append(peak_memory_mb(torch.device("cpu")))
    del block
print(*peaks)
"""


def test_the_peak_is_the_most_that_this_process_held(root: Path) -> None:
    """Not what the process that started it held, although the system counts that too."""
    ballast = np.ones(40_000_000)
    words = [sys.executable, "-c", PEAKS]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True, timeout=100)
    before, larger, after = map(float, done.stdout.split())
    assert 50 < before < 2000
    assert 190 < larger - before < 230
    assert after == pytest.approx(larger, abs=5)
    assert peak_memory_mb(CPU) > ballast.nbytes / 1e6 + 100


@pytest.mark.parametrize(("platform", "expected"), [("darwin", 500.0), ("linux", 512000.0)])
def test_without_proc_the_peak_is_the_systems_in_its_unit(
    platform: str, expected: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes or KiB."""
    usage = SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda _: SimpleNamespace(ru_maxrss=500_000_000))
    monkeypatch.setattr(metrics, "resource", usage)
    monkeypatch.setattr(metrics, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(metrics, "Path", lambda _: tmp_path / "nowhere")
    assert peak_memory_mb(CPU) == expected


def test_the_peak_of_a_gpu_is_that_of_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1_000_000 * (2 + device.index))
    assert peak_memory_mb(torch.device("cuda", 3)) == 5.0


def write_steps(run: Path, since: int, *steps: int) -> None:
    with Journal(run, since) as journal:
        for step in steps:
            journal.write(step, {"loss": float(step)})


def test_a_line_is_written_for_each_step_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path, 0) as journal:
        journal.write(1, {"loss": 0.25, "learning_rate": 1e-3})
        assert read_lines(tmp_path) == [{"step": 1, "loss": 0.25, "learning_rate": 1e-3}]
        journal.write(2, {"loss": 0.125, "learning_rate": 1e-3})
    assert read_lines(tmp_path)[1:] == [{"step": 2, "loss": 0.125, "learning_rate": 1e-3}]


def test_small_values_keep_their_digits(tmp_path: Path) -> None:
    """The learning rate at the end of a cosine, or at the start of a warm-up."""
    with Journal(tmp_path, 0) as journal:
        journal.write(1, {"learning_rate": 1.2345e-7})
    assert read_lines(tmp_path)[0]["learning_rate"] == pytest.approx(1.2345e-7, rel=1e-3)


def test_leaving_ends_tensorboards_thread_even_after_an_error(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Journal(tmp_path, 0) as journal:
        journal.write(1, {"loss": 1.0})
        assert threading.active_count() > before
        raise KeyboardInterrupt
    assert threading.active_count() == before
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1]


@pytest.mark.parametrize(
    "torn",
    [
        b'{"step": 5, "lo',
        b'{"step": 2',
        b'{"step": 2, "loss": 9.0}',
        b'{"loss": 1.0}\n',
        b"\0\0\0\0\n",
        b"\xff\xfe\n",
        b"[]\n7\nnull\n\n",
    ],
)
def test_a_resumed_run_drops_the_lines_of_lost_steps_and_torn_ones(tmp_path: Path, torn: bytes) -> None:
    write_steps(tmp_path, 0, 1, 2, 3, 4)
    with (tmp_path / "metrics.jsonl").open("ab") as file:
        file.write(torn)
    with Journal(tmp_path, 2) as resumed:
        assert [line["step"] for line in read_lines(tmp_path)] == [1, 2]
        resumed.write(3, {"loss": 30.0})
    assert [line["loss"] for line in read_lines(tmp_path)] == [1.0, 2.0, 30.0]


def test_resumed_at_its_last_step_a_run_drops_nothing(tmp_path: Path) -> None:
    write_steps(tmp_path, 0, 1, 2)
    write_steps(tmp_path, 2, 3)
    assert [line["step"] for line in read_lines(tmp_path)] == [1, 2, 3]


def test_tensorboard_shows_each_step_of_a_resumed_run_once(tmp_path: Path) -> None:
    write_steps(tmp_path, 0, 1, 2, 3, 4)
    with Journal(tmp_path, 2) as resumed:
        resumed.write(3, {"loss": 30.0})
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
