"""Speed of a collection: python -m benchmarks.corpus [FOLDER ...] [--workers N] [--threads N] [--rounds N]

Embeds the audio files of the folders (at most --clips of them, evenly chosen), or else 300 cuts of the examples of
0.5 to 10 s in FLAC, Ogg and 44.1 kHz WAV, into a collection, and prints files per second, the share of the time that
the main process waited for decoded audio, embedded and wrote, and the ratio to the bare encoder: the same clips one
after the other from memory. The two take turns; each figure is the median of the rounds, without what it takes to
start processes, which is printed too. The ratio of the main process's CPU time says what is left on a machine that has
a core free for decoding; beside other work the ratio of the speeds says how the system shares the cores.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from selfie_hear import get_scene_embeddings, load_model
from selfie_hear.audio import read_audio
from selfie_hear.corpus import Progress, embed_collection, find_files
from selfie_hear.embedder import Embedder
from selfie_hear.origin import Origin

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SECONDS = (0.5, 1, 2, 4, 5, 10)
FORMATS = ((".flac", 16000), (".ogg", 16000), (".wav", 44100))


def cut_examples(folder: Path, count: int) -> list[Path]:
    """Clips of several lengths and formats, from different places of the examples played one after the other."""
    sound = np.concatenate([read_audio(path, 16000) for path in find_files([str(EXAMPLES)])[0]])
    made = []
    for number in range(count):
        (suffix, rate), seconds = FORMATS[number % 3], SECONDS[number // 3 % len(SECONDS)]
        clip = np.roll(sound, -997 * number)[: int(16000 * seconds)]
        made.append(folder / f"{number:04d}{suffix}")
        soundfile.write(made[-1], soxr.resample(clip, 16000, rate), rate)
    return made


def bare(model: Embedder, clips: list[torch.Tensor]) -> float:
    """Clips per second of the encoder alone."""
    started = time.perf_counter()
    for clip in clips:
        get_scene_embeddings([clip], model)
    return len(clips) / (time.perf_counter() - started)


def collect(model: Embedder, files: list[Path], workers: int | None) -> tuple[float, float, Progress]:
    """Files per second from the first file on, the seconds before it was done, and what was done."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        done = embed_collection(
            [str(path) for path in files], Path(out, "collection"), model, Origin.of(model), workers=workers,
            shard_size=64, report=lambda now: times.append(time.perf_counter()) if now.files_done else None,
        )  # fmt: skip
    return (len(files) - 1) / (times[-1] - times[0]), times[0] - started, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*")
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load_model()
    with tempfile.TemporaryDirectory() as folder:
        if options.folders:
            found = find_files(options.folders)[0]
            files = found[:: -(-len(found) // options.clips)]
        else:
            files = cut_examples(Path(folder), options.clips)
        clips = [torch.from_numpy(read_audio(path, model.sample_rate)) for path in files]
        hours = sum(map(len, clips)) / model.sample_rate / 3600
        say(f"{len(files)} files, {hours:.2f} h, {options.threads} threads, torch {torch.__version__}")
        bare(model, clips[:10])
        rounds = []
        for _ in range(options.rounds):
            cpu = [time.process_time()]
            alone = bare(model, clips)
            cpu.append(time.process_time())
            speed, start, done = collect(model, files, options.workers)
            cpu.append(time.process_time())
            work = done.done
            busy = work.waiting + work.embedding + work.writing
            shares = [100 * part / busy for part in (work.waiting, work.embedding, work.writing)]
            rounds.append((speed, alone, speed / alone, (cpu[1] - cpu[0]) / (cpu[2] - cpu[1]), start, *shares))
            say("{:6.1f} files/s, bare {:6.1f}, ratio {:.3f}, of CPU time {:.3f}, start {:.1f} s".format(*rounds[-1]))
    speed, alone, ratio, cpu_ratio, start, *shares = (statistics.median(column) for column in zip(*rounds, strict=True))
    say(f"median: {speed:.1f} files/s, {ratio:.3f} of the bare encoder's {alone:.1f}; {start:.1f} s to the first file")
    say(f"CPU time of the bare encoder: {cpu_ratio:.3f} of the main process's")
    say("waiting for decoded audio {:.1f} %, embedding {:.1f} %, writing {:.1f} %".format(*shares))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
