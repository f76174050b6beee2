"""Speed of training: python -m benchmarks.training [--audio FOLDER] [--batch N] [--device cuda]

Packs the audio, then prints, every part in processes of its own:
- crops a second of `python -m training train` and of a plain loop (plain_training.py), in turns, and their ratio;
- what a step is made of: reading, log-mel and views, forward, backward, optimiser and target;
- the share of the device's measured matrix product speed that the step's arithmetic comes to;
- crops a second in one process and in two (torchrun), with the same batch and the same number of cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_training import crops_per_second as plain_crops_per_second
from selfie_hear.corpus import find_files
from training.corpus.feeder import Feeder
from training.corpus.pack import pack
from training.device import local_device
from training.loop import Trainer
from training.memory import keep_freed_memory
from training.objectives import Views
from training.recipes import get_recipe

ROOT = Path(__file__).parents[1]
AUDIOSET_CROPS = 2_084_320 * 10 / 0.95  # clips of 10 s


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def command_line(data: Path, batch: int, steps: int, device: str, processes: int = 1, threads: int = 0) -> list[dict]:
    """What a run of the command line measured at each step but the first."""
    with tempfile.TemporaryDirectory() as folder:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
        words = [sys.executable, *(launch if processes > 1 else ["-m"]), "training", "train", "selfie"]
        words += ["--data", str(data), "--out", f"{folder}/run", "--max-steps", str(steps + 1), "--device", device]
        words += ["--set", f"batch={batch}", "--set", "log_every=1", "--set", "checkpoint_every=1000000"]
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        subprocess.run(words, check=True, cwd=ROOT, env=environment, capture_output=True)
        lines = Path(folder, "run", "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines][1:]


def rate(lines: list[dict]) -> float:
    return len(lines) / sum(1.0 / line["crops_per_second"] for line in lines)


def compare(data: Path, options: argparse.Namespace) -> None:
    ours, plain, waits = [], [], []
    for _ in range(options.rounds):
        words = [sys.executable, "-m", "benchmarks.training", "--plain", *sys.argv[1:]]
        plain.append(float(subprocess.run(words, check=True, cwd=ROOT, capture_output=True, text=True).stdout))
        lines = command_line(data, options.batch, options.steps, options.device)
        ours.append(rate(lines))
        waits.append(statistics.mean(line["data_wait"] for line in lines))
    ratios = ", ".join(f"{a / b:.2f}" for a, b in zip(ours, plain, strict=True))
    hours = AUDIOSET_CROPS / statistics.median(ours) / 3600
    say(f"plain loop   {statistics.median(plain):9.1f} crops/s   ({', '.join(f'{x:.1f}' for x in plain)})")
    say(f"training     {statistics.median(ours):9.1f} crops/s   ({', '.join(f'{x:.1f}' for x in ours)})")
    say(f"ratio        {statistics.median(ours) / statistics.median(plain):9.2f}           (round by round: {ratios})")
    say(f"waiting for data {100 * max(waits):.2f} % of a step at most; all of AudioSet once would take {hours:.1f} h")


def timed(work: Callable[[], object], device: torch.device, times: int) -> float:
    """Median seconds."""
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def matrix_peak(device: torch.device, kind: torch.dtype) -> float:
    """Floating point operations a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=kind) for _ in range(2))
    return 2 * size**3 / timed(lambda: a @ b, device, 10)


def breakdown(data: Path, options: argparse.Namespace) -> None:
    device = local_device(options.device)
    if device.type == "cpu":
        keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(replace(get_recipe("selfie"), batch=options.batch), data, Path(folder, "run"), device)
    with Feeder(trainer.crops, trainer.rows, device, 0) as feeder:
        batch = feeder.next()
    generator = torch.Generator(device).manual_seed(0)
    half = trainer.config.precision == "bf16"

    def views() -> Views:
        return Views(*trainer.views(batch.audio, generator), batch.clips)

    def forward() -> torch.Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            return trainer.objective(both)["loss"]

    both, times = views(), options.steps
    forward().backward()
    with FlopCounterMode(display=False) as flops:
        forward().backward()
    steps = iter(range(10**9))
    parts = {
        "reading": timed(lambda: trainer.crops.read(next(steps), trainer.rows), device, times),
        "log-mel and views": timed(views, device, times),
        "forward (online and target)": timed(forward, device, times),
    }
    parts["backward"] = timed(lambda: forward().backward(), device, times) - parts["forward (online and target)"]
    parts["optimiser"] = timed(trainer.optimiser.step, device, times)
    parts["target"] = timed(trainer.objective.after_step, device, times)
    whole = sum(parts.values())
    for name, seconds in parts.items():
        say(f"{name:<28} {1000 * seconds:9.2f} ms {100 * seconds / whole:6.1f} %")
    reading = options.batch / parts["reading"]
    peak = matrix_peak(device, torch.bfloat16 if half else torch.float32)
    share = flops.get_total_flops() / whole / peak
    say(f"one thread reads {reading:.0f} crops/s")
    say(
        f"{flops.get_total_flops() / options.batch / 1e9:.2f} GFLOP a pair of views in {trainer.config.precision}: "
        f"{100 * share:.0f} % of the {peak / 1e12:.2f} TFLOP/s of a large matrix product"
    )


def scaling(data: Path, options: argparse.Namespace) -> None:
    cores = os.cpu_count() or 1
    one, two, alone = [], [], []
    for _ in range(options.rounds):
        alone.append(rate(command_line(data, options.batch, options.steps, options.device, 1, max(1, cores // 2))))
        two.append(rate(command_line(data, options.batch, options.steps, options.device, 2, max(1, cores // 2))))
        one.append(rate(command_line(data, options.batch, options.steps, options.device, 1, cores)))
    half, both, threads = (statistics.median(values) for values in (alone, two, one))
    say(
        f"1 process of {max(1, cores // 2)} threads {half:.1f} crops/s, 2 of them {both:.1f} ({both / half:.2f} x), "
        f"1 process of {cores} threads {threads:.1f} ({threads / half:.2f} x)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--audio", type=Path, default=ROOT / "examples", help="files at 16 kHz, decoded by the plain loop"
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=6, help="that are measured, after one that is not")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    files = find_files([str(options.audio)])[0]
    if options.plain:
        say(str(plain_crops_per_second(files, options.batch, options.steps, options.device, os.cpu_count() or 1)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "pack")
        pack([options.audio], data)
        say(f"torch {torch.__version__}, {options.device}, {os.cpu_count()} cores, batch {options.batch}")
        compare(data, options)
        breakdown(data, options)
        if options.device == "cpu":
            scaling(data, options)


if __name__ == "__main__":
    main()
