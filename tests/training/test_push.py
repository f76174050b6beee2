"""Releases to the Hub: `push` with its real client against a local server, and what must not be lost when it fails."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard

from selfie_hear import load_model
from selfie_hear.pretrained import file_digest
from tests.hub_server import FIRST, HubServer, Repository, hub_server
from tests.hub_visitor import Visitor, embedding, load
from tests.training.pushes import push, push_with
from tests.training.runs import ignore, tiny
from training.evaluate.models import find_models
from training.export import export
from training.hub_card import hub_card
from training.loop import Trainer


@pytest.fixture(scope="module")
def served() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def visit(served: HubServer, home: Path) -> Iterator[Visitor]:
    visitor = Visitor(served, home)
    yield visitor
    visitor.close()


@pytest.fixture
def server(served: HubServer) -> Iterator[HubServer]:
    """The server, without a fault or a memory."""
    served.log.clear()
    served.stored.clear()
    yield served
    served.drop, served.fail = 0, {}
    served.after = lambda _: None


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository that no other test has."""
    return f"org/{hashlib.sha1(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, packed: Path) -> tuple[Path, Path]:
    """Two of one run, named mine, with a result."""
    folder = tmp_path_factory.mktemp("releases")
    rows = [{"model": "mine online", "task": "esc10", "accuracy": 51.26, "k": [1]}]
    (folder / "knn.json").write_text(json.dumps({"kind": "knn", "rows": rows}))
    found = []
    for steps in (1, 2):
        Trainer(tiny(), packed, folder / "run", torch.device("cpu")).fit(steps, ignore)
        found.append(folder / str(steps) / "mine")
        export(folder / "run", found[-1], "CC0-1.0", [folder / "knn.json"])
    return found[0], found[1]


def head(repository: Repository, branch: str = "main") -> dict[str, bytes]:
    return repository.commits[repository.branches[branch]].files


def test_push_and_pull(server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]) -> None:
    done = visit(push, releases[0], "--repo", name)
    assert done.code == 0, done.notes
    repository = server.repositories[name]
    assert done.out == f"hf-hub:{name}@{repository.branches['main']}\n"
    assert done.notes.endswith(f"{name}: pushed\n")
    assert [commit.message for commit in repository.commits.values()] == ["initial commit", "Release mine"]
    assert not repository.private
    files = head(repository)
    local = {path.name: path.read_bytes() for path in releases[0].iterdir()}
    card = files.pop("README.md").decode()
    assert files == {**FIRST, **{file: content for file, content in local.items() if file != "README.md"}}
    assert server.asked("validate-yaml") and f'model = load_model("hf-hub:{name}")' in card
    data = ModelCard(card).data
    assert (data["license"], data["library_name"], data["metrics"]) == ("cc0-1.0", "selfie_hear", ["accuracy"])
    assert [(row.dataset_type, row.metric_value) for row in data["eval_results"]] == [("esc10", 51.3)]
    found = visit(load, done.out.strip(), "target")
    np.testing.assert_array_equal(found.embedding, embedding(load_model(releases[0], branch="target")))
    pin = done.out.strip()
    assert visit(models_of, pin) == [f"{pin} online", f"{pin} target"]


def models_of(source: str) -> list[str]:
    """A job: how evaluations name what they find there."""
    return [spec.name for spec in find_models(source)]


def test_the_same_twice_is_one_commit(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]
) -> None:
    first = visit(push, releases[0], "--repo", name)
    again = visit(push, releases[0], "--repo", name)
    assert again.out == first.out and again.code == 0
    assert again.notes.endswith(f"{name}: nothing has changed\n")
    assert len(server.repositories[name].commits) == 2
    other = visit(push, releases[1], "--repo", name)
    assert other.out != first.out
    assert (
        head(server.repositories[name])["README.md"]
        == hub_card((releases[1] / "README.md").read_text(), "mine", name).encode()
    )


@pytest.mark.parametrize("edit", ["text", "seal", "made by hand"])
def test_a_card_that_people_edited_is_kept(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path], edit: str
) -> None:
    card = hub_card((releases[0] / "README.md").read_text(), "mine", name)
    theirs = {
        "text": card + "Thanks to all.\n",
        "seal": "".join(line for line in card.splitlines(keepends=True) if not line.startswith("# Card pushed")),
        "made by hand": "# Ours\n",
    }[edit].encode()
    repository = server.add(name, {"README.md": theirs})
    dry = visit(push, releases[1], "--repo", name, "--dry-run")
    done = visit(push, releases[1], "--repo", name)
    for said in (dry, done):
        assert "README.md was edited there and is kept; --replace-card replaces it\n" in said.notes and said.code == 0
    files = head(repository)
    assert files["README.md"] == theirs
    assert files["online.safetensors"] == (releases[1] / "online.safetensors").read_bytes()
    replaced = visit(push, releases[1], "--repo", name, "--replace-card")
    assert "kept" not in replaced.notes
    assert head(repository)["README.md"].decode() == hub_card((releases[1] / "README.md").read_text(), "mine", name)


def test_a_dry_run_only_reads(server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]) -> None:
    done = visit(push, releases[0], "--repo", name, "--dry-run", "--private")
    assert (done.code, done.out) == (0, "") and name not in server.repositories
    sizes = [line.split("  ") for line in done.notes.splitlines()[:5]]
    assert {file for file, _ in sizes} == {path.name for path in releases[0].iterdir()}
    for file, shown in sizes:
        content = (releases[0] / file).read_bytes()
        if file == "README.md":
            content = hub_card(content.decode(), "mine", name).encode()
        assert shown == f"{len(content) / 1e6:.3f} MB"
    assert done.notes.endswith(f"{name}: a new repository, or one that needs another token\n")
    server.add(name)
    commit = server.repositories[name].branches["main"]
    there = visit(push, releases[0], "--repo", name, "--dry-run", "--revision", "next")
    assert there.notes.endswith(f"{name}: commit {commit}, new branch next\n")
    assert not [line for line in server.log if not line.startswith(("GET", "HEAD"))]
    assert server.repositories[name].branches == {"main": commit}


def test_a_branch(server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]) -> None:
    visit(push, releases[0], "--repo", name)
    repository = server.repositories[name]
    before = repository.branches["main"]
    done = visit(push, releases[1], "--repo", name, "--revision", "exp/two")
    assert done.code == 0, done.notes
    assert repository.branches == {"main": before, "exp/two": done.out.strip().rpartition("@")[2]}
    assert len(repository.commits) == 3
    for revision, release in (("main", releases[0]), ("exp/two", releases[1])):
        assert head(repository, revision)["config.json"] == (release / "config.json").read_bytes()
        found = visit(load, f"hf-hub:{name}@{revision}")
        np.testing.assert_array_equal(found.embedding, embedding(load_model(release)))
    assert visit(push, releases[1], "--repo", name, "--revision", "exp/two").out == done.out


def test_private(server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]) -> None:
    done = visit(push, releases[0], "--repo", name, "--private")
    assert server.repositories[name].private
    assert "a private one" in visit(load, done.out.strip()).error
    assert visit(push, releases[1], "--repo", name).code == 0 and server.repositories[name].private
    server.repositories[name].private = False
    before = dict(server.repositories[name].branches)
    refused = visit(push, releases[0], "--repo", name, "--private")
    assert refused.code == 1 and "error: " in refused.notes and "is there and public; make it private" in refused.notes
    assert server.repositories[name].branches == before


@pytest.mark.parametrize(
    ("token", "message"), [("", "set HF_TOKEN or run `hf auth login`"), ("hf_wrong", "refuses the token")]
)
def test_without_the_right_token(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path], token: str, message: str
) -> None:
    for _ in range(2):
        refused = visit(push_with, (releases[0], "--repo", name), token)
        assert refused.code == 1 and refused.out == "" and message in refused.notes.replace("\n", " ")
        assert "Traceback" not in refused.notes
        if name not in server.repositories:
            server.add(name)
    assert server.repositories[name].branches == {"main": next(iter(server.repositories[name].commits))}


@pytest.mark.parametrize("part", ["preupload", "/lfs/", "objects/batch", "/commit/", "/branch/", "validate-yaml"])
def test_a_push_that_fails_changes_nothing_and_can_be_done_again(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path], part: str
) -> None:
    repository = server.add(name)
    before = dict(repository.branches)
    server.fail = {part: 403}
    words = (releases[1], "--repo", name, "--revision", "next" if part == "/branch/" else "main")
    failed = visit(push, *words)
    assert failed.code == 1 and failed.out == "" and f"error: {name}: not pushed: " in failed.notes
    assert repository.branches == before
    server.fail = {}
    done = visit(push, *words)
    assert done.code == 0 and len(repository.commits) == 2


def test_a_push_that_is_killed(server: HubServer, home: Path, name: str, releases: tuple[Path, Path]) -> None:
    """After one of the large files; the next sends the others."""
    server.add(name)
    before = dict(server.repositories[name].branches)
    victim, other = Visitor(server, home), Visitor(server, home)
    server.after = lambda path: victim.close() if path.startswith("/lfs/") else None
    try:
        with pytest.raises((EOFError, ConnectionResetError)):
            victim(push, releases[0], "--repo", name)
        server.after = lambda _: None
        assert server.repositories[name].branches == before and server.stored
        assert other(push, releases[0], "--repo", name).code == 0
        assert len(server.repositories[name].commits) == 2
    finally:
        other.close()


def test_somebody_elses_commit_in_the_meantime(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path]
) -> None:
    repository = server.add(name)
    server.after = lambda path: repository.commit({"README.md": b"# Ours\n"}) if "validate" in path else None
    failed = visit(push, releases[0], "--repo", name)
    assert failed.code == 1 and "somebody committed to it in the meantime; push again" in failed.notes
    assert set(head(repository)) == {*FIRST, "README.md"}
    server.after = lambda _: None
    assert "README.md was edited there and is kept" in visit(push, releases[0], "--repo", name).notes


def test_the_hub_refuses_a_header(
    server: HubServer, visit: Visitor, name: str, releases: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(releases[0], tmp_path / "mine"))
    card = (folder / "README.md").read_text()
    (folder / "README.md").write_text(card.replace("type: audio-classification", "type: ''"))
    failed = visit(push, folder, "--repo", name)
    assert failed.code == 1 and "not pushed: Invalid metadata in README.md." in failed.notes
    assert f"{name} was made and holds nothing yet" in failed.notes.replace("\n", " ")
    assert set(head(server.repositories[name])) == set(FIRST)


def test_mistakes_are_told_before_anything_is_asked(
    server: HubServer, visit: Visitor, releases: tuple[Path, Path], tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(releases[0], tmp_path / "mine"))
    (damaged / "online.safetensors").write_bytes((releases[1] / "online.safetensors").read_bytes())
    assert file_digest(damaged / "online.safetensors") == file_digest(releases[1] / "online.safetensors")
    for words, message in (
        ((damaged, "--repo", "org/x"), "online.safetensors: damaged, its SHA-256 is not the one in config.json"),
        ((tmp_path / "none", "--repo", "org/x"), "no such folder"),
        ((releases[0], "--repo", "alone"), "--repo alone: not the name of a repository, which is ORG/NAME"),
        ((releases[0], "--repo", "a/../b"), "not the name of a repository"),
        ((releases[0], "--repo", "a--b/c..d"), "--repo a--b/c..d: "),
        ((releases[0], "--repo", "org/x", "--revision", "../x"), "--revision ../x: not the name of a branch"),
        ((releases[0], "--repo", "org/x", "--revision", "0" * 40), "not the name of a branch"),
    ):
        refused = visit(push, *words)
        assert refused.code == 1 and message in refused.notes.replace("\n", " "), words
        assert refused.notes.startswith("error: ") and "Traceback" not in refused.notes
    assert server.asked("org/") == server.asked("create") == []
