"""The HEAR API on the shipped weights: its rules, its determinism, its errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from selfie_hear import Embedder, InputError, get_scene_embeddings, get_timestamp_embeddings, load_model
from selfie_hear.api import _passes
from selfie_hear.config import ConfigError
from tests.conftest import TINY, noise, tiny_embedder

CLIPS = [noise(n, seed) for seed, n in enumerate((1, 300, 9000, 16000, 15999, 16000, 170_000))]


@pytest.fixture(params=TINY, ids=lambda model: model.encoder.name)
def tiny(request: pytest.FixtureRequest) -> Embedder:
    """Of each kind of encoder."""
    return tiny_embedder(request.param)


def test_attributes_of_hear(model: Embedder) -> None:
    assert isinstance(model, torch.nn.Module)
    assert model.sample_rate == 16000
    sizes = model.scene_embedding_size, model.timestamp_embedding_size
    assert sizes == (3584, 3072)
    assert all(type(size) is int for size in sizes)


def test_the_scene_pooling_of_the_paper_is_the_first_part_of_the_default() -> None:
    plain = load_model(scene_pooling="mean_max")
    assert plain.scene_embedding_size == 3072
    audio = noise(24000)[None]
    assert torch.equal(get_scene_embeddings(audio, plain), get_scene_embeddings(audio, load_model())[:, :3072])
    with pytest.raises(ConfigError, match="scene_pooling: 'median' is unknown"):
        load_model(scene_pooling="median")


def test_shapes_types_and_times(model: Embedder) -> None:
    audio = torch.stack([noise(24000, seed) for seed in range(3)])
    scenes = get_scene_embeddings(audio, model)
    embeddings, times = get_timestamp_embeddings(audio, model)
    assert scenes.shape == (3, 3584)
    assert embeddings.shape == (3, times.shape[1], 3072)
    assert scenes.dtype == embeddings.dtype == torch.float32
    assert times.shape[0] == 3
    assert torch.allclose(times.diff(dim=1), torch.tensor(40.0))
    assert times[0, 0] <= 40.0
    assert 1450.0 <= times[0, -1] <= 1500.0


def test_a_clip_is_embedded_alike_in_any_company(model: Embedder) -> None:
    alone = [get_scene_embeddings(clip[None], model)[0] for clip in CLIPS]
    together = get_scene_embeddings(CLIPS, model)
    backwards = get_scene_embeddings(CLIPS[::-1], model).flip(0)
    batch = get_scene_embeddings(torch.stack([CLIPS[3], CLIPS[5]]), model)
    for index, embedding in enumerate(alone):
        assert torch.isfinite(embedding).all()
        assert torch.equal(together[index], embedding)
        assert torch.equal(backwards[index], embedding)
    assert torch.equal(batch, together[[3, 5]])


def test_timestamps_are_alike_in_any_company(model: Embedder) -> None:
    ragged, ragged_times = get_timestamp_embeddings(CLIPS, model)
    assert isinstance(ragged, list)
    for clip, embeddings, times in zip(CLIPS, ragged, ragged_times, strict=True):
        alone, alone_times = get_timestamp_embeddings(clip[None], model)
        assert torch.equal(alone[0], embeddings)
        assert torch.equal(alone_times[0], times)
    batch, _ = get_timestamp_embeddings(torch.stack([CLIPS[3], CLIPS[5]]), model)
    assert torch.equal(batch[1], ragged[5])


def test_batches_of_an_accelerator() -> None:
    """On an accelerator clips of one length share a pass; the rows of all passes are all clips, once each."""
    clips = [torch.zeros(n) for n in [5, 7, 5, *[9] * 70, 7]]
    passes = list(_passes(clips, torch.device("cuda")))
    assert [len(rows) for rows in passes] == [2, 2, 32, 32, 6]
    assert passes[:2] == [[0, 2], [1, 73]]
    assert sorted(row for rows in passes for row in rows) == list(range(74))


def test_a_model_in_another_type_is_refused() -> None:
    with pytest.raises(InputError, match=r"not all float32; call model\.float\(\)"):
        get_scene_embeddings(torch.zeros(1, 9), load_model().half())


def test_a_shared_pass_rounds_differently_at_most(model: Embedder) -> None:
    audio = torch.stack([noise(16000, seed) for seed in range(4)])
    with torch.no_grad():
        together = model(audio)
    assert torch.allclose(together, get_scene_embeddings(audio, model), atol=1e-5, rtol=0)


def test_a_window_over_the_whole_clip_is_the_scene() -> None:
    clip = noise(12000)[None]
    wide = load_model(timestamp_window_ms=10_000.0)
    embeddings, _ = get_timestamp_embeddings(clip, wide)
    scene = get_scene_embeddings(clip, load_model(scene_pooling="mean_max"))
    assert torch.allclose(embeddings[0], scene.expand_as(embeddings[0]), atol=1e-5)


def test_the_mode_of_the_caller_does_not_show_and_is_kept(tiny: Embedder) -> None:
    audio = noise(8000)[None]
    expected = get_scene_embeddings(audio, tiny)
    statistics = {name: value.clone() for name, value in tiny.encoder.named_buffers()}
    tiny.train()
    tiny.front_end.eval()
    assert torch.equal(get_scene_embeddings(audio, tiny), expected)
    assert all(torch.equal(value, statistics[name]) for name, value in tiny.encoder.named_buffers())
    assert tiny.training
    assert tiny.encoder.training
    assert not tiny.front_end.training


def test_autocast_around_the_call_does_not_show(tiny: Embedder) -> None:
    audio = noise(8000)[None]
    expected = get_scene_embeddings(audio, tiny)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(get_scene_embeddings(audio, tiny), expected)


@pytest.mark.parametrize("setting", ["tf32", "bf16", "ieee"])
def test_reduced_precision_around_the_call_does_not_show(model: Embedder, setting: str) -> None:
    audio = noise(8000)[None]
    expected = get_scene_embeddings(audio, model)
    place = torch.backends.mkldnn.matmul
    before = place.fp32_precision
    try:
        place.fp32_precision = setting
        assert torch.equal(get_scene_embeddings(audio, model), expected)
        assert place.fp32_precision == setting
    finally:
        place.fp32_precision = before


def test_the_default_type_of_a_program_does_not_show(model: Embedder) -> None:
    audio = noise(8000)[None]
    expected = get_scene_embeddings(audio, model)
    torch.set_default_dtype(torch.float64)
    try:
        embeddings = get_scene_embeddings(audio, load_model())
        frames, times = get_timestamp_embeddings(audio, model)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(embeddings, expected)
    assert embeddings.dtype == frames.dtype == times.dtype == torch.float32


def test_strided_audio(model: Embedder) -> None:
    audio = torch.stack([noise(9000, 0), noise(9000, 1)], dim=1).requires_grad_()
    assert torch.equal(get_scene_embeddings(audio.T, model), get_scene_embeddings(audio.T.contiguous(), model))


def test_probes_can_train_on_embeddings(tiny: Embedder) -> None:
    embeddings = get_scene_embeddings(torch.stack([noise(8000, 0), noise(8000, 1)]), tiny)
    probe = torch.nn.Linear(tiny.scene_embedding_size, 2)
    torch.nn.functional.cross_entropy(probe(embeddings), torch.tensor([0, 1])).backward()
    assert probe.weight.grad is not None
    assert float(probe.weight.grad.abs().sum()) > 0
    assert all(p.grad is None for p in tiny.parameters())


def test_silence_and_other_float_types(model: Embedder) -> None:
    assert torch.isfinite(get_scene_embeddings(torch.zeros(1, 16000), model)).all()
    clip = noise(4000)
    assert torch.equal(get_scene_embeddings([clip.double()], model), get_scene_embeddings([clip], model))


def test_long_audio_is_worked_through_in_chunks(tiny: Embedder) -> None:
    """Two minutes as one clip equal the same samples seen as 20-second blocks: nothing is cut, nothing drifts."""
    clip = noise(120 * 16000)
    embeddings, times = get_timestamp_embeddings(clip[None], tiny)
    assert times.shape[1] == embeddings.shape[1] == 3000
    assert float(times[0, -1]) == 15.0 + 40.0 * 2999
    with torch.no_grad():
        blocks = torch.cat(list(tiny.timestamps(clip[None].split(320_000, 1))), dim=1)
    assert torch.equal(blocks, embeddings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.zeros(16000), r"shape \(16000,\).*audio\[None\]"),
        (lambda: torch.zeros(1, 1, 160), r"shape \(1, 1, 160\)"),
        (lambda: torch.zeros(0, 16000), "there are no clips"),
        (list, "there are no clips"),
        (lambda: torch.zeros(2, 0), "clip 0 has zero samples"),
        (lambda: [torch.zeros(5), torch.zeros(0)], "clip 1 has zero samples"),
        (lambda: [torch.zeros(5), torch.zeros(1, 5)], r"clip 1 has shape \(1, 5\)"),
        (lambda: torch.tensor([[0.0, 0.1], [0.0, float("nan")]]), "clip 1 holds NaN or infinite"),
        (lambda: torch.tensor([[0.0, -float("inf")]]), "clip 0 holds NaN or infinite"),
        (lambda: torch.zeros(1, 9, dtype=torch.int16), r"int16.*audio\.float\(\) / 32768"),
        (lambda: torch.zeros(1, 9, dtype=torch.uint8), r"uint8.*\(audio\.float\(\) - 128\) / 128"),
        (lambda: torch.zeros(1, 9, dtype=torch.int64), "int64.*accepted is"),
        (lambda: torch.zeros(1, 9).to_sparse(), "layout"),
        (lambda: torch.full((1, 9), -20000.0), "peak of 20000.*divide 16-bit values by 32768"),
        (lambda: np.zeros((1, 9), np.float32), "ndarray.*torch.from_numpy"),
        (lambda: [np.zeros(9, np.float32)], "clip 0 is a ndarray"),
        (lambda: torch.zeros(1, 9, dtype=torch.complex64), "complex64"),
        (lambda: "sound.wav", "is a str"),
    ],
)
def test_bad_input_says_what_is_wrong(tiny: Embedder, make: Callable[[], torch.Tensor], message: str) -> None:
    for function in (get_scene_embeddings, get_timestamp_embeddings):
        with pytest.raises(InputError, match=message) as caught:
            function(make(), tiny)
        assert "zero samples" in str(caught.value) or "accepted is" in str(caught.value)
