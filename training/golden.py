"""`golden.safetensors` of a release: clips that any machine makes alike, and the embeddings that they must give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from selfie_hear import Embedder, ReleaseError, get_scene_embeddings, get_timestamp_embeddings
from selfie_hear.pretrained import branches_of, load_release

GOLDEN = "golden.safetensors"
TOLERANCE = 1e-4  # between processors; embeddings are of the order of 1


def golden_clips(sample_rate: int) -> list[Tensor]:
    """Three clips, int16 `(samples,)`: a chirp with a fading partial, bursts of noise, silence and a click."""
    time = torch.arange(int(1.3 * sample_rate), dtype=torch.float64) / sample_rate
    chirp = 0.5 * torch.sin(2 * torch.pi * (200 * time + 900 * time**2)) * torch.exp(-time)
    generator = torch.Generator().manual_seed(0)
    noise = 0.2 * torch.randn(int(0.7 * sample_rate), generator=generator, dtype=torch.float64)
    noise[noise.shape[0] // 3 : noise.shape[0] // 2] = 0.0
    click = torch.zeros(sample_rate // 2, dtype=torch.float64)
    click[sample_rate // 4] = 0.9
    return [torch.round(clip * 32767).to(torch.int16) for clip in (chirp, noise, click)]


def write_golden(folder: Path, exact: dict[str, Embedder]) -> dict[str, float]:
    """Write the clips and what the stored weights of a release make of them.

    Args:
        exact: by branch, what was stored, before it was rounded.

    Returns:
        by branch, the largest change of a scene embedding by rounding, relative to its length.
    """
    tensors: dict[str, Tensor] = {}
    rounding: dict[str, float] = {}
    clips = golden_clips(next(iter(exact.values())).sample_rate)
    for number, clip in enumerate(clips):
        tensors[f"audio.{number}"] = clip
    for branch in exact:
        found = dict(_embeddings(clips, load_release(folder, branch), branch))
        tensors.update(found)
        scenes = found[f"{branch}.scene"]
        _, before = next(_embeddings(clips, exact[branch], branch))
        rounding[branch] = float(((scenes - before).norm(dim=1) / scenes.norm(dim=1)).max())
    save_file(tensors, folder / GOLDEN, metadata={"tolerance": str(TOLERANCE)})
    return rounding


def check_golden(folder: Path) -> None:
    """Load each branch of a release and compare its embeddings with the golden ones.

    Raises:
        ReleaseError: they differ by more than the tolerance that is stored with them, or the file is not whole.
    """
    path = folder / GOLDEN
    try:
        with safe_open(path, "pt") as file:
            tolerance = float((file.metadata() or {})["tolerance"])
            golden = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        clips = [golden["audio.0"], *(golden[name] for name in sorted(golden) if re.fullmatch(r"audio\.[1-9]", name))]
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ReleaseError(f"{path}: missing or damaged ({error!r}); export the run again") from error
    for branch in branches_of(folder):
        for name, found in _embeddings(clips, load_release(folder, branch), branch):
            expected = golden.get(name)
            if expected is None or expected.shape != found.shape:
                raise ReleaseError(f"{path}: holds no {name} of shape {tuple(found.shape)}; export the run again")
            if not (difference := float((found - expected).abs().max())) <= tolerance:  # nor if it is not a number
                raise ReleaseError(
                    f"{path}: {name} differs by {difference:.1e} from what the weights give here; "
                    f"at most {tolerance:g} is accepted"
                )


def _embeddings(clips: list[Tensor], model: Embedder, branch: str) -> Iterator[tuple[str, Tensor]]:
    audio = [clip.float() / 32768.0 for clip in clips]
    yield f"{branch}.scene", get_scene_embeddings(audio, model)
    yield f"{branch}.timestamps.0", get_timestamp_embeddings(audio, model)[0][0]
