"""Speed and memory of scene embeddings: python -m benchmarks.inference [--threads N] [--timestamps]

Prints, for each length, how many times faster than real time a clip is embedded (best of three) and by how much the
process's peak memory grew over the loaded model and the audio itself. Each length runs in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch

from selfie_hear import get_scene_embeddings, get_timestamp_embeddings, load_model

LENGTHS = {"1 s": 1, "10 s": 10, "20 min": 1200, "1 h": 3600}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(seconds: int, timestamps: bool) -> str:
    model = load_model()
    embed = get_timestamp_embeddings if timestamps else get_scene_embeddings
    embed(torch.rand(1, 16000) - 0.5, model)  # libraries allocate on first use
    audio = (torch.rand(1, seconds * model.sample_rate).sub_(0.5)).mul_(0.2)
    before = peak_mb()
    best = float("inf")
    for _ in range(3 if seconds > 60 else 20):
        started = time.perf_counter()
        embed(audio, model)
        best = min(best, time.perf_counter() - started)
    grown = peak_mb() - before
    return f"{seconds / best:8.0f} x real time, {best:8.3f} s, peak memory {peak_mb():6.0f} MB, +{grown:.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--seconds", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.seconds:
        sys.stdout.write(measure(options.seconds, options.timestamps) + "\n")
        return
    sys.stdout.write(f"torch {torch.__version__}, {options.threads} threads\n")
    for name, seconds in LENGTHS.items():
        words = [sys.executable, __file__, "--seconds", str(seconds), "--threads", str(options.threads)]
        sys.stdout.write(f"{name:>7} ")
        sys.stdout.flush()
        subprocess.run(words + ["--timestamps"] * options.timestamps, check=True)


if __name__ == "__main__":
    main()
