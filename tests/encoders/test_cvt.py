"""CvT: the paper's size, its attention against a slow one, how far it looks."""

from __future__ import annotations

import math

import pytest
import torch

from selfie_hear.config import ConfigError
from selfie_hear.encoders import CvT
from selfie_hear.encoders.cvt import HEAD, Attention


def test_the_papers_size() -> None:
    encoder = CvT()
    count = sum(p.numel() for p in encoder.parameters())
    assert encoder.dim == 2048  # 4 frequencies by 512
    assert count == 5_012_994
    assert abs(count - 5.0e6) < 0.05e6  # BYOL-S, table 1


def test_attention_is_the_slow_one() -> None:
    torch.manual_seed(0)
    attention = Attention(6, 2).eval()
    x = torch.randn(1, 6, 4, 6)
    with torch.no_grad():
        query, key_value = attention.query(x)[0], attention.key_value(x)[0]
        assert query.shape == (2 * HEAD, 4, 6)
        assert key_value.shape == (4 * HEAD, 2, 3)
        heads = []
        for head in range(2):
            part = slice(head * HEAD, (head + 1) * HEAD)
            q, k, v = query[part], key_value[: 2 * HEAD][part], key_value[2 * HEAD :][part]
            found = torch.zeros(HEAD, 4, 6)
            for row in range(4):
                for column in range(6):
                    scores = [
                        float(q[:, row, column] @ k[:, i, j]) / math.sqrt(HEAD) for i in range(2) for j in range(3)
                    ]
                    weights = [math.exp(score) for score in scores]
                    values = [v[:, i, j] for i in range(2) for j in range(3)]
                    found[:, row, column] = sum(w * value for w, value in zip(weights, values, strict=True)) / sum(
                        weights
                    )
            heads.append(found)
        assert torch.allclose(attention(x), attention.out(torch.cat(heads)[None]), atol=1e-6)


def test_its_attention_looks_over_a_segment_and_no_further() -> None:
    torch.manual_seed(0)
    encoder = CvT(16, (8, 16, 24), (1, 1, 1), segment=128).eval()
    mel = torch.randn(1, 1, 16, 256)
    with torch.no_grad():
        before = encoder(mel)
        mel[..., 60:64] += 3.0
        changed = (encoder(mel) != before).any(2)[0].tolist()
    assert changed == [True] * 32 + [False] * 32


def test_dropout_is_drawn_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = CvT(16, (8, 16, 24), (1, 1, 1), dropout=0.5)
    mel = torch.randn(2, 1, 16, 64)
    with torch.no_grad():
        assert not torch.equal(encoder(mel), encoder(mel))
        encoder.eval()
        assert torch.equal(encoder(mel), encoder(mel))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_mels": 40}, "cvt: n_mels must be a multiple of 16, got 40"),
        ({"channels": (8, 16)}, r"cvt: channels and heads are of three stages, got \(8, 16\) and"),
        ({"heads": (1, 1, 1, 1)}, r"cvt: channels and heads are of three stages, got .* and \(1, 1, 1, 1\)"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CvT(**options)
