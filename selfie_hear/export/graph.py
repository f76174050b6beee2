"""An Embedder as an ONNX graph from samples to embeddings; it goes through a clip in chunks, as the Embedder does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from selfie_hear.embedder import CHUNK, Embedder
from selfie_hear.export.encoder import encode_text, prepare_text
from selfie_hear.export.log_mel import PIECE, hear_text, spectrum_tensors
from selfie_hear.export.pooling import scene_text, timestamps_text

OPSET = 20

_LENGTHS = """
    true = Constant<value = bool {1}> ()
    from_0 = Constant<value = int64 {0}> ()
    by_1 = Constant<value = int64 {1}> ()
    clips_1 = Shape<start = 0, end = 1> (audio)
    samples_1 = Shape<start = 1, end = 2> (audio)
    beyond = Sub (samples_1, centre)
    steps = Div (beyond, step)
    steps_1 = Add (steps, one)
    count = Max (steps_1, one)
    count_0 = Squeeze (count)
    frame_number = Range (from_0, count_0, by_1)
    own_mels = Mul (count, stride)
    hops = Div (samples_1, hop)
    hops_1 = Add (hops, one)
    mels = Max (own_mels, hops_1)
"""  # `FrameGrid.frames` and `FrameGrid.mel_frames`


def build_graph(model: Embedder, timestamps: bool) -> Any:
    """The `onnx.ModelProto` of a model.

    Input: "audio", float32 `(clips, samples)`, of any number of clips and of samples from one up.
    Output: "embeddings" `(clips, D)`; or with `timestamps` "embeddings" `(clips, frames, D)` and "times_ms"
    `(clips, frames)`.

    Raises:
        ConfigError: an encoder that has no translation; the message names those that have.
    """
    import onnx

    prepare, prepare_tensors = prepare_text(model.encoder)
    encode, encode_tensors = encode_text(model.encoder)
    if timestamps:
        size, text = model.timestamp_embedding_size, timestamps_text(model, prepare, encode)
        results = f"float[clips, frames, {size}] embeddings, float[clips, frames] times_ms"
    else:
        size, text = model.scene_embedding_size, scene_text(model, prepare, encode)
        results = f"float[clips, {size}] embeddings"
    proto = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : {OPSET}], producer_name: "selfie_hear">
        selfie_hear (float[clips, samples] audio) => ({results}) {{
            {_LENGTHS} {hear_text(model.front_end.config)} {text}
        }}"""
    )
    outside, inside = spectrum_tensors(model.front_end)
    tensors = {
        "selfie_hear": {**_numbers(model), **outside},
        # Those of a loop live in its body, where onnxruntime can lay them out for its kernels.
        "hear": inside,
        "encode": {**prepare_tensors, **encode_tensors},
    }
    loops = [attribute.g for node in proto.graph.node for attribute in node.attribute if attribute.name == "body"]
    for graph in (proto.graph, *loops):
        for name, value in tensors[graph.name].items():
            array = value.detach().cpu().contiguous().numpy()
            graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _numbers(model: Embedder) -> dict[str, Tensor]:
    grid, config = model.grid, model.front_end.config
    context, chunk = -(-grid.context // grid.unit) * grid.unit, grid.whole_units(CHUNK)  # so that chunks begin at units
    numbers = {
        "zero": 0, "one": 1, "two": 2, "three": 3, "bands": config.n_mels, "hop": grid.hop, "transform": config.n_fft,
        "before": grid.window // 2, "centre": grid.first_centre, "step": grid.step, "stride": grid.stride,
        "context": context, "reach": grid.reach, "most": PIECE, "chunk": chunk, "mel_chunk": chunk * grid.stride,
    }  # fmt: skip
    return {name: torch.tensor([value]) for name, value in numbers.items()}
