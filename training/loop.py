"""One step, one loop: crops -> log-mel -> two views -> objective -> optimiser -> target."""

from __future__ import annotations

import logging
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from selfie_hear.config import ConfigError
from selfie_hear.frontend import LogMel
from training import checkpoint
from training.batch_norm import over_all_ranks
from training.config import TrainConfig
from training.corpus.crops import Batch, Crops
from training.corpus.feeder import Feeder
from training.device import differences, resolve_precision, surroundings
from training.evaluate.knn import Probe
from training.metrics import Journal, embedding_spread, peak_memory_mb
from training.objectives import Views, build_objective
from training.ranks import ALONE, Ranks
from training.run import RunFolder
from training.schedule import learning_rate
from training.views import TwoViews, margin_of

log = logging.getLogger(__name__)

WATCHED = 256  # embeddings whose spread is measured: singular values of thousands take longer than a step

Show = Callable[[int, dict[str, float]], None]


class TrainingError(RuntimeError):
    """A run that cannot go on."""


def crops_of(config: TrainConfig, data: Path, targets: Path | None = None) -> Crops:
    """The batches of a run on the pack `data`, with its targets if there are any."""
    return Crops(data, config.crop_samples, margin_of(config), config.batch, config.seed, config.sampling, targets)


class Trainer:
    """A run in a folder, by one process or by several with an equal share of each batch.

    Everything random in step n comes from the seed and n, so the state needs no generators. Crops and views do not
    depend on the number of processes; dropout masks do, and rounding on threads and device, too.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Path,
        run: Path,
        device: torch.device,
        ranks: Ranks = ALONE,
        init: Path | None = None,
        targets: Path | None = None,
    ) -> None:
        """
        Args:
            data: a pack.
            run: its folder; one with a checkpoint is resumed.
            init: a release folder that a new run takes its encoders from.
            targets: of the pack; the crops are those that they are of, whether the objective needs them or not.

        Raises:
            ConfigError: settings that do not fit each other, the data, the release or the run that is in the folder.
            TargetsError: targets that do not fit the data or the crops.
        """
        self.config = replace(config, precision=resolve_precision(config.precision, device))
        self.run, self.device, self.ranks = RunFolder(run), device, ranks
        front_end = config.model.front_end
        self.views = TwoViews(config, LogMel(front_end).to(device))
        self.crops = crops_of(config, data, targets)
        if self.crops.pack.sample_rate != front_end.sample_rate:
            raise ConfigError(
                f"{data} holds {self.crops.pack.sample_rate} Hz audio, the model takes {front_end.sample_rate} Hz"
            )
        self.rows = ranks.rows(config.batch, config.accumulate)
        objective = build_objective(config, len(self.crops.pack), ranks).to(device).train()
        self._check_targets(objective.target_size)
        if ranks.count > 1:
            over_all_ranks(objective, device)
        if init is not None:
            objective.adopt(init, config.model)
        self.objective = objective
        self.network: nn.Module = objective
        if ranks.count > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the name that torch has for it since is not in 2.6
                self.network = DistributedDataParallel(objective, broadcast_buffers=False, gradient_as_bucket_view=True)
        learning = [p for p in objective.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(learning, lr=config.learning_rate, fused=True)
        self.step = 0
        self.seconds = 0.0
        self._saved = -1
        self._stop = False
        self._first_bad = torch.tensor(-1, device=device)  # the step whose loss was not a number
        self._here = surroundings(device, ranks.count)
        self._made_of = self.config, self.crops.describe()
        self.run.check(*self._made_of)
        self._resume()

    def _check_targets(self, size: int) -> None:
        """Make sure that an objective that learns from targets of this size has them."""
        targets = self.crops.targets
        if size and targets is None:
            raise ConfigError(
                f"objective {self.config.objective} learns from targets: make them with `python -m training targets`, "
                "then name their folder with --targets"
            )
        if size and targets and size != targets.size:
            raise ConfigError(
                f"objective_options.head_outputs: must be as many as the values of a target, {targets.size}, got {size}"
            )

    def _resume(self) -> None:
        state = checkpoint.load_latest(self.run.checkpoints)
        if state is not None:
            self.objective.load_state_dict(state["objective"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]
            self._saved = self.step
            log.info("resuming %s at step %d", self.run.path, self.step)
            if other := differences(state["surroundings"], self._here):
                log.warning("same data and state, but not bit for bit what it would have been: %s", other)
        steps = self.ranks.gather(torch.tensor([self.step])).tolist()
        if len(set(steps)) > 1:
            raise TrainingError(f"{self.run.path}: the processes see different checkpoints ({steps}); share the folder")

    def save(self) -> None:
        """Write a checkpoint; one process does it for all.

        Raises:
            TrainingError: the state is not worth keeping.
        """
        self._refuse_non_finite()
        if self._saved != self.step and self.ranks.first:
            state = self.objective.state_dict()
            spoilt = [name for name, value in state.items() if not torch.isfinite(value).all()]
            if spoilt:
                raise TrainingError(
                    f"step {self.step}: {spoilt[0]} is no longer finite; the last checkpoint is untouched. "
                    "Lower learning_rate or set precision=fp32."
                )
            everything = {"objective": state, "optimiser": self.optimiser.state_dict(), "seconds": self.seconds}
            everything["surroundings"] = self._here
            checkpoint.save(self.run.checkpoints, self.step, everything, self.config.keep_checkpoints)
        self._saved = self.step

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One optimiser step; returns the objective's terms, averaged over the parts that the batch goes through in.

        Args:
            batch: this process's rows of batch `step`.
        """
        parts = self.config.accumulate
        seeds = np.random.SeedSequence([self.config.seed, self.step]).generate_state(1 + self.ranks.count)
        torch.manual_seed(int(seeds[1 + self.ranks.index]))  # of dropout
        generator = torch.Generator(self.device).manual_seed(int(seeds[0]))
        self.optimiser.zero_grad(set_to_none=True)
        total: dict[str, Tensor] = {}
        for number, part in enumerate(batch.parts(parts), start=1):
            with ExitStack() as stack:
                if number < parts and isinstance(self.network, DistributedDataParallel):
                    stack.enter_context(self.network.no_sync())
                terms = self._terms(part, generator)
                (terms["loss"] / parts).backward()
            embedding = terms.pop("embedding")
            total = {name: total.get(name, 0.0) + value.detach() / parts for name, value in terms.items()}
        self._first_bad = torch.where(
            (self._first_bad < 0) & ~torch.isfinite(total["loss"]), self.step + 1, self._first_bad
        )
        if self.device.type == "cpu":  # elsewhere asking would wait for the device
            self._refuse_non_finite()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        self.optimiser.step()
        self.objective.after_step()
        self.step += 1
        return {**total, "embedding": embedding}

    def _terms(self, part: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        first, second = self.views(part.audio, generator, self.ranks)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            terms: dict[str, Tensor] = self.network(Views(first, second, part.clips, part.targets))
        return terms

    def _refuse_non_finite(self) -> None:
        if (step := int(self._first_bad)) >= 0:
            raise TrainingError(
                f"step {step}: the loss is not a finite number; the last checkpoint is untouched. "
                "Lower learning_rate or set precision=fp32."
            )

    def fit(self, until: int, show: Show, probe: Probe | None = None) -> None:
        """Train up to step `until`, saving on the way, at the end, and when the process is asked to stop.

        Args:
            show: called with a step and what was measured there, every `log_every` steps.
            probe: measures the encoders on the way.

        Raises:
            TrainingError, CheckpointError: the run cannot go on; its last checkpoint is good.
        """
        config, first = self.config, self.ranks.first
        with ExitStack() as stack:
            if first:
                stack.enter_context(self.run.locked())
                self.run.adopt(*self._made_of)
                journal = stack.enter_context(Journal(self.run.path, self.step))
            feeder = stack.enter_context(Feeder(self.crops, self.rows, self.device, self.step))
            for number in (signal.SIGTERM, signal.SIGINT):
                stack.callback(signal.signal, number, signal.signal(number, self._ask_to_stop))
            busy, steps = 0.0, 0
            while self.step < until and not self.ranks.any(self._stop):
                started = time.perf_counter()
                terms = self.train_step(feeder.next())
                due = self.step % config.log_every == 0 or self.step == until
                values = self._measure(terms) if due else {}  # which waits for the device
                busy, steps = busy + time.perf_counter() - started, steps + 1
                probed = self._probe(probe) if first and probe and self.step % probe.every == 0 else {}
                if due or probed:
                    self.seconds += busy
                    rate = {"crops_per_second": steps * config.batch / busy, "data_wait": feeder.take_wait() / busy}
                    busy, steps = 0.0, 0
                    if first:
                        values = {**values, **rate, **probed}
                        journal.write(self.step, values)
                        show(self.step, values)
                if self.step % config.checkpoint_every == 0:
                    self.save()
            self.seconds += busy
            self.save()

    def _ask_to_stop(self, number: int, _frame: Any) -> None:
        if self._stop and number == signal.SIGINT and self.ranks.count == 1:
            raise KeyboardInterrupt  # asked twice: at once
        log.warning("%s: saving at the end of this step, then stopping", signal.Signals(number).name)
        self._stop = True

    def _measure(self, terms: dict[str, Tensor]) -> dict[str, float]:
        self._refuse_non_finite()
        spread = embedding_spread(self.ranks.gather(terms.pop("embedding"))[:WATCHED])
        return {
            **{name: value.item() for name, value in terms.items()},
            **self.objective.watched(),
            **spread,
            "learning_rate": learning_rate(self.config, self.step - 1),
            "epoch": self.step * self.config.batch / self.crops.crops_per_epoch,
            "peak_memory_mb": peak_memory_mb(self.device),
        }

    def _probe(self, probe: Probe) -> dict[str, float]:
        encoders = self.objective.encoders()
        return {f"knn_{branch}": probe(self.config.model, encoder) for branch, encoder in encoders.items()}
