"""One step, one loop: crops -> log-mel -> two views -> objective -> optimiser -> target."""

from __future__ import annotations

import json
import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from selfie_hear.config import ConfigError, from_dict, to_dict
from selfie_hear.encoders import build_encoder
from selfie_hear.frontend import LogMel
from training import checkpoint
from training.augment import Augmentation, BackgroundMix, LinearFader, RandomResizeCrop
from training.config import TrainConfig
from training.corpus.crops import Crops, describe
from training.files import write_whole
from training.metrics import Journal, embedding_spread
from training.objectives import OBJECTIVES, Objective, SelfieConfig

log = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """A run that cannot go on."""


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run folder.

    Raises:
        ConfigError: missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: missing or damaged ({error})") from error


def resolve_precision(precision: str, device: torch.device) -> str:
    """`auto` to "bf16" where bf16 matrix products run in hardware (CUDA from Ampere on, CPUs with AMX), else "fp32"."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and torch.cpu._is_amx_tile_supported() else "fp32"


def build_objective(config: TrainConfig) -> Objective:
    """The networks of a run, initialised from its seed."""
    if config.objective not in OBJECTIVES:
        raise ConfigError(f"objective {config.objective!r} is unknown; known are {', '.join(OBJECTIVES)}")
    torch.manual_seed(config.seed)
    encoder = build_encoder(config.model.encoder, config.model.front_end.n_mels)
    options = from_dict(SelfieConfig, config.objective_options, "objective_options")
    return OBJECTIVES[config.objective](encoder, options)


class Trainer:
    """A run in a folder. Everything random in step n comes from the seed and n, so the state needs no generators."""

    def __init__(self, config: TrainConfig, data: Path, run: Path, device: torch.device) -> None:
        self.config = replace(config, precision=resolve_precision(config.precision, device))
        self.run, self.device = run, device
        front_end = config.model.front_end
        self.front_end = LogMel(front_end).to(device)
        self.crops = Crops(data, config.crop_samples, front_end.win_length // 2, config.batch, config.seed)
        if self.crops.about["sample_rate"] != front_end.sample_rate:
            raise ConfigError(
                f"{data} holds {self.crops.about['sample_rate']} Hz audio, the model takes {front_end.sample_rate} Hz"
            )
        self.objective = build_objective(config).to(device).train()
        self.augment = Augmentation(
            BackgroundMix(config.augment.background_share),
            RandomResizeCrop(config.augment.crop_scale, config.augment.crop_aspect, config.augment.crop_canvas),
            LinearFader(config.augment.fader_gain),
        )
        learning = [p for p in self.objective.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(learning, lr=config.learning_rate, fused=True)
        self.step = 0
        self.seconds = 0.0
        self._stop = False
        self._adopt()

    def _adopt(self) -> None:
        """Take over the run folder: its checkpoint if it has one, which must be of this very configuration."""
        if self.run.exists() and not self.run.is_dir():
            raise ConfigError(f"{self.run}: is a file; name a folder for the run")
        self.run.mkdir(parents=True, exist_ok=True)
        self._keep("config.json", to_dict(self.config))
        self._keep("data.json", describe(self.crops.index, self.crops.about["sample_rate"]))
        state = checkpoint.load_latest(self.run / "checkpoints")
        if state is not None:
            self.objective.load_state_dict(state["objective"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]
            log.info("resuming %s at step %d", self.run, self.step)

    def _keep(self, name: str, values: dict[str, Any]) -> None:
        """Write what the run is made of into its folder, or make sure that it is the same as before."""
        path = self.run / name
        if not path.exists():
            if checkpoint.checkpoints(self.run / "checkpoints"):
                raise ConfigError(f"{path}: missing, though the run has checkpoints; name a new folder")
            write_whole(path, json.dumps(values, indent=2) + "\n")
            return
        theirs = read_json(path)
        changed = sorted(key for key in values.keys() | theirs.keys() if values.get(key) != theirs.get(key))
        if changed:
            raise ConfigError(
                f"{self.run} is a run with other settings ({', '.join(changed)} of {name} differ): resume it with "
                "those it was started with, or name a new folder"
            )

    def save(self) -> None:
        state = {
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "seconds": self.seconds,
        }
        checkpoint.save(self.run / "checkpoints", self.step, state)

    def learning_rate(self, step: int) -> float:
        """Of step `step`: linear warm-up, then constant or a half cosine down to zero."""
        config = self.config
        warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
        if config.schedule == "constant":
            return config.learning_rate * warm
        done = max(0.0, step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
        return config.learning_rate * warm * 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))

    def train_step(self) -> dict[str, Tensor]:
        """One optimiser step on the next batch; returns the objective's terms."""
        dropout_seed, view_seed = np.random.SeedSequence([self.config.seed, self.step]).generate_state(2)
        torch.manual_seed(int(dropout_seed))
        generator = torch.Generator(self.device).manual_seed(int(view_seed))
        audio = torch.from_numpy(self.crops[self.step]).to(self.device).float() / 32768.0
        mel = self.front_end(audio)
        first, second = self.augment(mel, generator), self.augment(mel, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate(self.step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            terms = self.objective(first, second)
        if not torch.isfinite(terms["loss"]):
            raise TrainingError(
                f"step {self.step}: the loss is {terms['loss'].item()}; the last checkpoint is untouched. "
                "Lower learning_rate or set precision=fp32."
            )
        self.optimiser.zero_grad(set_to_none=True)
        terms["loss"].backward()
        self.optimiser.step()
        self.objective.after_step()
        self.step += 1
        return dict(terms)

    def fit(self, until: int, show: Callable[[int, dict[str, float]], None]) -> None:
        """Train up to step `until`, saving on the way, at the end, and when the process is asked to stop."""
        journal = Journal(self.run, self.step)
        handlers = {number: signal.signal(number, self._ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            while self.step < until and not self._stop:
                started = time.monotonic()
                terms = self.train_step()
                elapsed = time.monotonic() - started
                self.seconds += elapsed
                if self.step % self.config.log_every == 0 or self.step == until:
                    values = self._measure(terms, elapsed)
                    journal.write(self.step, values)
                    show(self.step, values)
                if self.step % self.config.checkpoint_every == 0:
                    self.save()
            self.save()
        finally:
            journal.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _ask_to_stop(self, number: int, _frame: Any) -> None:
        if self._stop:
            raise KeyboardInterrupt  # asked twice: at once
        log.warning("%s: saving at the end of this step, then stopping", signal.Signals(number).name)
        self._stop = True

    def _measure(self, terms: dict[str, Tensor], elapsed: float) -> dict[str, float]:
        spread = embedding_spread(terms.pop("embedding"))
        losses = {name: value.item() for name, value in terms.items()}
        return {
            **losses,
            **spread,
            "learning_rate": self.learning_rate(self.step - 1),
            "ema_decay": float(self.config.objective_options.get("decay", SelfieConfig().decay)),
            "crops_per_second": self.config.batch / elapsed,
            "epoch": self.step * self.config.batch / self.crops.crops_per_epoch,
        }
