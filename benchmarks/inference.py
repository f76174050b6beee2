"""Speed and memory of embeddings: python -m benchmarks.inference [--threads N] [--timestamps] [--rounds N] [--full]

Prints times real time (seconds of audio in a second) for each length and batch, and the ratio to the way it is usually
done: the plain eager model for scenes, one window after the other for timestamps. Contenders take turns in one process;
each time is the best of all rounds, which other work on the machine disturbs least. On a CPU clips go one at a time, so
ten minutes are timed at batch 1 only, unless --full.

Before, the peak memory of a process of its own over model and audio; after, the share of the machine's peak, a large
matrix product timed in the same turns, that the arithmetic of the scene embedding comes to.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contenders import build, names, plain, share_of_work
from selfie_hear import load_model

LENGTHS = {"1 s": 1, "10 s": 10, "10 min": 600}
BATCHES = (1, 8, 32)
ENOUGH = 0.4  # seconds of a turn: short clips are repeated within it
PRODUCT = 2048  # rows and columns


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def audio_of(seconds: int, batch: int) -> torch.Tensor:
    return torch.rand(batch, 16000 * seconds, generator=torch.Generator().manual_seed(0)).sub_(0.5).mul_(0.2)


def best_of_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of the quickest call of each."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            until = time.perf_counter() + ENOUGH
            while True:
                started = time.perf_counter()
                run()
                best[name] = min(best[name], time.perf_counter() - started)
                if time.perf_counter() > until:
                    break
    return best


def compare(options: argparse.Namespace) -> None:
    model = load_model()
    contenders = {name: build(name, options.timestamps, options.threads) for name in names(options.timestamps)}
    usual = "window loop" if options.timestamps else "plain eager"
    say(f"{'':>14}" + "".join(f"{name:>22}" for name in contenders) + f"   x real time (x {usual})")
    for label, seconds in LENGTHS.items():
        for batch in BATCHES if options.full or seconds <= 60 else (1,):
            audio = audio_of(seconds, batch)
            shares = {name: share_of_work(name, batch, seconds, model) for name in contenders}
            runs = {name: partial(run, audio) for name, run in contenders.items() if shares[name]}
            rounds = options.rounds if seconds * batch <= 60 else max(1, options.rounds // 5)
            times = {name: t / shares[name] for name, t in best_of_turns(runs, rounds).items()}
            cells = ""
            for name in contenders:
                ratio = f" ({times[usual] / times[name]:5.2f})" if {name, usual} <= set(times) else " " * 8
                cells += f"{batch * seconds / times[name]:14.1f}{ratio}" if name in times else f"{'-':>14}" + " " * 8
            say(f"{label:>6}, batch {batch:<2}" + cells)


def share_of_peak(options: argparse.Namespace) -> None:
    a, b = torch.randn(PRODUCT, PRODUCT), torch.randn(PRODUCT, PRODUCT)
    audio = audio_of(10, 1)
    with FlopCounterMode(display=False) as flops:
        plain()(audio)
    work = flops.get_total_flops()
    runs = {name: build(name, False, options.threads) for name in names(False) if name != "ours bf16"}
    turns = {name: partial(run, audio) for name, run in runs.items()}
    times = best_of_turns({**turns, "product": partial(torch.mm, a, b)}, options.rounds)
    peak = 2 * PRODUCT**3 / times["product"]
    shares = ", ".join(f"{name} {100 * work / times[name] / peak:.0f} %" for name in runs)
    say(
        f"fp32 peak {peak / 1e9:.0f} GFLOP/s; a scene of 10 s takes {work / 1e9:.2f} GFLOP, "
        f"so {10 * peak / work:.0f} x real time at most: {shares}"
    )


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory(name: str, seconds: int, options: argparse.Namespace) -> None:
    run = build(name, options.timestamps, options.threads)
    run(audio_of(1, 1))  # libraries allocate on first use
    audio = audio_of(seconds, 1)
    before = peak_mb()
    run(audio)
    say(f"{peak_mb() - before:.0f} MB ({peak_mb():.0f} MB in all)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--full", action="store_true", help="all batches of ten minutes, too")
    parser.add_argument("--memory", nargs=2, metavar=("NAME", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.memory:
        memory(options.memory[0], int(options.memory[1]), options)
        return
    kind = "timestamp" if options.timestamps else "scene"
    say(f"{kind} embeddings of the default model, torch {torch.__version__}, threads: {options.threads}")
    for name in names(options.timestamps):
        for label, seconds in LENGTHS.items():
            words = [sys.executable, "-m", "benchmarks.inference", "--memory", name, str(seconds)]
            words += ["--threads", str(options.threads), *(["--timestamps"] if options.timestamps else [])]
            grown = subprocess.run(words, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
            say(f"memory of {name}, {label}: +{grown.stdout.strip()}")
    compare(options)  # after the memory: a process begins with the peak of the one that starts it
    share_of_peak(options)


if __name__ == "__main__":
    main()
