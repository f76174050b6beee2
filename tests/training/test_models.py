"""HEAR modules: ours and foreign ones, what is wrong with them, and what their embeddings depend on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import selfie_hear
from selfie_hear.pretrained import BRANCHES, DEFAULT, ReleaseError, bundled_folder
from tests.training.tasks import SIMPLE, make_module
from training.evaluate.models import HearModel, ModelSpec, find_models, parse_module
from training.evaluate.tasks import TaskError

CLIPS = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 1000)).astype(np.float32)


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that can be imported, and one in a package; of another name in each test, as imports last."""
    name = f"foreign_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    make_module(tmp_path, name)
    make_module(tmp_path, f"{name}_package/part/module")
    for package in (f"{name}_package", f"{name}_package/part"):
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / f"{name}_package" / "helper.py").write_text("VALUE = 1\n")
    return name


def test_models_that_are_known_by_name(tmp_path: Path) -> None:
    assert [(s.name, s.module, s.path, dict(s.options)) for s in find_models("log-mel")] == [
        ("log-mel", "training.evaluate.baselines.log_mel", "", {})
    ]
    assert [s.module for s in find_models("untrained")] == ["training.evaluate.baselines.untrained"]
    folder = bundled_folder() / DEFAULT
    for source in (DEFAULT, str(folder)):
        assert [(s.name, s.module, s.path, dict(s.options)) for s in find_models(source)] == [
            (f"{DEFAULT} {branch}", "selfie_hear", str(folder), {"branch": branch}) for branch in ("online", "target")
        ]
    with pytest.raises(ReleaseError, match="log_mel: no such folder; accepted are a release folder, a bundled name"):
        find_models("log_mel")


def test_the_branches_of_a_release_are_two_models() -> None:
    clip = torch.from_numpy(CLIPS[:1])
    models = [HearModel(spec) for spec in find_models(DEFAULT)]
    assert len({model.digest for model in models}) == 2
    for model, branch in zip(models, BRANCHES, strict=True):
        expected = selfie_hear.get_scene_embeddings(clip, selfie_hear.load_model(branch=branch))
        np.testing.assert_array_equal(model.embed(CLIPS[:1]), expected.numpy())
        assert (model.sample_rate, model.size, model.name) == (16000, 3584, f"{DEFAULT} {branch}")


def test_modules_as_the_command_line_names_them(name: str) -> None:
    assert parse_module(name) == ModelSpec(name, name)
    text = f'{name}:{{"scale": 2.5, "model_file_path": "/some/where: else.pt"}}'
    assert parse_module(text) == ModelSpec(text, name, "/some/where: else.pt", {"scale": 2.5})
    assert parse_module(f"{name}:{{}}") == ModelSpec(f"{name}:{{}}", name)
    assert parse_module(f'{name}:{{"model_file_path": null}}').path == ""
    model = HearModel(parse_module(text))
    np.testing.assert_allclose(model.embed(CLIPS), HearModel(ModelSpec("x", name)).embed(CLIPS) * 2.5, rtol=1e-6)


@pytest.mark.parametrize("text", ["", ":{}", "json:", "json:[1]", "json:1", 'json:"a"', "json:{scale: 2}", "json:null"])
def test_what_is_no_name_and_options(text: str) -> None:
    with pytest.raises(TaskError, match=r"^--module .*: expected NAME or NAME:\{JSON object\}"):
        parse_module(text)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        (None, r"cannot be imported \(No module named '.*'\); install it here"),
        ("import nowhere_at_all", r"cannot be imported \(No module named 'nowhere_at_all'\)"),
        ("raise RuntimeError('no GPU')", r"cannot be imported \(no GPU\)"),
        ("assert False", r"cannot be imported \(AssertionError\(\)\)"),
        ("def load_model(:", r"cannot be imported \(.*line 1\)"),
        ("def load_model(): ...", "does not speak the HEAR API, it has no get_scene_.*, get_timestamp_embeddings$"),
        ("load_model = get_scene_embeddings = get_timestamp_embeddings = 1", "has no load_model, get_scene"),
    ],
)
def test_modules_that_cannot_be_used_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, complaint: str
) -> None:
    name = f"useless_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        make_module(tmp_path, name, source)
    with pytest.raises(TaskError, match=f"^module '{name}': .*{complaint}"):
        HearModel(parse_module(name))


@pytest.mark.parametrize("path", ["./module.py", "/tmp/module.py", "..", "a b", "json.decoder.nothing"])
def test_a_path_is_no_module(path: str) -> None:
    with pytest.raises(TaskError, match=r"^module '.*': cannot be imported"):
        HearModel(parse_module(path))


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("return torch.stack", "return torch.stack([audio.mean(1)]) #", r"shape \(1, 3\), expected \(3, 3\)"),
        ("return torch.stack", "return [audio] #", r"shape list, expected \(3, 3\)"),
        ("return torch.stack", "return audio.mean(1) #", r"shape \(3,\), expected \(3, 3\)"),
        ("return torch.stack", "return audio[:, :3].numpy() #", r"shape ndarray, expected \(3, 3\)"),
        ("return torch.stack", "#", r"shape NoneType, expected \(3, 3\)"),
        (
            "return Model",
            "return torch.nn.Identity() #",
            "API, its model has no sample_rate, scene_embedding_size",
        ),
        ("return Model", "return None #", "HEAR API, its model has no to, eval, state_dict, sample_rate"),
        ("(model_file_path=", "(model_file=", None),
        ("(model_file_path=", "(*, model_file_path=", "too many positional arguments"),
        ("scale=1.0", "size=1.0", "unexpected keyword argument 'scale'"),
    ],
)
def test_models_that_do_not_speak_the_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, complaint: str | None
) -> None:
    name = f"odd_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    source = SIMPLE.replace(before, after)
    assert source != SIMPLE
    make_module(tmp_path, name, source.replace("Model(model_file_path", "Model(locals()"))
    spec = ModelSpec("odd", name, "/weights", {"scale": 1.0})
    if complaint is None:  # it is given by place, as hear-eval-kit does, and may have any name
        assert HearModel(spec).embed(CLIPS).shape == (3, 3)
        return
    with pytest.raises(TaskError, match=rf"odd.*{complaint}"):
        HearModel(spec).embed(CLIPS)


def test_a_model_is_run_without_gradients_in_eval_mode_and_gives_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"modes_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    source = SIMPLE.split("def get_scene_embeddings")[0] + (
        "def get_scene_embeddings(audio, model):\n"
        "    grad = (audio.sum() * model.scale).requires_grad\n"
        "    return torch.tensor([[model.training, grad, 0.1]]).half()\n"
        "def get_timestamp_embeddings(audio, model): ...\n"
    )
    make_module(tmp_path, name, source)
    found = HearModel(ModelSpec("modes", name)).embed(CLIPS[:1])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0, 0, 0.1]], np.float16).astype(np.float32))


def write(path: str, text: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)

    return change


@pytest.mark.parametrize(
    ("change", "alters"),
    [
        (write("NAME.py", SIMPLE + "#"), {"module"}),
        (write("NAME_package/part/module.py", SIMPLE + "#"), {"package"}),
        (write("NAME_package/helper.py", "VALUE = 2\n"), {"package"}),
        (write("NAME_package/part/deeper/new.py", ""), {"package"}),
        (lambda folder: (folder / "NAME_package/helper.py").rename(folder / "NAME_package/other.py"), {"package"}),
        (write("weights/model.bin", "other"), {"folder"}),
        (write("weights/more/model.bin", "another"), {"folder"}),
        (lambda folder: (folder / "weights/model.bin").rename(folder / "weights/model.pt"), {"folder"}),
        (write("weights.pt", "other"), {"file"}),
        (write("weights/.hidden", "a file of the system"), set()),
        (write("other.py", "beside"), set()),
        (write("NAME_package/part/__pycache__/module.pyc", "compiled"), set()),
        (write("NAME_package/notes.txt", "of no effect"), set()),
        (write("weights.pt", "weights"), set()),
    ],
)
def test_the_digest_is_of_sources_and_weights(
    tmp_path: Path, name: str, change: Callable[[Path], object], alters: set[str]
) -> None:
    write("weights/model.bin", "weights")(tmp_path)
    write("weights.pt", "weights")(tmp_path)
    specs = {
        "module": ModelSpec("m", name),
        "package": ModelSpec("p", f"{name}_package.part.module"),
        "folder": ModelSpec("d", name, str(tmp_path / "weights")),
        "file": ModelSpec("f", name, str(tmp_path / "weights.pt")),
    }
    before = {kind: HearModel(spec).digest for kind, spec in specs.items()}
    assert len(set(before.values())) == 4
    place = tmp_path / "place"
    place.mkdir()
    for path in sorted(tmp_path.iterdir()):  # by way of a folder where the names are known
        if path != place:
            path.rename(place / path.name.replace(name, "NAME"))
    change(place)
    for path in sorted(place.iterdir()):
        path.rename(tmp_path / path.name.replace("NAME", name))
    after = {kind: HearModel(spec).digest for kind, spec in specs.items()}
    altered = {kind for kind in specs if after[kind] != before[kind]}
    assert altered == (alters | {"folder", "file"} if "module" in alters else alters)


def test_the_digest_is_of_the_options_too_and_of_nothing_else(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def digest(**changes: object) -> str:
        return HearModel(ModelSpec(**{"name": "a", "module": name, **changes})).digest  # type: ignore[arg-type]

    plain = digest()
    others = [
        digest(options={"scale": 2.0}),
        digest(options={"scale": 1.0}),
        digest(module=f"{name}_package.part.module"),
    ]
    assert len({plain, *others}) == 4
    both = {"scale": 2.0, "model_file_path": ""}
    assert digest(options=both) == digest(options=dict(reversed(both.items()))) not in others
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    assert digest() == digest(name="b") == digest(options={}) == plain
    (tmp_path / "a.pt").write_text("weights")
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-copy" / "deep")
    moved = tmp_path.parent / f"{tmp_path.name}-copy" / "deep" / "a.pt"
    assert digest(path="a.pt") == digest(path=str(tmp_path / "a.pt")) == digest(path=str(moved)) != plain
    text = f'{name}:{{"model_file_path": {json.dumps(str(moved))}}}'
    assert HearModel(parse_module(text)).digest == digest(path="a.pt")
    moved.write_text("weights, trained for longer")
    assert HearModel(parse_module(text)).digest != digest(path="a.pt")


def test_the_digest_is_of_weights_from_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"own_weights_{tmp_path.name}".replace("-", "_")
    monkeypatch.syspath_prepend(tmp_path)
    scale = "float(__import__('pathlib').Path(__file__).with_name('scale.txt').read_text())"
    make_module(tmp_path, name, SIMPLE.replace("return Model(model_file_path, scale)", f"return Model('', {scale})"))
    digests = []
    for text in ("1.5", "1.50", "2.5"):
        (tmp_path / "scale.txt").write_text(text)
        digests.append(HearModel(ModelSpec("own", name)).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_baseline_depends_on_the_front_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    before = [HearModel(find_models(name)[0]).digest for name in ("log-mel", "untrained")]
    copy = tmp_path / "selfie_hear"
    shutil.copytree(root / "selfie_hear", copy)
    monkeypatch.setattr(selfie_hear, "__path__", [str(copy)])
    assert [HearModel(find_models(name)[0]).digest for name in ("log-mel", "untrained")] == before
    (copy / "frontend.py").write_text((copy / "frontend.py").read_text() + "#")
    for name, digest in zip(("log-mel", "untrained"), before, strict=True):
        assert HearModel(find_models(name)[0]).digest != digest
