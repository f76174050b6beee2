"""How alike the layers of two encoders are: linear CKA (Kornblith et al. 2019; BYOL-S, figure 3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from selfie_hear.embedder import Embedder
from selfie_hear.encoders import Encoder
from selfie_hear.encoders.dropout import Dropout
from selfie_hear.precision import full_precision
from selfie_hear.pretrained import load_release
from training.evaluate.embeddings import Report, read_clip
from training.evaluate.tasks import SceneTask, TaskError

PASS_SECONDS = 16.0  # of audio at once: 100 MB of activations of the default encoder
LEAST = 8  # clips
OUTPUT = "output"  # of the whole encoder

Released = tuple[Path, str]  # a release folder and a branch


def linear_cka(x: np.ndarray, y: np.ndarray) -> float:
    """Centred kernel alignment with the linear kernel, 0 to 1 (Kornblith et al. 2019, section 3).

    ||Y'X||^2 / (||X'X|| ||Y'Y||) with Frobenius norms and centred columns. It is computed from the Gram matrices XX'
    and YY', which gives the same and is much less work where there are more features than clips. With as many
    features as clips and more, even independent ones are far from 0; see `layers_cka`.

    Args:
        x: `(n, d1)`: a clip is a row.
        y: `(n, d2)`, of the same clips.

    Returns:
        1 for features that differ by a rotation and a scale; 0 where `x` or `y` is the same for all clips.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
        raise ValueError(f"linear_cka: expected (n, d1) and (n, d2), got {x.shape} and {y.shape}")
    return _aligned(_gram(x), _gram(y))


def _gram(x: np.ndarray) -> np.ndarray:
    """Of centred columns, `(n, n)` in float64, of Frobenius norm 1; or of zeros."""
    wide = x.astype(np.float64)
    spread = np.abs(wide).max(initial=0.0)
    wide -= wide.mean(0)
    # Rounding in the mean can give features that are all the same a deviation.
    peak = np.abs(wide).max(initial=0.0)
    if peak <= 1e-12 * spread:
        return np.zeros((len(x), len(x)))
    wide /= peak  # neither overflows nor vanishes when it is squared twice
    gram: np.ndarray = wide @ wide.T
    gram /= np.linalg.norm(gram)
    return gram


def _aligned(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.clip(np.vdot(first, second), 0.0, 1.0))


def layers_cka(
    first: Released,
    second: Released,
    task: SceneTask,
    clips: int = 512,
    report: Report = lambda _done, _all: None,
) -> dict[str, Any]:
    """The CKA of each layer of one encoder with each of another, on clips of a task; labels are not looked at.

    Args:
        first, second: release folder and branch; the encoders may be of different kinds.
        clips: how many, spread evenly over the task; all where there are fewer.
        report: called with the number of clips that are done and of all, of both encoders.

    Returns:
        `kind` "cka", `task`, `clips`, `models`, `layers` (the names of those of each), `matrix` (a row for each layer
        of `first`) and `chance`: the same with the clips of `second` in another order, which is what CKA gives to
        features that have nothing to do with each other. It is 0 only for clips without number.

    Raises:
        TaskError: too few clips, one that cannot be read, or an activation that is not finite.
        ReleaseError: see `load_release`.
    """
    paths = [path for files in task.splits.values() for path in files]
    count = min(clips, len(paths))
    if count < LEAST:
        raise TaskError(f"{task.name}: CKA of {count} clips; {LEAST} or more are needed, and some hundreds are better")
    chosen = [paths[number * len(paths) // count] for number in range(count)]
    grams: list[dict[str, np.ndarray]] = []
    for number, (folder, branch) in enumerate((first, second)):
        embedder = load_release(folder, branch)
        parts: dict[str, list[np.ndarray]] = {}
        done = number * count
        for batch in _batches(chosen, embedder, task.seconds):
            for name, values in layers_of(embedder, batch).items():
                parts.setdefault(name, []).append(values.numpy())
            done += len(batch)
            report(done, 2 * count)
        if broken := [name for name, found in parts.items() if not all(np.isfinite(part).all() for part in found)]:
            raise TaskError(f"{folder.name} {branch}: what {broken[0]} gives for clips of {task.name} is not finite")
        grams.append({name: _gram(np.concatenate(found)) for name, found in parts.items()})
    mixed = np.random.default_rng(0).permutation(count)
    others = [gram[np.ix_(mixed, mixed)] for gram in grams[1].values()]
    return {
        "kind": "cka",
        "task": task.name,
        "clips": count,
        "models": [f"{folder.name} {branch}" for folder, branch in (first, second)],
        "layers": [list(layers) for layers in grams],
        "matrix": [[_aligned(one, other) for other in grams[1].values()] for one in grams[0].values()],
        "chance": [[_aligned(one, other) for other in others] for one in grams[0].values()],
    }


def _batches(paths: list[Path], embedder: Embedder, seconds: float) -> Iterator[Tensor]:
    """Clips `(b, samples)` at the rate of the model."""
    size, samples = max(1, int(PASS_SECONDS / seconds)), round(seconds * embedder.sample_rate)
    for start in range(0, len(paths), size):
        clips = [read_clip(path, embedder.sample_rate, samples) for path in paths[start : start + size]]
        yield torch.from_numpy(np.stack(clips))


@torch.no_grad()
def layers_of(embedder: Embedder, audio: Tensor) -> dict[str, Tensor]:
    """What each layer gives for clips, averaged over time.

    A layer is a child module of the encoder that runs once (or once for each segment, where an encoder hears a clip in
    segments) and whose output has a row for each clip; its name is the child's; a list of modules, or an encoder
    within, counts as its members, and dropout, which does nothing here, is none. The last is `output`: the encoder's
    frames. Time is the axis that grows with the clip.

    Of `audio_ntt` these are norm0, norm1, norm2, fc1, fc2 and output. In eval mode it folds norm1 and norm2 into the
    convolutions before them, and neither is called; so the encoder, not its children, is told that it trains, which
    makes it call the norms with the statistics that they have. If that changed its output, as it might another
    encoder's, it would be run as it is. conv1 and conv2 cannot be seen: it takes their weights and never calls them.
    But norm1 and norm2 are what conv1 and conv2 give, scaled and shifted channel by channel; both are before max
    pooling and ReLU, and fc1 and fc2 are before ReLU.

    Args:
        audio: `(B, N)`.

    Returns:
        `(B, d)` of each layer, in the order in which they run.
    """
    encoder, grid = embedder.encoder.eval(), embedder.grid
    mels = grid.mel_frames(audio.shape[1])
    before, end = grid.sample_span(0, mels)
    with full_precision(embedder.device):
        mel = embedder.front_end(nn.functional.pad(audio, (-before, max(0, end - audio.shape[1])))[:, : end - before])
        found: dict[str, Tensor] = {}
        short, long = (
            {
                name: given[0].shape
                for name, given in _observe(encoder, mel[:1, ..., :1].repeat(1, 1, 1, frames))
                if len(given) == 1
            }
            for frames in (4 * encoder.stride, 8 * encoder.stride)
        )
        for name, given in _observe(encoder, mel):
            if name not in short or name not in long or len(short[name]) != len(long[name]) or long[name][0] != 1:
                continue
            times = [axis for axis in range(1, len(long[name])) if short[name][axis] != long[name][axis]]
            means = [(part.mean(times) if times else part).flatten(1) for part in given]
            found[name] = torch.stack(means).mean(0)
    return found


def _observe(encoder: Encoder, mel: Tensor) -> list[tuple[str, list[Tensor]]]:
    """Layers with what they give each time they run, and the output."""
    plain, output = _run(encoder, mel)
    encoders = [module for module in encoder.modules() if isinstance(module, Encoder)]
    for module in encoders:
        module.training = True  # of itself alone
    try:
        unfolded, same = _run(encoder, mel)
    finally:
        for module in encoders:
            module.training = False
    close = same.shape == output.shape and torch.allclose(same, output, rtol=1e-3, atol=1e-4)
    return [*(unfolded if close else plain), (OUTPUT, [output])]


def _run(encoder: Encoder, mel: Tensor) -> tuple[list[tuple[str, list[Tensor]]], Tensor]:
    calls: dict[str, list[Any]] = {}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, given: calls.setdefault(name, []).append(given)

    hooks = [module.register_forward_hook(keep(name)) for name, module in _children(encoder)]
    try:
        output: Tensor = encoder(mel)
    finally:
        for hook in hooks:
            hook.remove()
    tensors = [
        (name, given)
        for name, given in calls.items()
        if all(isinstance(part, Tensor) and part.ndim > 1 for part in given)
    ]
    return tensors, output


def _children(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict | Encoder):
            yield from _children(child, f"{prefix}{name}.")
        elif not isinstance(child, Dropout | nn.Dropout):
            yield f"{prefix}{name}", child
