"""The log-mel front end in the words of ONNX, whose own Fourier transforms are slow where they exist."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from selfie_hear.config import FrontEndConfig
from selfie_hear.frontend import LogMel

PIECE = 256  # mel frames that are computed at once


def hear_text(config: FrontEndConfig) -> str:
    """From "audio" to "log_mel" `(clips, F, mels)`, with silence beyond the ends of the clips.

    In float64: in float32 a band of silence beside a loud tone would differ from PyTorch's by twice its rounding.
    """
    return f"""
        piece = Min (mels, most)
        mels_up = Add (mels, piece)
        mels_up_1 = Sub (mels_up, one)
        pieces = Div (mels_up_1, piece)
        covered = Mul (pieces, piece)
        covered_1 = Sub (covered, one)
        last_start = Mul (covered_1, hop)
        needed = Add (last_start, transform)
        known = Add (before, samples_1)
        behind = Sub (needed, known)
        silence = Concat<axis = 0> (zero, before, zero, behind)
        padded = Pad (audio, silence)
        piece_1 = Sub (piece, one)
        piece_start = Mul (piece_1, hop)
        piece_samples = Add (piece_start, transform)
        piece_step = Mul (piece, hop)
        piece_0 = Squeeze (piece)
        piece_frames = Range (from_0, piece_0, by_1)
        frame_starts = Mul (piece_frames, rows_per_hop)
        frame_starts_column = Unsqueeze (frame_starts, one)
        frame_rows = Add (frame_starts_column, row_numbers)
        piece_count = Squeeze (pieces)
        mel_pieces = Loop (piece_count, true) <body = hear (int64 i, bool more)
            => (bool go_on, float[clips, in_piece, {config.n_mels}] mel_piece) {{
            go_on = Identity (more)
            first = Mul (i, piece_step)
            last = Add (first, piece_samples)
            samples = Slice (padded, first, last, one)
            exact = Cast<to = 11> (samples)
            rows = Reshape (exact, to_rows)
            frames_in_rows = Gather<axis = 1> (rows, frame_rows)
            by_channel = Transpose<perm = [0, 3, 1, 2]> (frames_in_rows)
            inner_sums = MatMul (by_channel, inner)
            inner_parts = Reshape (inner_sums, to_parts)
            by_turn = Transpose<perm = [0, 3, 2, 1, 4]> (inner_parts)
            by_turn_flat = Reshape (by_turn, to_turns)
            spectrum = MatMul (by_turn_flat, outer)
            squares = Mul (spectrum, spectrum)
            squares_by_frame = Transpose<perm = [0, 2, 1, 3]> (squares)
            bins = Reshape (squares_by_frame, to_bins)
            mel_energy = MatMul (bins, mel)
            raised = Add (mel_energy, offset)
            logarithm = Log (raised)
            mel_piece = Cast<to = 1> (logarithm)
        }}>
        mel_rows = Transpose<perm = [1, 3, 0, 2]> (mel_pieces)
        mel_shape = Concat<axis = 0> (clips_1, bands, covered)
        mel_longer = Reshape (mel_rows, mel_shape)
        log_mel = Slice (mel_longer, zero, mels, two)
    """


def spectrum_tensors(front_end: LogMel) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What `hear_text` needs outside and inside of its loop: the Fourier transform as two products.

    With N = `n_fft` = P Q, Q = gcd(N, hop), the frame's samples x[Q p + q] and the bins k (Cooley and Tukey 1965),
    X[k] = sum_q exp(-2 pi i q k / N) sum_p x[Q p + q] exp(-2 pi i p k / P). The inner sum depends on k modulo P alone,
    and as x is real, on it up to its sign: it is made for K = P // 2 + 1 turns k1. Of each come the bins with
    k = k1 or -k1 modulo P, R at most. Frames begin a whole number of rows of Q samples apart.

    "inner" is `(Q, P, 2 K)`, with the window; "outer" `(K, 2 Q, 2 R)`, to real and imaginary parts; "mel"
    `(2 K R, n_mels)`, for the squares of these.
    """
    config = front_end.config
    size, channels = config.n_fft, math.gcd(config.n_fft, config.hop_length)
    taps = size // channels
    turns = taps // 2 + 1
    window = torch.zeros(size, dtype=torch.float64)
    window[: config.win_length] = front_end.window.cpu().double()
    angles = 2 * torch.pi * (torch.arange(taps)[:, None] * torch.arange(turns) % taps).double() / taps  # (P, K)
    waves = torch.stack([angles.cos(), -angles.sin()], dim=2).flatten(1)
    inner = window.view(taps, channels).t()[:, :, None] * waves
    groups = [[k for k in range(size // 2 + 1) if k % taps in (k1, -k1 % taps)] for k1 in range(turns)]
    most = max(map(len, groups))
    outer = torch.zeros(turns, channels, 2, most, 2, dtype=torch.float64)
    mel = torch.zeros(turns, most, 2, config.n_mels, dtype=torch.float64)
    for k1, group in enumerate(groups):
        for place, k in enumerate(group):
            angle = 2 * torch.pi * (torch.arange(channels) * k % size).double() / size
            sign = 1.0 if k % taps == k1 else -1.0  # the inner sum for -k1 is the conjugate
            outer[k1, :, 0, place] = torch.stack([angle.cos(), -angle.sin()], dim=1)
            outer[k1, :, 1, place] = sign * torch.stack([angle.sin(), angle.cos()], dim=1)
            mel[k1, place] = front_end.mel[k].cpu()
    outside = {
        "row_numbers": torch.arange(taps),
        "rows_per_hop": torch.tensor([config.hop_length // channels]),
    }
    return outside, {
        "to_rows": torch.tensor([0, -1, channels]),
        "to_parts": torch.tensor([0, channels, -1, turns, 2]),
        "to_turns": torch.tensor([0, turns, -1, 2 * channels]),
        "to_bins": torch.tensor([0, -1, 2 * turns * most]),
        "inner": inner,
        "outer": outer.reshape(turns, 2 * channels, 2 * most),
        "mel": mel.reshape(-1, config.n_mels),
        "offset": torch.tensor([config.log_offset], dtype=torch.float64),
    }
