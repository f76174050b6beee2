"""The measures of collapse, and a journal that survives interruptions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.metrics import Journal, embedding_spread


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


def test_a_line_is_written_for_each_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    journal.write(1, {"loss": 0.25, "learning_rate": 1e-3})
    journal.write(2, {"loss": 0.125, "learning_rate": 1e-3})
    assert read_lines(tmp_path) == [
        {"step": 1, "loss": 0.25, "learning_rate": 1e-3},
        {"step": 2, "loss": 0.125, "learning_rate": 1e-3},
    ]
    journal.close()


def test_small_values_keep_their_digits(tmp_path: Path) -> None:
    """The learning rate at the end of a cosine, or at the start of a warm-up."""
    journal = Journal(tmp_path, 0)
    journal.write(1, {"learning_rate": 1.2345e-7})
    journal.close()
    assert read_lines(tmp_path)[0]["learning_rate"] == pytest.approx(1.2345e-7, rel=1e-3)


def test_a_resumed_run_drops_the_lines_of_lost_steps_and_a_half_written_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in range(1, 5):
        journal.write(step, {"loss": float(step)})
    journal.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    resumed = Journal(tmp_path, 2)
    assert [line["step"] for line in read_lines(tmp_path)] == [1, 2]
    resumed.write(3, {"loss": 30.0})
    resumed.close()
    assert [line["loss"] for line in read_lines(tmp_path)] == [1.0, 2.0, 30.0]


def test_tensorboard_shows_each_step_of_a_resumed_run_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in range(1, 5):
        journal.write(step, {"loss": float(step)})
    journal.close()
    resumed = Journal(tmp_path, 2)
    resumed.write(3, {"loss": 30.0})
    resumed.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 2.0), (3, 30.0)]
