"""The phase vocoder: sound played faster or slower at the same pitch, each row of a batch at its own speed."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def vocoder_window(sample_rate: int) -> int:
    """Samples of the vocoder's window: the power of two nearest to 64 ms."""
    return int(2 ** round(math.log2(0.064 * sample_rate)))


def phase_vocoder(
    audio: Tensor, rate: Tensor, samples: int, window: int, finer: int = 1, highest: Tensor | None = None
) -> Tensor:
    """Play each row at its rate, so that the middle of the output is the middle of the input.

    Phases are locked to those of spectral peaks (Laroche and Dolson 1999, "identity phase locking"), or the bins of
    one partial would drift apart and it would lose level; magnitudes are interpolated between frames. Frames outside
    the input are its outermost ones. At the rate 1 an output of its length is the input.

    Args:
        audio: `(B, N)`.
        rate: `(B,)`, input samples per output sample: 2 is twice as fast.
        samples: M, the length of the output before `finer`.
        window: samples of the Hann window; its hop is a quarter.
        finer: output samples in the time of one sample.
        highest: `(B,)`, share of the bins below Nyquist that is kept, from the lowest on; all where not given.

    Returns:
        `(B, M * finer)`.
    """
    hop = window // 4
    hann = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    padded = F.pad(audio, (0, hop))  # so that a frame is centred on the end or after it
    spectrum = torch.stft(padded, window, hop, window=hann, pad_mode="constant", return_complex=True).transpose(1, 2)
    if highest is not None:
        share = torch.linspace(0.0, 1.0, spectrum.shape[2], device=audio.device)
        spectrum = spectrum * (share <= highest[:, None])[:, None]
    magnitude, phase = spectrum.abs(), spectrum.angle()  # (B, L, K)

    # In frames, for each row and output frame.
    last = spectrum.shape[1] - 1
    played = torch.arange(1 + math.ceil(samples / hop), device=audio.device) * hop - samples / 2
    place = ((audio.shape[1] / 2 + played * rate[:, None]) / hop).clamp(0, last)
    left, near = place.floor(), place.round()  # phases are of the nearest frame: of the left one all would come late
    part = (place - left)[..., None].to(audio.dtype)

    def frames(values: Tensor, index: Tensor) -> Tensor:
        return values.gather(1, index.clamp(max=last).long()[..., None].expand(-1, -1, values.shape[2]))

    stretched = torch.polar(
        frames(magnitude, left) * (1 - part) + frames(magnitude, left + 1) * part,
        _locked(frames(phase, near), frames(phase, near + 1), frames(_peaks(magnitude), near)),
    ).transpose(1, 2)

    if finer > 1:
        stretched = F.pad(stretched, (0, 0, 0, (finer - 1) * window // 2)) * finer
        hann = torch.hann_window(window * finer, dtype=audio.dtype, device=audio.device)
    return torch.istft(stretched, window * finer, hop * finer, window=hann, length=samples * finer)


def _locked(phase: Tensor, following: Tensor, peaks: Tensor) -> Tensor:
    """The phases of the output, `(B, n, K)`: those of the input, each peak and the bins around it turned together.

    A peak goes on at the phase that the input reaches one hop after the frame that was played last.

    Args:
        phase: of the frames nearest to what is played, `(B, n, K)`.
        following: of the frame after each of them in the input.
        peaks: the bin of the peak that each bin belongs to.
    """
    jumps = following[:, :-1] - phase[:, 1:]
    turn = torch.zeros_like(phase[:, 0])
    turns = [turn]
    for frame in range(jumps.shape[1]):  # each turn takes the one before
        turn = (turn + jumps[:, frame]).gather(1, peaks[:, frame + 1])
        turns.append(turn)
    return phase + torch.stack(turns, dim=1)


def _peaks(magnitude: Tensor) -> Tensor:
    """Of each bin the peak that leads up from it, `(B, L, K)`: no neighbour of two bins' distance is higher."""
    _, up = F.max_pool1d(magnitude, kernel_size=5, stride=1, padding=2, return_indices=True)
    for _ in range(4):  # 1 step of two bins at most, then 2, 4, 8, 16: as far as a peak reaches
        up = up.gather(2, up)
    return up
