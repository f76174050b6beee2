"""The loop on a network of a few thousand values: its schedules, its resumption and its refusals."""

from __future__ import annotations

import copy
import json
import resource
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfie_hear.config import ConfigError, ModelConfig
from selfie_hear.encoders import Encoder
from selfie_hear.pretrained import load_release
from tests.training.processes import CPU, Ended, command, in_ranks
from tests.training.runs import TIMES, ignore, metrics_of, steps_of, tensors_of, tiny, without_times
from training.augment import Augmentation
from training.checkpoint import checkpoints
from training.config import TrainConfig
from training.corpus.crops import Batch, SamplingConfig
from training.corpus.pack import pack
from training.corpus.shards import PackError
from training.evaluate.knn import Probe
from training.export import export
from training.loop import Trainer, TrainingError
from training.objectives import Views
from training.ranks import Ranks
from training.schedule import learning_rate

SELDOM = replace(tiny(), checkpoint_every=1000)


@pytest.fixture(autouse=True)
def few_curves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run draws them twice, which takes as long as twenty steps: only where a test is about them."""
    if "curves" not in request.node.name:
        monkeypatch.setattr("training.metrics.draw_curves", lambda *_: None)


def batch_of(trainer: Trainer) -> Batch:
    """What the next step trains on."""
    return trainer.crops.read(trainer.step, trainer.rows)


def state_of(trainer: Trainer) -> dict[str, Tensor]:
    return dict(tensors_of([trainer.objective.state_dict(), trainer.optimiser.state_dict()]))


def assert_same_state(found: Trainer, expected: Trainer) -> None:
    ours, theirs = state_of(found), state_of(expected)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 100
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []


@pytest.fixture(scope="module")
def release(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported from three steps of the tiny recipe."""
    folder = tmp_path_factory.mktemp("release")
    Trainer(SELDOM, packed, folder / "run", CPU).fit(3, ignore)
    export(folder / "run", folder / "mine")
    return folder / "mine"


# Resuming.


@pytest.mark.parametrize("changes", [{}, {"accumulate": 2}, {"sampling": SamplingConfig(crops_per_clip=2)}])
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    packed: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(SELDOM, **changes)
    through = Trainer(config, packed, tmp_path / "through", CPU)
    through.fit(6, ignore)
    first = Trainer(config, packed, tmp_path / "halves", CPU)
    first.fit(3, ignore)
    torch.manual_seed(12345)  # whatever happened in between
    second = Trainer(config, packed, tmp_path / "halves", CPU)
    assert second.step == 3
    assert second.seconds == first.seconds > 0
    second.fit(6, ignore)
    assert_same_state(second, through)
    assert without_times(metrics_of(tmp_path / "halves")) == without_times(metrics_of(tmp_path / "through"))


def test_a_run_killed_between_checkpoints_is_repeated_from_the_last_one(packed: Path, tmp_path: Path) -> None:
    """Checkpoint at step 2, killed after step 3: no checkpoint, but a line of it in the journal."""
    config = replace(tiny(), checkpoint_every=2)

    def kill(step: int, _values: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(config, packed, tmp_path / "run", CPU).fit(4, kill)
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    resumed = Trainer(config, packed, tmp_path / "run", CPU)
    assert resumed.step == 2
    resumed.fit(4, ignore)
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4]

    through = Trainer(config, packed, tmp_path / "through", CPU)
    through.fit(4, ignore)
    assert_same_state(resumed, through)


def test_where_a_resumed_run_cannot_be_bit_equal_it_says_so(
    packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Trainer(SELDOM, packed, tmp_path, CPU).fit(1, ignore)
    threads = torch.get_num_threads()
    Trainer(SELDOM, packed, tmp_path, CPU)
    assert "bit for bit" not in caplog.text
    try:
        torch.set_num_threads(threads + 1)
        resumed = Trainer(SELDOM, packed, tmp_path, CPU)
    finally:
        torch.set_num_threads(threads)
    assert resumed.step == 1
    assert f"not bit for bit what it would have been: threads {threads + 1} instead of {threads}\n" in caplog.text


def test_checkpoints_without_their_settings_are_not_resumed(packed: Path, tmp_path: Path) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(1, ignore)
    (tmp_path / "run" / "config.json").unlink()
    with pytest.raises(ConfigError, match=r"config\.json: missing, though the run has checkpoints"):
        Trainer(tiny(), packed, tmp_path / "run", CPU)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 2e-3}, "learning_rate"),
        ({"seed": 1, "batch": 4}, "batch, seed"),
        ({"accumulate": 2}, "accumulate"),
        ({"sampling": SamplingConfig(by="clip")}, "sampling"),
        ({"objective_options": {"decay": 0.5, "head_hidden": 32, "head_outputs": 8}}, "objective_options"),
    ],
)
def test_a_run_is_not_resumed_with_other_settings(
    packed: Path, tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(0, ignore)
    before = (tmp_path / "run" / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=rf"other settings \({named} of config.json differ\)"):
        Trainer(replace(tiny(), **changes), packed, tmp_path / "run", CPU)
    assert (tmp_path / "run" / "config.json").read_bytes() == before
    assert Trainer(tiny(), packed, tmp_path / "run", CPU).step == 0


def test_a_run_is_not_resumed_on_other_data(audio_folder: Path, packed: Path, tmp_path: Path) -> None:
    Trainer(tiny(), packed, tmp_path / "run", CPU).fit(0, ignore)
    pack([audio_folder / "3.wav"], tmp_path / "other")
    with pytest.raises(ConfigError, match=r"other settings \(.*sha256.* of data.json differ\)"):
        Trainer(tiny(), tmp_path / "other", tmp_path / "run", CPU)


def test_how_a_run_is_watched_may_change_when_it_is_resumed(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Trainer(replace(tiny(), log_every=1, checkpoint_every=1, keep_checkpoints=3), packed, run, CPU).fit(3, ignore)
    assert [path.name for path in checkpoints(run / "checkpoints")] == [f"step-0000000{n}.pt" for n in (1, 2, 3)]
    config = replace(tiny(), log_every=2, checkpoint_every=4, keep_checkpoints=1)
    Trainer(config, packed, run, CPU).fit(7, ignore)
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000007.pt"]
    assert steps_of(run) == [1, 2, 3, 4, 6, 7]
    assert json.loads((run / "config.json").read_text())["keep_checkpoints"] == 1
    through = Trainer(SELDOM, packed, tmp_path / "through", CPU)
    through.fit(7, ignore)
    assert_same_state(Trainer(config, packed, run, CPU), through)


# What a run leaves.


def test_a_run_leaves_its_settings_its_metrics_its_curves_and_its_last_checkpoints(
    packed: Path, tmp_path: Path
) -> None:
    shown: list[int] = []
    run = tmp_path / "run"
    config = replace(tiny(), log_every=3, checkpoint_every=2)
    Trainer(config, packed, run, CPU).fit(7, lambda step, _: shown.append(step))
    assert {path.name for path in run.iterdir()} == {
        *("config.json", "data.json", "metrics.jsonl", "curves.png"),
        *("checkpoints", "tensorboard", ".lock"),
    }
    assert [path.name for path in (run / "checkpoints").iterdir() if path.suffix != ".pt"] == []
    assert [path.name for path in checkpoints(run / "checkpoints")] == ["step-00000006.pt", "step-00000007.pt"]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert shown == steps_of(run) == [3, 6, 7]
    assert json.loads((run / "config.json").read_text())["learning_rate"] == 1e-3
    last = metrics_of(run)[-1]
    assert {"loss", "align_loss", "diversity_loss", "decorrelation_loss", "embedding_std", "effective_rank"} < set(last)
    assert set(last) > TIMES
    assert (last["learning_rate"], last["ema_decay"]) == (1e-3, 0.9)
    assert last["epoch"] == pytest.approx(7 * 8 / 12, abs=1e-4)  # 1 + 1 + 2 + 2 + 3 + 3 crops of six clips


def test_a_finished_run_is_left_as_it_is(packed: Path, tmp_path: Path) -> None:
    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(2, ignore)
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*/*.pt")}
    again = Trainer(SELDOM, packed, tmp_path / "run", CPU)
    again.fit(2, ignore)
    assert again.step == 2
    assert len(before) == 1
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*/*.pt")} == before


def test_a_run_that_trains_is_left_alone_by_others(packed: Path, tmp_path: Path) -> None:
    seen: list[str] = []

    def meddle(step: int, _values: dict[str, float]) -> None:
        if step == 2:
            with pytest.raises(ConfigError, match=f"{tmp_path / 'run'}: another process is training there"):
                Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(9, ignore)
            seen.append(f"{len(metrics_of(tmp_path / 'run'))} lines")

    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(3, meddle)
    assert seen == ["2 lines"]
    assert steps_of(tmp_path / "run") == [1, 2, 3]
    Trainer(SELDOM, packed, tmp_path / "run", CPU).fit(4, ignore)  # the lock is free again


def test_training_brings_the_views_of_a_clip_together(packed: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(40, lambda _, values: losses.append(values["align_loss"]))
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


# The data.


def test_audio_of_another_sample_rate_is_refused(audio_folder: Path, tmp_path: Path) -> None:
    pack([audio_folder], tmp_path / "pack", 8000, workers=1)
    with pytest.raises(ConfigError, match="holds 8000 Hz audio, the model takes 16000 Hz"):
        Trainer(tiny(), tmp_path / "pack", tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_data_that_is_no_pack_is_refused_before_a_run_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="not a folder made by"):
        Trainer(tiny(), tmp_path, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_file_in_place_of_the_run_folder_is_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(ConfigError, match="is a file; name a folder for the run"):
        Trainer(tiny(), packed, tmp_path / "run", CPU)


def test_each_step_of_a_run_hears_the_batch_of_its_number(packed: Path, tmp_path: Path) -> None:
    """Also after a resume, for which the reading ahead begins at the step."""
    heard: list[Batch] = []
    for until in (2, 5):
        trainer = Trainer(SELDOM, packed, tmp_path, CPU)
        step = trainer.train_step
        trainer.train_step = lambda batch, step=step: heard.append(batch) or step(batch)  # type: ignore[assignment]
        trainer.fit(until, ignore)
    expected = [trainer.crops.read(number, trainer.rows) for number in range(5)]
    assert len(heard) == 5
    assert all(torch.equal(here.audio, there.audio) for here, there in zip(heard, expected, strict=True))
    assert all(torch.equal(here.clips, there.clips) for here, there in zip(heard, expected, strict=True))
    assert not torch.equal(heard[0].audio, heard[1].audio)


def test_a_crop_gives_the_number_of_centred_frames(packed: Path, tmp_path: Path) -> None:
    """0.95 s every 10 ms: 96 frames, the outer ones centred on the ends of the crop."""
    trainer = Trainer(tiny(), packed, tmp_path, CPU)
    assert trainer.views.front_end(batch_of(trainer).audio[0].float() / 32768).shape == (8, 1, 16, 96)


def views_of(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The log-mel batches of one step, before they are augmented."""
    seen: list[Tensor] = []
    augment = Augmentation.__call__

    def watch(self: Any, mel: Tensor, *rest: Any) -> Tensor:
        seen.append(mel.clone())
        return augment(self, mel, *rest)

    monkeypatch.setattr(Augmentation, "__call__", watch)
    trainer.train_step(batch_of(trainer))
    return seen


@pytest.mark.parametrize("crops", [1, 2])
def test_views_are_made_of_as_many_crops_as_the_sampling_says(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, crops: int
) -> None:
    config = replace(tiny(), sampling=SamplingConfig(crops_per_clip=crops))
    trainer = Trainer(config, packed, tmp_path, CPU)
    audio = batch_of(trainer).audio.float() / 32768
    first, second = views_of(trainer, monkeypatch)
    torch.testing.assert_close(first, trainer.views.front_end(audio[0]))
    torch.testing.assert_close(second, trainer.views.front_end(audio[crops - 1]))
    assert torch.equal(first, second) == (crops == 1)


# Steps.


def rates(config: TrainConfig, steps: list[int]) -> list[float]:
    return [learning_rate(config, step) for step in steps]


def test_constant_learning_rate_after_a_warm_up() -> None:
    config = replace(tiny(), learning_rate=0.8, warmup_steps=4)
    found = rates(config, [0, 1, 2, 3, 4, 1000])
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert rates(replace(tiny(), learning_rate=0.8), [0, 19]) == [0.8, 0.8]


def test_cosine_learning_rate_after_a_warm_up() -> None:
    """Steps 2 to 14 are half a wave: a quarter of it at 5 (cos 45 degrees), half at 8, the end at 14."""
    config = replace(tiny(), learning_rate=0.8, schedule="cosine", warmup_steps=2, steps=14)
    found = rates(config, [0, 1, 2, 5, 8, 14, 20])
    assert found == pytest.approx([0.4, 0.8, 0.8, 0.4 * (1 + 0.5**0.5), 0.4, 0.0, 0.0])


def test_the_optimiser_takes_the_rate_of_the_step(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(tiny(), learning_rate=0.001, warmup_steps=4), packed, tmp_path, CPU)
    taken = []
    for _ in range(3):
        trainer.train_step(batch_of(trainer))
        taken.append(trainer.optimiser.param_groups[0]["lr"])
    assert taken == pytest.approx([0.00025, 0.0005, 0.00075])


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_a_step_moves_the_online_network_and_then_the_target_after_it_once(
    packed: Path, tmp_path: Path, parts: int
) -> None:
    trainer = Trainer(replace(tiny(), accumulate=parts), packed, tmp_path, CPU)
    before = {name: value.clone() for name, value in trainer.objective.state_dict().items()}
    trainer.train_step(batch_of(trainer))
    after = trainer.objective.state_dict()
    for name in ("encoder.fc1.weight", "encoder.norm0.running_mean", "projector.0.weight"):
        assert not torch.equal(after[f"online.{name}"], before[f"online.{name}"])
        expected = 0.9 * before[f"target.{name}"] + 0.1 * after[f"online.{name}"]
        torch.testing.assert_close(after[f"target.{name}"], expected)
    assert {value["step"].item() for value in trainer.optimiser.state.values()} == {1}
    assert after["online.encoder.norm0.num_batches_tracked"] == 2 * parts  # both views of each part


def test_accumulation_averages_the_losses_and_gradients_of_consecutive_parts(packed: Path, tmp_path: Path) -> None:
    """Against a slow second implementation. Without dropout, whose masks are drawn one after the other."""
    model = replace(
        tiny().model,
        encoder=replace(tiny().model.encoder, options={"channels": 4, "dropout": 0.0}),
    )
    trainer = Trainer(replace(tiny(), model=model, batch=12, accumulate=3), packed, tmp_path, CPU)
    seen: list[Views] = []
    twin = copy.deepcopy(trainer.objective)
    trainer.objective.register_forward_pre_hook(lambda _module, views: seen.append(*views))
    batch = batch_of(trainer)
    terms = trainer.train_step(batch)
    assert [tuple(views.first.shape) for views in seen] == [(4, 1, 16, 96)] * 3
    assert torch.equal(torch.cat([views.clips for views in seen]), batch.clips)

    parts = [twin(views) for views in seen]
    sum(part["loss"] for part in parts).backward()
    for name in ("loss", "align_loss", "diversity_loss", "decorrelation_loss"):
        values = [part[name].item() for part in parts]
        assert len(set(values)) == 3
        assert terms[name].item() == pytest.approx(sum(values) / 3, rel=1e-6)
        assert not terms[name].requires_grad
    largest = 0.0
    for (name, mine), theirs in zip(trainer.objective.named_parameters(), twin.parameters(), strict=True):
        if mine.requires_grad:
            assert mine.grad is not None and theirs.grad is not None
            torch.testing.assert_close(mine.grad, theirs.grad / 3, rtol=1e-3, atol=1e-5, msg=name)
            largest = max(largest, mine.grad.abs().max().item())
    assert largest > 1e-3


def test_dropout_and_views_come_from_the_seed_and_the_number_of_the_step(packed: Path, tmp_path: Path) -> None:
    """The same networks and the same batch, each time."""
    model = Trainer(tiny(), packed, tmp_path / "model", CPU).objective.state_dict()
    batch = batch_of(Trainer(tiny(), packed, tmp_path / "data", CPU))

    def loss(name: str, config: TrainConfig, step: int, before: int) -> float:
        trainer = Trainer(config, packed, tmp_path / name, CPU)
        trainer.objective.load_state_dict(model)
        trainer.step = step
        torch.manual_seed(before)
        return float(trainer.train_step(batch)["loss"])

    first = loss("first", tiny(), step=0, before=1)
    assert loss("again", tiny(), step=0, before=2) == first
    assert loss("later", tiny(), step=1, before=1) != first
    assert loss("other", replace(tiny(), seed=1), step=0, before=1) != first


def test_bf16_keeps_losses_and_weights_in_float32(packed: Path, tmp_path: Path) -> None:
    trainer = Trainer(replace(SELDOM, precision="bf16"), packed, tmp_path, CPU)
    terms = trainer.train_step(batch_of(trainer))
    assert all(terms[name].dtype == torch.float32 for name in ("loss", "align_loss", "decorrelation_loss"))
    assert {p.dtype for p in trainer.objective.parameters()} == {torch.float32}
    exact = Trainer(SELDOM, packed, tmp_path / "exact", CPU)
    loss = exact.train_step(batch_of(exact))["loss"]
    assert not torch.equal(terms["loss"], loss)  # it was half precision, but not far off
    torch.testing.assert_close(terms["loss"], loss, rtol=0, atol=0.1)
    trainer.fit(3, ignore)
    assert json.loads((tmp_path / "config.json").read_text())["precision"] == "bf16"


def test_asked_twice_by_the_keyboard_it_stops_at_once_and_by_others_it_takes_its_time(
    packed: Path, tmp_path: Path
) -> None:
    """torchrun hands its own SIGINT on, so that several processes get it twice when it is pressed once."""
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
        if number == signal.SIGINT:
            with pytest.raises(KeyboardInterrupt):
                trainer._ask_to_stop(number, None)
            trainer.ranks = Ranks(0, 2)
        trainer._ask_to_stop(number, None)


def test_a_run_that_is_asked_to_stop_ends_after_its_step_and_gives_the_signals_back(
    packed: Path, tmp_path: Path
) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(9, lambda step, _: signal.raise_signal(signal.SIGINT) if step == 2 else None)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000002.pt"]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# What must not be kept.


def test_a_loss_that_is_no_number_stops_the_run_and_spares_the_checkpoints(packed: Path, tmp_path: Path) -> None:
    """A learning rate at which the first step makes the weights overflow."""
    config = replace(tiny(), learning_rate=1e38, checkpoint_every=100, log_every=100)
    trainer = Trainer(config, packed, tmp_path / "run", CPU)
    trainer.fit(0, ignore)
    (path,) = checkpoints(tmp_path / "run" / "checkpoints")
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"step 2: the loss is not a finite number.*Lower learning_rate"):
        trainer.fit(10, ignore)
    assert trainer.step == 1
    assert checkpoints(tmp_path / "run" / "checkpoints") == [path]
    assert path.read_bytes() == before
    assert Trainer(config, packed, tmp_path / "run", CPU).step == 0


@pytest.mark.parametrize("watching", [{"log_every": 4}, {"log_every": 100, "checkpoint_every": 4}])
def test_the_step_at_fault_is_named_where_it_is_found_out_later(
    packed: Path, tmp_path: Path, watching: dict[str, int]
) -> None:
    """On a GPU the loss is looked at when it is logged or saved: here after step 4, for one that was NaN in step 1."""
    trainer = Trainer(replace(SELDOM, **watching), packed, tmp_path, CPU)
    step, refuse = trainer.train_step, trainer._refuse_non_finite

    def as_on_a_gpu(batch: Tensor) -> dict[str, Tensor]:
        trainer._refuse_non_finite = lambda: None  # type: ignore[method-assign]
        terms = step(batch)
        trainer._refuse_non_finite = refuse  # type: ignore[method-assign]
        if trainer.step == 1:
            with torch.no_grad():
                next(trainer.objective.parameters()).fill_(float("nan"))
        return terms

    trainer.train_step = as_on_a_gpu  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="step 2: the loss is not a finite number"):
        trainer.fit(9, ignore)
    assert trainer.step == 4
    assert checkpoints(tmp_path / "checkpoints") == []


@pytest.mark.parametrize("name", ["online.encoder.fc2.weight", "target.projector.1.running_var"])
def test_weights_that_are_no_numbers_are_not_saved(packed: Path, tmp_path: Path, name: str) -> None:
    """Whatever the loss was: here it is finite."""
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    trainer.fit(1, ignore)
    (path,) = checkpoints(tmp_path / "checkpoints")
    before = path.read_bytes()
    trainer.train_step(batch_of(trainer))
    trainer.objective.state_dict()[name].view(-1)[0] = float("inf")
    with pytest.raises(TrainingError, match=f"step 2: {name} is no longer finite; the last checkpoint is untouched"):
        trainer.save()
    assert checkpoints(tmp_path / "checkpoints") == [path]
    assert path.read_bytes() == before


def with_little_disk(limit: int, *words: str | Path | int) -> Ended:
    """The command, where no file can grow beyond `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return command(*words)


def test_a_full_disk_ends_the_run_with_its_reason_and_the_next_one_goes_on(packed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ("train", "tiny", "--data", packed, "--out", run, "--device", "cpu", "--set", "checkpoint_every=2")
    words = (*words, "--set", "objective_options.head_hidden=1024")
    assert in_ranks(1, command, *words, "--max-steps", 2)[0].code == 0
    (path,) = checkpoints(run / "checkpoints")
    before = path.read_bytes()
    assert len(before) > 1e6
    (ended,) = in_ranks(1, with_little_disk, 500_000, *words, "--max-steps", 4)
    assert ended.code == 1
    lost = run / "checkpoints" / "step-00000004.pt"
    assert f"error: {lost}: cannot be written (" in ended.said and "earlier checkpoints are untouched" in ended.said
    assert "Traceback" not in ended.said
    assert list((run / "checkpoints").iterdir()) == [path]
    assert path.read_bytes() == before
    (ended,) = in_ranks(1, command, *words, "--max-steps", 4)
    assert ended.code == 0 and "step 2 of 4" in ended.said
    assert checkpoints(run / "checkpoints") == [path, lost]
    assert steps_of(run) == [1, 2, 3, 4]


# Starting from a release.


def test_a_run_starts_from_the_encoders_of_a_release_and_goes_on_from_its_own(
    packed: Path, release: Path, tmp_path: Path
) -> None:
    config = replace(SELDOM, init="mine", seed=7)
    trainer = Trainer(config, packed, tmp_path / "run", CPU, init=release)
    fresh = Trainer(replace(SELDOM, seed=7), packed, tmp_path / "fresh", CPU).objective.state_dict()
    for branch, encoder in trainer.objective.encoders().items():
        theirs = load_release(release, branch).encoder.state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in encoder.state_dict().items())
        assert not torch.equal(theirs["fc1.weight"], fresh[f"{branch}.encoder.fc1.weight"])
    heads = {name: value for name, value in trainer.objective.state_dict().items() if ".encoder." not in name}
    assert len(heads) > 20
    assert all(torch.equal(value, fresh[name]) for name, value in heads.items())

    trainer.fit(2, ignore)
    resumed = Trainer(config, packed, tmp_path / "run", CPU, init=release)
    assert resumed.step == 2
    assert_same_state(resumed, trainer)
    with pytest.raises(ConfigError, match=r"other settings \(init of config.json differ\)"):
        Trainer(replace(config, init=""), packed, tmp_path / "run", CPU)


def test_a_release_of_another_model_is_refused(packed: Path, release: Path, tmp_path: Path) -> None:
    model = replace(
        tiny().model,
        encoder=replace(tiny().model.encoder, options={"channels": 8, "hidden": 16}),
    )
    with pytest.raises(ConfigError, match=r"--init .*mine: its model is not the recipe's; it is .*'channels': 4"):
        Trainer(replace(tiny(), model=model), packed, tmp_path / "run", CPU, init=release)
    assert not (tmp_path / "run").exists()


# Watching by nearest neighbours.


@pytest.fixture
def labelled(audio_folder: Path, tmp_path: Path) -> Path:
    for number, label in ((0, "low"), (1, "low"), (2, "high"), (3, "high")):
        (tmp_path / "labelled" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(audio_folder / f"{number}.wav", tmp_path / "labelled" / label)
    return tmp_path / "labelled"


def test_a_probe_measures_both_encoders_on_the_way_and_changes_nothing(
    packed: Path, labelled: Path, tmp_path: Path
) -> None:
    config = replace(SELDOM, log_every=3)
    watched = Trainer(config, packed, tmp_path / "watched", CPU)
    watched.fit(6, ignore, Probe(labelled, 16000, every=2))
    alone = Trainer(config, packed, tmp_path / "alone", CPU)
    alone.fit(6, ignore)
    assert_same_state(watched, alone)
    assert watched.objective.training and all(m.training for m in watched.objective.modules())

    lines = metrics_of(tmp_path / "watched")
    measured = {line["step"]: {"loss" in line, "knn_online" in line, "knn_target" in line} for line in lines}
    assert measured == {2: {False, True}, 3: {True, False}, 4: {False, True}, 6: {True}}
    assert all(0 <= line[key] <= 100 for line in lines for key in ("knn_online", "knn_target") if key in line)
    for here, there in zip([line for line in lines if "loss" in line], metrics_of(tmp_path / "alone"), strict=True):
        assert {key: here[key] for key in there if key not in TIMES} == without_times([there])[0]


def test_a_probe_is_given_the_encoders_as_they_are(
    packed: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Tensor]] = []

    def look(_probe: Probe, model: ModelConfig, encoder: Encoder) -> float:
        assert model == SELDOM.model
        seen.append({name: value.clone() for name, value in encoder.state_dict().items()})
        return float(len(seen))

    monkeypatch.setattr(Probe, "__call__", look)
    trainer = Trainer(SELDOM, packed, tmp_path / "run", CPU)
    trainer.fit(1, ignore, Probe(labelled, 16000, every=1))
    for found, encoder in zip(seen, trainer.objective.encoders().values(), strict=True):
        assert all(torch.equal(found[name], value) for name, value in encoder.state_dict().items())
    assert not torch.equal(seen[0]["fc1.weight"], seen[1]["fc1.weight"])
    (line,) = metrics_of(tmp_path / "run")
    assert (line["knn_online"], line["knn_target"]) == (1.0, 2.0)


# The feeder.


def test_an_error_while_reading_ahead_ends_the_run_at_the_step_that_needs_it(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(SELDOM, packed, tmp_path, CPU)
    read: Callable[..., Any] = trainer.crops.read

    def broken(step: int, rows: Any) -> Any:
        if step == 3:
            raise OSError("the disk is gone")
        return read(step, rows)

    monkeypatch.setattr(trainer.crops, "read", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(9, ignore)
    assert trainer.step == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("feeder")]
    Trainer(SELDOM, packed, tmp_path, CPU).fit(4, ignore)  # neither lock nor handlers are left behind
