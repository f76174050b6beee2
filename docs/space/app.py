"""A Hugging Face Space: which sounds are alike, and where a recording changes. Run it with `python app.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gradio
import numpy as np
import torch
from matplotlib.figure import Figure

from selfie_hear import get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.audio import AudioError, read_audio

MINUTES = 10  # that are heard of a recording
NEAR = 25  # frames of 40 ms that are compared on both sides of a moment

model = load_model()


def heard(path: str) -> torch.Tensor:
    """The samples of a file, `(n,)`."""
    try:
        return torch.from_numpy(read_audio(path, model.sample_rate))[: MINUTES * 60 * model.sample_rate]
    except AudioError as error:
        raise gradio.Error(str(error)) from error


def alike(paths: Sequence[str] | None) -> Figure:
    """The cosine similarity of each pair of files, less what all of them share."""
    if not paths or len(paths) < 3:
        raise gradio.Error("Give at least three sounds.")
    values = get_scene_embeddings([heard(path) for path in paths], model).numpy()
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=1, keepdims=True).clip(min=1e-12)
    names = [Path(path).stem for path in paths]
    figure = Figure((1.5 + 0.6 * len(names), 1.2 + 0.6 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(values @ values.T, vmin=-1, vmax=1, cmap="RdBu_r")
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    return figure


def changes(path: str | None) -> Figure:
    """How alike all moments of a recording are, and how much it changes at each."""
    if path is None:
        raise gradio.Error("Give a recording.")
    (frames,), (times,) = get_timestamp_embeddings(heard(path)[None], model)
    if len(frames) <= 2 * NEAR:
        raise gradio.Error(f"Give a recording longer than {2 * NEAR * 0.04:g} s.")
    frames = (frames - frames.mean(0)) / (frames.std(0) + 0.1)
    step = max(1, len(frames) // 600)  # as many as can be seen
    seen = torch.nn.functional.normalize(frames[::step])
    sums = torch.cat([torch.zeros(1, frames.shape[1]), frames.cumsum(0)])
    before, after = sums[NEAR:-NEAR] - sums[: -2 * NEAR], sums[2 * NEAR :] - sums[NEAR:-NEAR]
    novelty = 1 - torch.cosine_similarity(before, after)
    seconds = times / 1000
    figure = Figure((7, 8), layout="constrained")
    above, below = figure.subplots(2, height_ratios=(5, 1), sharex=True)
    end = float(seconds[-1])
    above.imshow(seen @ seen.T, extent=(0, end, end, 0), cmap="magma", aspect="auto")
    above.set_ylabel("s")
    below.plot(seconds[NEAR : NEAR + len(novelty)], novelty)
    below.set_xlabel("s")
    below.set_ylabel("change")
    return figure


def build() -> gradio.Blocks:
    """The page."""
    with gradio.Blocks(title="selfie_hear") as page:
        gradio.Markdown("# selfie_hear\nAny sound to a vector: a small, fast, openly licensed encoder.")
        with gradio.Tab("Alike"):
            files = gradio.File(file_count="multiple", file_types=["audio"], label="Three sounds or more")
            gradio.Button("Compare", variant="primary").click(alike, files, gradio.Plot(label="Similarity"))
        with gradio.Tab("Changes"):
            recording = gradio.Audio(type="filepath", label=f"A recording; {MINUTES} minutes of it are heard")
            gradio.Button("Listen", variant="primary").click(changes, recording, gradio.Plot(label="Self-similarity"))
    return page


if __name__ == "__main__":
    build().launch()
