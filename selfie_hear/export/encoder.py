"""Encoders in the words of ONNX: text of their operations, and their weights with BatchNorm folded in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from selfie_hear.config import ConfigError
from selfie_hear.encoders import AudioNTT, Encoder, ThreePathNTT
from selfie_hear.encoders.input_norm import FixedNorm

Tensors = dict[str, Tensor]

# Of three blocks: zeros complete the last frame of 8 mel frames, and each is given twice.
_COMPLETE = """
    {name}_mels = Shape<start = 3, end = 4> ({name}_normal)
    {name}_eight = Constant<value = int64[1] {{8}}> ()
    {name}_beyond = Neg ({name}_mels)
    {name}_missing = Mod ({name}_beyond, {name}_eight)
    {name}_edges = Concat<axis = 0> (zero, zero, zero, zero, zero, zero, zero, {name}_missing)
    {name}_0 = Pad ({name}_normal, {name}_edges)
"""
_TWICE = """
    {name}_each = Unsqueeze ({frames}, two)
    {name}_times = Concat<axis = 0> (one, one, two, one)
    {name}_pairs = Expand ({name}_each, {name}_times)
    {name}_twice_shape = Constant<value = int64[3] {{0, -1, {dim}}}> ()
    {name}_each_twice = Reshape ({name}_pairs, {name}_twice_shape)
"""


def prepare_text(encoder: Encoder) -> tuple[str, Tensors]:
    """`Encoder.prepare`: from "near_mel" `(clips, F, T)` to "planes" `(clips, C, F, T)`, and the tensors it needs.

    Of the graph around it, it uses "clips_1", "bands" and the numbers "zero" to "three".

    Raises:
        ConfigError: an encoder that has no translation; the message names those that have.
    """
    if isinstance(encoder, ThreePathNTT):
        return _three_planes(encoder)
    if isinstance(encoder, AudioNTT):
        return "planes = Unsqueeze (near_mel, one)", {}
    raise ConfigError(
        f"the encoder {type(encoder).__name__} cannot be exported to ONNX; "
        "those that can are audio_ntt and three_path_ntt"
    )


def encode_text(encoder: Encoder) -> tuple[str, Tensors]:
    """`Encoder.encode`: from "seen" `(clips, C, F, T)` to "heard" `(clips, T // 4, D)`, and the tensors it needs."""
    if isinstance(encoder, AudioNTT):
        lines, parts, tensors = _path("path", encoder, "seen")
        text = lines
    else:
        assert isinstance(encoder, ThreePathNTT)  # see prepare_text
        text, parts, tensors = "plain, relative, smoothed = Split<axis = 1, num_outputs = 3> (seen)", [], {}
        for name in ("plain", "relative", "smoothed"):
            lines, more, theirs = _path(f"{name}_path", getattr(encoder, name), name)
            text, parts, tensors = text + lines, parts + more, tensors | theirs
    tensors = {name: value.float() for name, value in tensors.items()}
    tensors["flat"] = torch.tensor([0, 0, -1])
    return f"{text} heard = Concat<axis = 2> ({', '.join(parts)})", tensors


def _three_planes(encoder: ThreePathNTT) -> tuple[str, Tensors]:
    step, width = encoder.stride, encoder.bands
    half, edge = encoder.reach // step, width // 2
    weights = torch.hann_window(width + 2, periodic=False)[1:-1]
    tensors = {"smoothing": (weights / weights.sum()).reshape(1, 1, width, 1), "block": torch.tensor([step])}
    return (
        f"""
        power = Exp (near_mel)
        blocks = AveragePool<kernel_shape = [{step}], strides = [{step}], ceil_mode = 1> (power)
        around = AveragePool<kernel_shape = [{2 * half + 1}], pads = [{half}, {half}]> (blocks)
        level = Log (around)
        level_column = Unsqueeze (level, three)
        many = Concat<axis = 0> (one, one, one, block)
        level_columns = Expand (level_column, many)
        level_blocks = Shape<start = 2, end = 3> (level)
        level_length = Mul (level_blocks, block)
        level_shape = Concat<axis = 0> (clips_1, bands, level_length)
        level_longer = Reshape (level_columns, level_shape)
        near_mels = Shape<start = 2, end = 3> (near_mel)
        level_each = Slice (level_longer, zero, near_mels, two)
        relative_mel = Sub (near_mel, level_each)
        relative_plane = Unsqueeze (relative_mel, one)
        edges = Constant<value = int64[8] {{0, 0, {edge}, 0, 0, 0, {edge}, 0}}> ()
        relative_wide = Pad<mode = "edge"> (relative_plane, edges)
        smoothed_plane = Conv (relative_wide, smoothing)
        plain_plane = Unsqueeze (near_mel, one)
        planes = Concat<axis = 1> (plain_plane, relative_plane, smoothed_plane)
    """,
        tensors,
    )


def _path(name: str, encoder: AudioNTT, plane: str) -> tuple[str, list[str], Tensors]:
    """Text, the names of its results and the tensors of one AudioNTT."""
    scale, shift = _affine(encoder.norm0)
    tensors = {f"{name}_scale": scale, f"{name}_shift": shift}
    blocks = range(1, encoder.blocks + 1)
    for block in blocks:
        conv, norm = getattr(encoder, f"conv{block}"), getattr(encoder, f"norm{block}")
        scale, shift = _affine(norm)
        weight = conv.weight.transpose(2, 3)  # of (time, frequency): here frequency comes first
        tensors[f"{name}_conv{block}"] = weight * scale[:, None, None, None]
        tensors[f"{name}_bias{block}"] = conv.bias * scale + shift
    text = f"""
        {name}_scaled = Mul ({plane}, {name}_scale)
        {name}_normal = Add ({name}_scaled, {name}_shift)
    """
    text += _COMPLETE.format(name=name) if encoder.blocks == 3 else f"{name}_0 = Identity ({name}_normal)"
    for block in blocks:
        text += f"""
            {name}_maps{block} = Conv<pads = [1, 1, 1, 1]> ({name}_{block - 1}, {name}_conv{block}, {name}_bias{block})
            {name}_active{block} = Relu ({name}_maps{block})
            {name}_{block} = MaxPool<kernel_shape = [2, 2], strides = [2, 2]> ({name}_active{block})
        """
    text += f"""
        {name}_frames = Transpose<perm = [0, 3, 2, 1]> ({name}_{encoder.blocks})
        {name}_local = Reshape ({name}_frames, flat)
    """
    local = before = f"{name}_local"
    layers = (("first", encoder.fc1), ("last", encoder.fc2)) if encoder.hidden else ()
    for layer, linear in layers:
        tensors[f"{name}_{layer}_weight"] = linear.weight.t()
        tensors[f"{name}_{layer}_bias"] = linear.bias
        text += f"""
            {name}_{layer}_product = MatMul ({before}, {name}_{layer}_weight)
            {name}_{layer}_sum = Add ({name}_{layer}_product, {name}_{layer}_bias)
            {name}_{layer} = Relu ({name}_{layer}_sum)
        """
        before = f"{name}_{layer}"
    if encoder.blocks == 3:
        return text + _TWICE.format(name=name, frames=before, dim=encoder.dim), [f"{name}_each_twice"], tensors
    return text, [local, before] if encoder.hidden else [local], tensors


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Scale and shift `(C,)` that a normalisation comes to when its statistics are fixed."""
    if isinstance(norm, FixedNorm):
        return (1 / norm.std).reshape(1), (-norm.mean / norm.std).reshape(1)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None  # for the type checker; both are there
    assert norm.running_mean is not None
    scale = norm.weight.double() * torch.rsqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale
