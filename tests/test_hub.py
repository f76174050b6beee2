"""Releases from the Hub: its real client against a local server that speaks its protocol, and fails."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from selfie_hear import ReleaseError, cli, load_model
from selfie_hear.pretrained import BRANCHES, bundled_releases
from tests.conftest import TINY, tiny_embedder
from tests.hub_releases import here, release
from tests.hub_server import HubServer, Repository, hub_server
from tests.hub_visitor import Loaded, Visitor, embedding, load


@pytest.fixture(scope="module")
def served() -> Iterator[HubServer]:
    with hub_server() as server:
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outside") / "a" / "b" / "home"


@pytest.fixture(scope="module")
def visit(served: HubServer, home: Path) -> Iterator[Visitor]:
    visitor = Visitor(served, home)
    yield visitor
    visitor.close()


@pytest.fixture(scope="module")
def offline(served: HubServer, home: Path) -> Iterator[Visitor]:
    """Another, with the same cache."""
    visitor = Visitor(served, home, HF_HUB_OFFLINE="1")
    yield visitor
    visitor.close()


@pytest.fixture
def server(served: HubServer) -> Iterator[HubServer]:
    """The server, without a fault or a memory."""
    served.log.clear()
    yield served
    served.cut, served.deaf, served.drop, served.instead, served.status = {}, 0, 0, {}, 0
    served.after = lambda _: None


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository that no other test has in the cache."""
    return f"org/{hashlib.sha1(request.node.name.encode()).hexdigest()[:12]}"


def cached(home: Path, name: str) -> set[str]:
    """The names of all files and links in the cache of a repository, but what is temporary or a mark."""
    return {path.name for path in (home / "hub" / f"models--{name.replace('/', '--')}" / "snapshots").glob("*/*")}


@pytest.mark.parametrize("branch", BRANCHES)
def test_a_release_from_the_hub_is_the_release(
    server: HubServer, visit: Visitor, home: Path, name: str, tmp_path: Path, branch: str
) -> None:
    files = release(**{"golden.safetensors": b"many", "README.md": b"# card"})
    server.add(name, files)
    found = visit(load, f"hf-hub:{name}", branch)
    np.testing.assert_array_equal(found.embedding, here(files, tmp_path / "same", branch))
    assert found.logged == []
    assert cached(home, name) == {"config.json", f"{branch}.safetensors"}
    assert {line.rpartition("/")[2] for line in server.asked(name)} == cached(home, name)


def test_a_full_commit_that_is_cached_asks_nothing(server: HubServer, visit: Visitor, home: Path, name: str) -> None:
    repository = server.add(name, release())
    commit = repository.branches["main"]
    found = visit(load, f"hf-hub:{name}@{commit}")
    assert found.embedding is not None and server.log
    server.log.clear()
    repository.commit(release(seed=1))
    other = Visitor(server, home)  # another process, which has asked nothing yet
    try:
        np.testing.assert_array_equal(other(load, f"hf-hub:{name}@{commit}").embedding, found.embedding)
        np.testing.assert_array_equal(other(load_revision, name, commit), found.embedding)
    finally:
        other.close()
    assert server.log == []


def load_revision(name: str, revision: str) -> np.ndarray:
    """A job: the other way to say it."""
    return embedding(load_model(f"hf-hub:{name}", revision=revision))


def test_a_branch_is_looked_up_each_time(server: HubServer, visit: Visitor, name: str, tmp_path: Path) -> None:
    repository = server.add(name, release())
    old = visit(load, f"hf-hub:{name}")
    repository.commit(release(seed=1))
    new = visit(load, f"hf-hub:{name}")
    np.testing.assert_array_equal(new.embedding, here(release(seed=1), tmp_path / "new"))
    assert not np.array_equal(new.embedding, old.embedding)
    repository.branches["exp/v2"] = next(iter(repository.commits))
    np.testing.assert_array_equal(visit(load, f"hf-hub:{name}@exp/v2").embedding, old.embedding)
    server.log.clear()
    assert visit(load, f"hf-hub:{name}").embedding is not None
    assert [line.split()[0] for line in server.log] == ["HEAD", "HEAD"]


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": 1}])
def test_without_the_server_a_branch_is_what_it_was_and_says_so(
    server: HubServer, visit: Visitor, name: str, fault: dict[str, int]
) -> None:
    repository = server.add(name, release())
    old, commit = visit(load, f"hf-hub:{name}"), repository.branches["main"]
    repository.commit(release(seed=1))
    vars(server).update(fault)
    found = visit(load, f"hf-hub:{name}")
    np.testing.assert_array_equal(found.embedding, old.embedding)
    (warning,) = found.logged
    assert warning.startswith(f"hf-hub:{name}@main: {server.address} ")
    assert warning.endswith(f"; taken from the cache as it was at its last look-up: commit {commit}")


def test_offline_takes_what_is_cached_and_asks_nothing(
    server: HubServer, visit: Visitor, offline: Visitor, name: str
) -> None:
    server.add(name, release())
    found = visit(load, f"hf-hub:{name}")
    server.log.clear()
    alone = offline(load, f"hf-hub:{name}")
    np.testing.assert_array_equal(alone.embedding, found.embedding)
    assert "target.safetensors could not be fetched" in offline(load, f"hf-hub:{name}", "target").error
    for source in (f"hf-hub:{name}@v2", "hf-hub:org/never", f"hf-hub:{name}@{'0' * 40}"):
        said = offline(load, source).error
        assert "config.json could not be fetched from the Hub: HF_HUB_OFFLINE is set, and the cache does not" in said
    assert (alone.logged, server.log) == ([], [])


def test_who_is_not_let_in_hears_why_also_when_it_is_cached(server: HubServer, visit: Visitor, name: str) -> None:
    repository = server.add(name, release(), private=True)
    assert (
        "or it is a private one for which to set HF_TOKEN or run `hf auth login`" in visit(load, f"hf-hub:{name}").error
    )
    said = visit(load_with_token, f"hf-hub:{name}", "hf_wrong").error
    assert "the server refuses the token (401)" in said and "HF_TOKEN" in said
    assert visit(load_with_token, f"hf-hub:{name}", server.token).embedding is not None
    assert "there is no such repository" in visit(load, f"hf-hub:{name}").error
    repository.private, repository.gated = False, True
    assert f"it is gated: ask for access on {server.address}, then set HF_TOKEN" in visit(load, f"hf-hub:{name}").error


def load_with_token(source: str, token: str) -> Loaded:
    """A job."""
    os.environ["HF_TOKEN"] = token
    try:
        return load(source)
    finally:
        del os.environ["HF_TOKEN"]


def test_what_is_not_there(server: HubServer, visit: Visitor, name: str) -> None:
    assert "there is no such repository (check the name)" in visit(load, "hf-hub:org/none").error
    assert "may not see" in visit(load_with_token, "hf-hub:org/none", server.token).error
    server.add(name, {"pytorch_model.bin": b"pickled"})
    assert "it has no such revision; accepted are a branch, a tag or a full" in visit(load, f"hf-hub:{name}@v9").error
    assert "it has no such file; is it a release of selfie_hear?" in visit(load, f"hf-hub:{name}").error
    assert not server.asked("pytorch_model.bin")
    server.status = 403
    assert "the server refuses the token (403), or there is none" in visit(load, f"hf-hub:{name}").error
    server.status = 500
    assert f"{server.address} answers 500" in visit(load, f"hf-hub:{name}").error


@pytest.mark.parametrize("revision", ["", "../../../x", "a b", "/main", "-rf\n"])
def test_revisions_that_git_does_not_allow(revision: str) -> None:
    with pytest.raises(ReleaseError, match="is not the name of a branch, tag or commit"):
        load_model(f"hf-hub:a/b@{revision}")
    with pytest.raises(ReleaseError, match="is not the name of a branch, tag or commit"):
        load_model("hf-hub:a/b", revision=revision)


def test_a_download_that_breaks_off_is_resumed(server: HubServer, visit: Visitor, name: str) -> None:
    """The client keeps what it has in pieces of 10 MB: with weights as large, the second request is for the rest."""
    folder = bundled_releases()["selfie-open10h"]
    server.add(name, {file: (folder / file).read_bytes() for file in ("config.json", "online.safetensors")})
    server.cut, server.deaf = {"online.safetensors": 11_500_000}, 2
    found = visit(load, f"hf-hub:{name}")
    np.testing.assert_array_equal(found.embedding, embedding(load_model(folder)))
    gets = [line for line in server.asked("online.safetensors") if line.startswith("GET")]
    assert [line.partition("safetensors")[2] for line in gets] == ["", *[f" bytes={10 * 2**20}-"] * 3]


def test_a_server_that_goes_down_for_good_leaves_nothing_half(
    server: HubServer, visit: Visitor, home: Path, name: str, tmp_path: Path
) -> None:
    server.add(name, release())
    server.cut, server.deaf = {"online.safetensors": 1000}, 10**9
    said = visit(load, f"hf-hub:{name}").error
    assert f"online.safetensors could not be fetched from the Hub: {server.address} cannot be reached, or broke" in said
    assert cached(home, name) == {"config.json"}
    assert list(home.rglob("*.incomplete")) == []
    server.drop = 0
    np.testing.assert_array_equal(visit(load, f"hf-hub:{name}").embedding, here(release(), tmp_path / "same"))


@pytest.mark.parametrize("file", ["online.safetensors", "config.json"])
def test_wrong_bytes_are_refused_and_not_kept(
    server: HubServer, visit: Visitor, home: Path, name: str, tmp_path: Path, file: str
) -> None:
    commit = server.add(name, release()).branches["main"]
    server.instead = {file: release()[file][:-1] + b"x"}
    said = visit(load, f"hf-hub:{name}@{commit}").error
    assert said.startswith(f"hf-hub:{name}@{commit}: ") and file in said
    assert {"online.safetensors": "its SHA-256 is not the one in config.json", "config.json": "not JSON"}[file] in said
    assert said.endswith("; it was removed from the cache and will be fetched anew")
    assert cached(home, name) == {"config.json"} - {file}
    server.instead = {}
    found = visit(load, f"hf-hub:{name}@{commit}")
    np.testing.assert_array_equal(found.embedding, here(release(), tmp_path / "same"))


def test_pickled_weights_under_a_safe_name(server: HubServer, visit: Visitor, name: str) -> None:
    pickled = io.BytesIO()
    torch.save({"weight": torch.zeros(1)}, pickled)
    config = json.loads(release()["config.json"])
    config["sha256"] = {"online.safetensors": hashlib.sha256(pickled.getvalue()).hexdigest()}
    server.add(name, {"config.json": json.dumps(config).encode(), "online.safetensors": pickled.getvalue()})
    assert "online.safetensors: cannot be loaded" in visit(load, f"hf-hub:{name}").error


def test_no_file_name_of_a_repository_is_used(server: HubServer, visit: Visitor, home: Path, name: str) -> None:
    evil = {
        "../../../../../evil.safetensors": b"evil",
        "/tmp/evil.safetensors": b"evil",
        "..\\evil.safetensors": b"evil",
    }
    files = release(**evil)
    config = json.loads(files["config.json"])
    config["sha256"].update(dict.fromkeys(evil, hashlib.sha256(b"evil").hexdigest()))
    server.add(name, {**files, "config.json": json.dumps(config).encode()})
    assert visit(load, f"hf-hub:{name}").embedding is not None
    assert not server.asked("evil")
    outside = home.parents[2]
    assert [path for path in outside.rglob("*") if home not in path.parents and path.is_file()] == []
    assert list(home.rglob("*evil*")) == []


def test_a_branch_that_moves_while_it_is_looked_up(server: HubServer, visit: Visitor, name: str) -> None:
    repository: Repository = server.add(name, release())
    server.after = lambda path: repository.commit({f"{len(server.log)}": b""})
    said = visit(load, f"hf-hub:{name}").error
    first, second, *_ = repository.commits
    assert f"moved from commit {first} to {second} while it was looked up; try again" in said


def test_two_at_once(server: HubServer, visit: Visitor, home: Path, name: str, tmp_path: Path) -> None:
    server.add(name, release())
    other = Visitor(server, home)
    try:
        both = [one.begin(load, f"hf-hub:{name}") for one in (visit, other)]
        for finish in both:
            np.testing.assert_array_equal(finish().embedding, here(release(), tmp_path / f"{id(finish)}"))
    finally:
        other.close()


def test_the_command_line_takes_a_model_from_the_hub(
    server: HubServer, visit: Visitor, name: str, examples: list[Path], tmp_path: Path
) -> None:
    server.add(name, release())
    words = ("embed", str(examples[0]), "-o", str(tmp_path / "out.npz"), "--branch", "target", "--model")
    assert visit(command, *words, f"hf-hub:{name}") == (0, "")
    with np.load(tmp_path / "out.npz") as out:
        assert out["embeddings"].shape == (1, tiny_embedder(TINY[0]).scene_embedding_size)
    assert server.asked("target.safetensors") and not server.asked("online.safetensors")
    code, said = visit(command, *words, "hf-hub:org/none")
    assert code == 1 and said.startswith("error: hf-hub:org/none@main: config.json could not be fetched from the Hub")


def command(*words: str) -> tuple[int, str]:
    """A job: what `selfie-hear WORDS` ends with and says, but for what it wrote."""
    sys.argv = ["selfie-hear", *words]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, "" if code == 0 else said.getvalue().replace("\n", " ")
