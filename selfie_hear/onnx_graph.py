"""An Embedder as an ONNX graph from samples to embeddings; it goes through a clip in chunks, as the Embedder does."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from selfie_hear.config import MissingExtraError
from selfie_hear.embedder import CHUNK, Embedder
from selfie_hear.frontend import LogMel
from selfie_hear.onnx_encoder import encode_text, prepare_text


def onnx_library(name: str) -> Any:
    """A package of the extra `onnx`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(f"export to ONNX needs {name}: pip install 'selfie_hear[onnx]'") from error


def build_graph(model: Embedder, timestamps: bool) -> Any:
    """The `onnx.ModelProto` of a model, operator set 20.

    Input: "audio", float32 `(clips, samples)`, of any number of clips and of samples from one up.
    Output: "embeddings" `(clips, D)`; or with `timestamps` "embeddings" `(clips, frames, D)` and "times_ms"
    `(clips, frames)`.

    Raises:
        ConfigError: an encoder that has no translation; the message names those that have.
        MissingExtraError: onnx is not installed.
    """
    onnx = onnx_library("onnx")
    prepare, prepare_tensors = prepare_text(model.encoder)
    encode, encode_tensors = encode_text(model.encoder)
    bands = model.front_end.config.n_mels
    if timestamps:
        size = model.timestamp_embedding_size
        results = f"float[clips, frames, {size}] embeddings, float[clips, frames] times_ms"
        body = _timestamps(model, encode)
    else:
        results = f"float[clips, {model.scene_embedding_size}] embeddings"
        body = _scene(model, encode)
    proto = onnx.parser.parse_model(
        f"""<ir_version: 9, opset_import: ["" : 20], producer_name: "selfie_hear">
        selfie_hear (float[clips, samples] audio) => ({results}) {{
            {_LENGTHS} {_hear_loop(model)} {prepare} {body}
        }}"""
    )
    grid, config = model.grid, model.front_end.config
    numbers = {
        "zero": 0, "one": 1, "two": 2, "three": 3, "bands": bands, "hop": grid.hop, "window": grid.window,
        "before": grid.window // 2, "centre": grid.first_centre, "step": grid.step, "stride": grid.stride,
        "context": grid.context, "chunk": CHUNK, "mel_chunk": CHUNK * grid.stride,
    }  # fmt: skip
    kernels, mel = spectrum_kernels(model.front_end)
    tensors = {
        "selfie_hear": {name: torch.tensor([value]) for name, value in numbers.items()} | prepare_tensors,
        # Those of a loop live in its body, where onnxruntime can lay them out for its kernels.
        "hear": {"kernels": kernels, "mel": mel, "offset": torch.tensor([config.log_offset])},
        "encode": encode_tensors,
    }
    loops = [a.g for node in proto.graph.node for a in node.attribute if a.name == "body"]
    for graph in (proto.graph, *loops):
        for name, value in tensors[graph.name].items():
            graph.initializer.append(onnx.numpy_helper.from_array(_plain(value), name))
    onnx.checker.check_model(proto, full_check=True)
    return proto


def spectrum_kernels(front_end: LogMel) -> tuple[Tensor, Tensor]:
    """Cosines and sines under the window `(2 K, 1, win_length)` of the K bins that reach a mel band, and the matrix
    `(n_mels, 2 K)` that their squares are multiplied with."""
    config = front_end.config
    used = front_end.mel.sum(1) > 0
    turns = torch.arange(config.n_fft // 2 + 1, device=used.device)[used, None] * torch.arange(
        config.win_length, device=used.device
    )
    angles = 2 * torch.pi * (turns % config.n_fft).double() / config.n_fft  # exact whole turns are taken off first
    kernels = torch.cat([angles.cos(), angles.sin()]) * front_end.window.double()
    return kernels[:, None], front_end.mel[used].t().repeat(1, 2)


def _plain(value: Tensor) -> Any:
    value = value.detach().cpu()
    return (value.float() if value.is_floating_point() else value).contiguous().numpy()


_LENGTHS = """
    true = Constant<value = bool {1}> ()
    clips_1 = Shape<start = 0, end = 1> (audio)
    samples_1 = Shape<start = 1, end = 2> (audio)
    beyond = Sub (samples_1, centre)
    steps = Div (beyond, step)
    steps_1 = Add (steps, one)
    count = Max (steps_1, one)
    own_mels = Mul (count, stride)
    hops = Div (samples_1, hop)
    hops_1 = Add (hops, one)
    mels = Max (own_mels, hops_1)
"""


def _hear_loop(model: Embedder) -> str:
    """Log-mel of `FrameGrid.mel_frames`; the spectrum is a convolution, as runtimes have no fast transform."""
    config = model.front_end.config
    return f"""
        piece = Min (mels, mel_chunk)
        mels_up = Add (mels, piece)
        mels_up_1 = Sub (mels_up, one)
        pieces = Div (mels_up_1, piece)
        covered = Mul (pieces, piece)
        covered_1 = Sub (covered, one)
        last_start = Mul (covered_1, hop)
        needed = Add (last_start, window)
        known = Add (before, samples_1)
        behind = Sub (needed, known)
        silence = Concat<axis = 0> (zero, before, zero, behind)
        padded = Pad (audio, silence)
        piece_1 = Sub (piece, one)
        piece_start = Mul (piece_1, hop)
        piece_samples = Add (piece_start, window)
        piece_step = Mul (piece, hop)
        piece_count = Squeeze (pieces)
        mel_pieces = Loop (piece_count, true) <body = hear (int64 i, bool more)
            => (bool go_on, float[clips, {config.n_mels}, frames] mel_piece) {{
            go_on = Identity (more)
            first = Mul (i, piece_step)
            last = Add (first, piece_samples)
            samples = Slice (padded, first, last, one)
            wave = Unsqueeze (samples, one)
            spectrum = Conv<strides = [{config.hop_length}]> (wave, kernels)
            squares = Mul (spectrum, spectrum)
            bands_power = MatMul (mel, squares)
            raised = Add (bands_power, offset)
            mel_piece = Log (raised)
        }}>
        mel_rows = Transpose<perm = [1, 2, 0, 3]> (mel_pieces)
        mel_shape = Concat<axis = 0> (clips_1, bands, covered)
        mel_longer = Reshape (mel_rows, mel_shape)
        log_mel = Slice (mel_longer, zero, mels, two)
    """



def _encode_loop(encode: str, state: dict[str, str], scan: str, pool: str) -> str:
    """The encoder over chunks of frames; as in `FrameGrid.mel_span` each sees its context, as far as there is any.

    Args:
        state: name and type of what is carried from one chunk to the next.
        scan: type of "chunk_result", of which all are kept; "" for none.
        pool: text of the body from "frames" `(clips, t, D)` on.
    """
    takes = "".join(f", {kind} {name}_before" for name, kind in state.items())
    gives = "".join(f", {kind} {name}_after" for name, kind in state.items())
    gives += f", {scan} chunk_result" if scan else ""
    starts = "".join(f", {name}_start" for name in state)
    results = ", ".join([*state, *(["chunk_results"] if scan else [])])
    return f"""
        size = Min (count, chunk)
        chunks_up = Add (count, size)
        chunks_up_1 = Sub (chunks_up, one)
        chunks = Div (chunks_up_1, size)
        chunk_count = Squeeze (chunks)
        {results} = Loop (chunk_count, true{starts}) <body = encode
            (int64 chunk_number, bool more_chunks{takes}) => (bool go_on_chunks{gives}) {{
            go_on_chunks = Identity (more_chunks)
            from_frame = Mul (chunk_number, chunk)
            from_mel = Mul (from_frame, stride)
            with_context = Sub (from_mel, context)
            seen_first = Max (with_context, zero)
            to_mel = Add (from_mel, mel_chunk)
            seen_last = Add (to_mel, context)
            seen = Slice (planes, seen_first, seen_last, three)
            {encode}
            ahead = Sub (from_mel, seen_first)
            skipped = Div (ahead, stride)
            left = Sub (count, from_frame)
            own = Min (left, chunk)
            own_last = Add (skipped, own)
            frames = Slice (heard, skipped, own_last, one)
            {pool}
        }}>
    """


def _scene(model: Embedder, encode: str) -> str:
    """`Embedder.scene`."""
    dim, timed = model.encoder.dim, range(*model.encoder.timed.indices(model.encoder.dim))
    text = f"""
        whole = Constant<value = int64[1] {{{dim}}}> ()
        whole_shape = Concat<axis = 0> (clips_1, whole)
        nothing = Constant<value = double {{0.0}}> ()
        total_start = Expand (nothing, whole_shape)
        lowest = Constant<value = float {{-3.4e38}}> ()
        peak_start = Expand (lowest, whole_shape)
    """
    state = {"total": f"double[clips, {dim}]", "peak": f"float[clips, {dim}]"}
    pool = """
        chunk_sum = ReduceSum<keepdims = 0> (frames, one)
        chunk_total = Cast<to = 11> (chunk_sum)
        total_after = Add (total_before, chunk_total)
        chunk_peak = ReduceMax<keepdims = 0> (frames, one)
        peak_after = Max (peak_before, chunk_peak)
    """
    mean_max = """
        frame_count = Cast<to = 11> (count)
        mean_wide = Div (total, frame_count)
        mean = Cast<to = 1> (mean_wide)
    """
    if model.scene_pooling == "mean_max":
        return text + _encode_loop(encode, state, "", pool) + mean_max + "embeddings = Add (mean, peak)"
    text += _MOMENT_WEIGHTS + f"""
        some = Constant<value = int64[1] {{{len(timed)}}}> ()
        some_shape = Concat<axis = 0> (clips_1, some)
        moment_start = Expand (nothing, some_shape)
        timed_first = Constant<value = int64[1] {{{timed.start}}}> ()
        timed_last = Constant<value = int64[1] {{{timed.stop}}}> ()
    """
    state["moment"] = f"double[clips, {len(timed)}]"
    pool += """
        to_frame = Add (from_frame, own)
        chunk_weights = Slice (moment_weights, from_frame, to_frame, two)
        timed_values = Slice (frames, timed_first, timed_last, two)
        chunk_row = MatMul (chunk_weights, timed_values)
        chunk_moment = Squeeze (chunk_row, one)
        chunk_moment_wide = Cast<to = 11> (chunk_moment)
        moment_after = Add (moment_before, chunk_moment_wide)
    """
    end = """
        mean_max = Add (mean, peak)
        moment_values = Cast<to = 1> (moment)
        embeddings = Concat<axis = 1> (mean_max, moment_values)
    """
    return text + _encode_loop(encode, state, "", pool) + mean_max + end


# `TimeMoment` is a sum over frames with weights that the whole clip's energy, known by now, decides.
_MOMENT_WEIGHTS = """
    own_log_mel = Slice (log_mel, zero, own_mels, two)
    own_power = Exp (own_log_mel)
    mel_power = ReduceSum<keepdims = 0> (own_power, one)
    by_frame = Concat<axis = 0> (clips_1, count, stride)
    frame_mels = Reshape (mel_power, by_frame)
    frame_power = ReduceMean<keepdims = 0> (frame_mels, two)
    energy = Cast<to = 11> (frame_power)
    energy_sum = ReduceSum (energy, one)
    from_0 = Constant<value = int64 {0}> ()
    by_1 = Constant<value = int64 {1}> ()
    count_0 = Squeeze (count)
    frame_number = Range (from_0, count_0, by_1)
    time = Cast<to = 11> (frame_number)
    energy_time = Mul (energy, time)
    energy_time_sum = ReduceSum (energy_time, one)
    middle = Div (energy_time_sum, energy_sum)
    away = Sub (time, middle)
    pull = Mul (energy, away)
    pull_away = Mul (pull, away)
    square = ReduceSum (pull_away, one)
    variance = Div (square, energy_sum)
    deviation = Sqrt (variance)
    one_frame = Constant<value = double {1.0}> ()
    spread = Max (deviation, one_frame)
    pull_unit = Mul (energy_sum, spread)
    weights_wide = Div (pull, pull_unit)
    weights = Cast<to = 1> (weights_wide)
    moment_weights = Unsqueeze (weights, one)
"""


def _timestamps(model: Embedder, encode: str) -> str:
    """`Embedder.timestamps` and `FrameGrid.centres_ms`."""
    window, dim = model.grid.window_frames(model.timestamp_window_ms), model.encoder.dim
    pool = """
        missing = Sub (size, own)
        filling = Concat<axis = 0> (zero, zero, zero, zero, missing, zero)
        chunk_result = Pad (frames, filling)
    """
    around = f"kernel_shape = [{window}], pads = [{window // 2}, {window // 2}]"
    return _encode_loop(encode, {}, f"float[clips, part, {dim}]", pool) + f"""
        chunks_in_order = Transpose<perm = [1, 3, 0, 2]> (chunk_results)
        in_chunks = Mul (chunks, size)
        whole = Constant<value = int64[1] {{{dim}}}> ()
        longer_shape = Concat<axis = 0> (clips_1, whole, in_chunks)
        longer = Reshape (chunks_in_order, longer_shape)
        all_frames = Slice (longer, zero, count, two)
        mean = AveragePool<{around}> (all_frames)
        top = MaxPool<{around}> (all_frames)
        mean_max = Add (mean, top)
        embeddings = Transpose<perm = [0, 2, 1]> (mean_max)
        from_0 = Constant<value = int64 {{0}}> ()
        by_1 = Constant<value = int64 {{1}}> ()
        count_0 = Squeeze (count)
        frame_number = Range (from_0, count_0, by_1)
        frame_start = Mul (frame_number, step)
        frame_start_wide = Cast<to = 11> (frame_start)
        samples_wide = Cast<to = 11> (samples_1)
        half = Constant<value = double {{0.5}}> ()
        clip_middle = Mul (samples_wide, half)
        centre_wide = Cast<to = 11> (centre)
        first_centre = Min (clip_middle, centre_wide)
        centres = Add (frame_start_wide, first_centre)
        samples_per_ms = Constant<value = double {{{model.sample_rate / 1000}}}> ()
        centres_ms = Div (centres, samples_per_ms)
        times_row = Cast<to = 1> (centres_ms)
        times_shape = Concat<axis = 0> (clips_1, count)
        times_ms = Expand (times_row, times_shape)
    """
