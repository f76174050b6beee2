"""The HEAR API: `load_model`, `get_scene_embeddings`, `get_timestamp_embeddings`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from selfie_hear.config import LOUDEST, InputError
from selfie_hear.embedder import Embedder
from selfie_hear.precision import full_precision
from selfie_hear.pretrained import DEFAULT, find_release, load_release

GPU_CLIPS = 32  # clips per pass on an accelerator; on a CPU one at a time, which keeps a clip bit-equal in any batch
HOW_TO_SCALE = {
    torch.int16: "; for 16-bit audio: audio.float() / 32768",
    torch.int32: "; for 32-bit audio: audio.float() / 2147483648",
    torch.uint8: "; for unsigned 8-bit audio: (audio.float() - 128) / 128",
}
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def load_model(
    model_file_path: str | Path = "",
    *,
    name: str = DEFAULT,
    branch: str = "online",
    revision: str | None = None,
    timestamp_window_ms: float | None = None,
    scene_pooling: str | None = None,
    precision: str = "fp32",
) -> Embedder:
    """Load a pretrained model, in eval mode, on the CPU.

    Args:
        model_file_path: "" for the bundled model `name`; a release folder; `hf-hub:ORG/NAME[@REVISION]`.
        name: of a bundled model; `selfie-hear models` lists them.
        branch: "online" or "target", the two encoders of a release.
        revision: of a model on the Hub.
        timestamp_window_ms: window that a timestamp embedding pools over; None for the release's own.
        scene_pooling: "mean_max" or "mean_max_moment", see `Embedder`; None for the release's own.
        precision: "fp32", or "bf16" for a faster encoder where the device computes in bfloat16, see `Embedder`.

    Returns:
        a torch module with `sample_rate` (Hz), `scene_embedding_size` and `timestamp_embedding_size`.

    Raises:
        ReleaseError: an unknown name or branch, missing or damaged files, foreign or pickled weights; of the
            Hub also: no such repository or revision, no access, or no server and nothing in the cache.
        ConfigError: an unknown pooling or precision, a window that cannot be.
    """
    folder = find_release(str(model_file_path), name=name, revision=revision, branches=(branch,))
    model = load_release(folder, branch)
    if timestamp_window_ms is not None:
        model.timestamp_window_ms = timestamp_window_ms
    if scene_pooling is not None:
        model.scene_pooling = scene_pooling
    model.precision = precision
    return model


def get_scene_embeddings(audio: Tensor | Sequence[Tensor], model: Embedder) -> Tensor:
    """One embedding per clip.

    Args:
        audio: `(n_sounds, n_samples)`, or a list of 1-D tensors of any lengths: mono, floating point, in [-1, 1],
            at `model.sample_rate`. A clip gives the same embedding in any company.
        model: from `load_model`; used in eval mode whatever mode it is in (set it to eval before threads share it).

    Returns:
        float32 `(n_sounds, model.scene_embedding_size)`, on the model's device.

    Raises:
        InputError: audio of another kind.
    """
    clips = _check(audio, model)
    out = torch.empty(len(clips), model.scene_embedding_size, dtype=torch.float32, device=model.device)
    with evaluating(model):
        for rows in _passes(clips, model.device):
            out[rows] = model(_stack(clips, rows, model.device))
    return out


def get_timestamp_embeddings(
    audio: Tensor | Sequence[Tensor], model: Embedder
) -> tuple[Tensor, Tensor] | tuple[list[Tensor], list[Tensor]]:
    """One embedding every 40 ms, pooled over a window of `model.timestamp_window_ms` around it.

    Args:
        audio: as for `get_scene_embeddings`.
        model: from `load_model`.

    Returns:
        float32 embeddings `(n_sounds, T, model.timestamp_embedding_size)` and their centres `(n_sounds, T)` in ms;
        for a list of clips two lists, of `(T_i, D)` and of `(T_i,)`.

    Raises:
        InputError: audio of another kind.
    """
    clips = _check(audio, model)
    centres = {n: _centres(n, model) for n in {len(c) for c in clips}}
    times = [centres[len(clip)] for clip in clips]
    size = model.timestamp_embedding_size
    if isinstance(audio, Tensor):
        whole = torch.empty(len(clips), len(times[0]), size, dtype=torch.float32, device=model.device)
        _fill_timestamps(clips, list(whole), model)
        return whole, torch.stack(times)
    ragged = [torch.empty(len(t), size, dtype=torch.float32, device=model.device) for t in times]
    _fill_timestamps(clips, ragged, model)
    return ragged, times


def _centres(samples: int, model: Embedder) -> Tensor:
    return torch.tensor(model.grid.centres_ms(samples), dtype=torch.float32, device=model.device)


def _fill_timestamps(clips: Sequence[Tensor], out: Sequence[Tensor], model: Embedder) -> None:
    with evaluating(model):
        for rows in _passes(clips, model.device):
            done = 0
            for piece in model.timestamps([_stack(clips, rows, model.device)]):
                for row, values in zip(rows, piece, strict=True):
                    out[row][done : done + len(values)] = values
                done += piece.shape[1]


def _passes(clips: Sequence[Tensor], device: torch.device) -> Iterator[list[int]]:
    """Indices of clips to embed together: of one length, one at a time on a CPU."""
    most = 1 if device.type == "cpu" else GPU_CLIPS
    by_length: dict[int, list[int]] = {}
    for index, clip in enumerate(clips):
        by_length.setdefault(len(clip), []).append(index)
    for rows in by_length.values():
        yield from (rows[start : start + most] for start in range(0, len(rows), most))


def _stack(clips: Sequence[Tensor], rows: list[int], device: torch.device) -> Tensor:
    if len(rows) == 1:
        return clips[rows[0]][None].to(device, torch.float32)  # a view where it can be: an hour of audio is 230 MB
    return torch.stack([clips[row] for row in rows]).to(device, torch.float32)


@contextmanager
def evaluating(model: Embedder) -> Iterator[None]:
    """Eval mode and no gradient for the time of a call; not inference mode, so probes can train on the results."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad(), full_precision(model.device):
            yield
    finally:
        for module in training:
            module.training = True


def _check(audio: Tensor | Sequence[Tensor], model: Embedder) -> Sequence[Tensor]:
    if any(weight.dtype != torch.float32 for weight in model.parameters()):
        raise InputError("the model's weights are not all float32; call model.float()")
    accepted = (
        "accepted is a float tensor (n_sounds, n_samples), or a list of 1-D float tensors, "
        f"in [-1, 1] at {model.sample_rate} Hz"
    )
    if isinstance(audio, Tensor):
        if audio.ndim != 2:
            hint = "; for one clip use audio[None]" if audio.ndim == 1 else ""
            raise InputError(f"audio has shape {tuple(audio.shape)}; {accepted}{hint}")
    elif not isinstance(audio, list | tuple):
        hint = "; convert it with torch.from_numpy" if type(audio).__module__ == "numpy" else ""
        raise InputError(f"audio is a {type(audio).__name__}; {accepted}{hint}")
    if len(audio) == 0:
        raise InputError(f"audio is empty: there are no clips; {accepted}")
    for number, clip in enumerate(audio):
        if not isinstance(clip, Tensor) or clip.ndim != 1:
            what = f"has shape {tuple(clip.shape)}" if isinstance(clip, Tensor) else f"is a {type(clip).__name__}"
            raise InputError(f"clip {number} {what}; {accepted}")
        if clip.dtype not in FLOATS or clip.layout != torch.strided:
            kind = f"dtype {clip.dtype}" if clip.dtype not in FLOATS else f"layout {clip.layout}"
            raise InputError(f"clip {number} has {kind}; {accepted}{HOW_TO_SCALE.get(clip.dtype, '')}")
        if len(clip) == 0:
            raise InputError(f"clip {number} has zero samples; at least one is needed")
        low, high = clip.detach().aminmax()  # NaN goes through both
        peak = max(-float(low), float(high))
        if not math.isfinite(peak) or math.isnan(float(low)):
            raise InputError(f"clip {number} holds NaN or infinite samples; {accepted}")
        if peak > LOUDEST:
            raise InputError(f"clip {number} has a peak of {peak:g}; {accepted}; divide 16-bit values by 32768")
    return list(audio)
