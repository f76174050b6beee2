"""The encoder's chunks and their pooling in the words of ONNX."""

from __future__ import annotations

from selfie_hear.embedder import Embedder

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


def _encode_loop(prepare: str, encode: str, state: dict[str, str], scan: str, pool: str) -> str:
    """The encoder over chunks of frames; each sees its context and reach, as far as there is any (`FrameGrid`).

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
            with_reach = Sub (seen_first, reach)
            near_first = Max (with_reach, zero)
            near_last = Add (seen_last, reach)
            near_mel = Slice (log_mel, near_first, near_last, two)
            {prepare}
            from_plane = Sub (seen_first, near_first)
            to_plane = Sub (seen_last, near_first)
            seen = Slice (planes, from_plane, to_plane, three)
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


def scene_text(model: Embedder, prepare: str, encode: str) -> str:
    """`Embedder.scene`: from "log_mel" to "embeddings" `(clips, D)`."""
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
        return text + _encode_loop(prepare, encode, state, "", pool) + mean_max + "embeddings = Add (mean, peak)"
    text += (
        _MOMENT_WEIGHTS
        + f"""
        some = Constant<value = int64[1] {{{len(timed)}}}> ()
        some_shape = Concat<axis = 0> (clips_1, some)
        moment_start = Expand (nothing, some_shape)
        timed_first = Constant<value = int64[1] {{{timed.start}}}> ()
        timed_last = Constant<value = int64[1] {{{timed.stop}}}> ()
    """
    )
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
    return text + _encode_loop(prepare, encode, state, "", pool) + mean_max + end


def timestamps_text(model: Embedder, prepare: str, encode: str) -> str:
    """`Embedder.timestamps` and `FrameGrid.centres_ms`: "embeddings" and "times_ms"."""
    window, dim = model.grid.window_frames(model.timestamp_window_ms), model.encoder.dim
    pool = """
        missing = Sub (size, own)
        filling = Concat<axis = 0> (zero, zero, zero, zero, missing, zero)
        chunk_result = Pad (frames, filling)
    """
    around = f"kernel_shape = [{window}], pads = [{window // 2}, {window // 2}]"
    return (
        _encode_loop(prepare, encode, {}, f"float[clips, part, {dim}]", pool)
        + f"""
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
    )
