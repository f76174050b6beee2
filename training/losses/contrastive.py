"""Contrastive losses: the positive told from other candidates (InfoNCE), and data told from noise (NCE)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NOBODY = -1  # the clip of an empty place in a memory


class Candidates(NamedTuple):
    """What each of n rows is compared with, one of which is its positive.

    Further crops of a row's own clip are no candidates; where all clips differ, the formulae are those of the papers.
    """

    scores: Tensor  # (n, m); -inf where a column is no candidate of the row
    positives: Tensor  # (n,): the column of the positive


def widened(rows: Tensor) -> Tensor:
    """Rows in float32 at least."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32))


def unit(rows: Tensor) -> Tensor:
    """Rows of unit length, in float32 at least; a zero row stays zero."""
    return F.normalize(widened(rows), dim=1)


def bilinear(anchors: Tensor, others: Tensor, weight: Tensor, clips: Tensor) -> Candidates:
    """COLA: s_ij = z_i^T W z'_j of every anchor with every other view (Emami, Tran, Koishida, Eq. 2-3).

    Args:
        anchors, others: `(n, d)`, row i of both from the same clip.
        weight: W, `(d, d)`.
        clips: `(n,)`, number of the clip of each row.
    """
    positives = torch.arange(len(clips), device=clips.device)
    return _among(anchors @ weight @ others.T, positives, clips, clips)


def across_views(first: Tensor, second: Tensor, clips: Tensor, temperature: float) -> Candidates:
    """SimCLR: cosine / temperature of each of the 2n views with all the others; NT-Xent is their `info_nce`.

    Args:
        first, second: `(n, d)`, rows of unit length, row i of both from the same clip.
        clips: `(n,)`, number of the clip of each row.
    """
    rows, everyone = torch.cat([first, second]), clips.repeat(2)
    positives = torch.arange(len(rows), device=clips.device).roll(len(first))
    return _among(rows @ rows.T / temperature, positives, everyone, everyone)


def against_memory(
    rows: Tensor, own: Tensor, memory: Tensor, clips: Tensor, owners: Tensor, temperature: float
) -> Candidates:
    """MoCo, NPID: cosine / temperature of each row with a vector of its own, in column 0, and with those of a memory.

    Args:
        rows, own: `(n, d)`, rows of unit length; no gradient goes into `own`.
        memory: `(m, d)`, rows of unit length; no gradient goes into it.
        clips: `(n,)`, number of the clip of each row.
        owners: `(m,)`, that of each vector in memory, or `NOBODY`.
    """
    scores = torch.cat([(rows * own.detach()).sum(1, keepdim=True), rows @ memory.detach().T], dim=1)
    return _among(scores / temperature, torch.zeros_like(clips), clips, F.pad(owners, (1, 0), value=NOBODY))


def _among(scores: Tensor, positives: Tensor, clips: Tensor, owners: Tensor) -> Candidates:
    hidden = (owners == NOBODY) | (owners == clips[:, None])
    hidden.scatter_(1, positives[:, None], False)
    return Candidates(scores.masked_fill(hidden, -math.inf), positives)


def info_nce(candidates: Candidates) -> Tensor:
    """Mean over rows of -log softmax(scores) at the positive (Lin, section 1.2; the survey, Eq. 4).

    A row without any candidate but its positive gives 0.
    """
    return F.cross_entropy(*candidates)


def nce(candidates: Candidates, log_normaliser: Tensor, clips: int) -> Tensor:
    """NPID: -log h(positive) - sum over the noise of log(1 - h), mean over rows (Lin, section 1.2).

    h = P / (P + m / N) where P = exp(score) / Z: the posterior of being data rather than one of m noise samples, which
    are uniform over the N clips. m log(1 - h) in the mean over noise is the sum over m samples.

    Args:
        candidates: the positive in column 0, then m noise samples.
        log_normaliser: scalar, log Z.
        clips: N.
    """
    positive, noise = candidates.scores[:, 0], candidates.scores[:, 1:]
    even = log_normaliser + math.log(noise.shape[1] / clips)  # the score at which h is one half
    return -(F.logsigmoid(positive - even) + F.logsigmoid(even - noise).sum(1)).mean()


def estimated_log_normaliser(rows: Tensor, noise: Tensor, clips: int, temperature: float) -> Tensor:
    """log Z, where Z = sum over all clips of exp(cosine / temperature), from uniform samples of them; no gradient.

    Args:
        rows: `(n, d)`, rows of unit length; Z is the mean over them.
        noise: `(m, d)`, samples of the vectors of all clips.
        clips: number of all clips.
    """
    scores = rows.detach() @ noise.detach().T / temperature
    return scores.logsumexp((0, 1)) + math.log(clips / scores.numel())


def accuracy(candidates: Candidates) -> Tensor:
    """Share of rows whose positive scores higher than all else; a tie is a miss, so collapsed networks get 0."""
    scores, places = candidates.scores.detach(), candidates.positives[:, None]
    best = scores.scatter(1, places, -math.inf).amax(1, keepdim=True)
    return (scores.gather(1, places) > best).to(scores.dtype).mean()
