"""A server that speaks enough of the Hub's protocol for its real client, notes what it was asked, and can fail."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

FIRST = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}  # of a repository that is made


@dataclass
class Commit:
    files: dict[str, bytes]
    message: str = "initial commit"


@dataclass
class Repository:
    """Its commits by name, what its branches point to, and who may see it."""

    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, changes: Mapping[str, bytes], branch: str = "main", message: str = "by hand") -> str:
        """Add or replace files; returns the commit."""
        before = self.commits[self.branches[branch]].files if branch in self.branches else {}
        name = hashlib.sha1(repr((len(self.commits), sorted(changes))).encode()).hexdigest()
        self.commits[name] = Commit({**before, **changes}, message)
        self.branches[branch] = name
        return name


@dataclass
class HubServer:
    """What it holds, what it was asked (method, path and, if any, range), and how it is to fail.

    Attributes:
        token: with it one may see private repositories and write.
        cut: file to the bytes after which the connection breaks, once.
        deaf: how many requests after such a break get no answer.
        drop: how many of the next requests get no answer.
        instead: file to other bytes that are sent under its name and digest.
        status: answered to everything.
        fail: part of a path to the status that is answered there.
        after: called after each request.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    token: str = "hf_right"
    cut: dict[str, int] = field(default_factory=dict)
    deaf: int = 0
    drop: int = 0
    instead: dict[str, bytes] = field(default_factory=dict)
    status: int = 0
    fail: dict[str, int] = field(default_factory=dict)
    after: Callable[[str], None] = lambda _: None

    def add(self, name: str, files: Mapping[str, bytes] = FIRST, **kind: bool) -> Repository:
        self.repositories[name] = Repository(**kind)
        self.repositories[name].commit(files, message="initial commit")
        return self.repositories[name]

    def asked(self, part: str) -> list[str]:
        return [line for line in self.log if part in line]


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A server at a free port of this machine, in a thread."""
    hub = HubServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _RefusedError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "") -> None:
        self.status, self.code, self.message = status, code, message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, for which the client does not wait
    hub: HubServer

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        body = self._body()
        path = urlsplit(self.path).path
        wanted = self.headers.get("Range")
        self.hub.log.append(f"{self.command} {path}" + (f" {wanted}" if wanted else ""))
        if self.hub.drop:
            self.hub.drop -= 1
            self.close_connection = True
            return
        try:
            broken = [status for part, status in self.hub.fail.items() if part in path]
            if self.hub.status or broken:
                raise _RefusedError(self.hub.status or broken[0])
            self._route(path, body)
        except _RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            said = {"error": refused.message, "errors": [{"message": refused.message}]}
            self._send(json.dumps(said).encode(), refused.status, {k: v for k, v in headers.items() if v})
        self.hub.after(path)

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815

    def _route(self, path: str, body: bytes) -> None:
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif found := re.fullmatch(r"/lfs/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == found[1]
            self.hub.stored[found[1]] = body
            self._send(b"")
        elif found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            self._repository(found[1], write=True)
            self._json({"transfer": "basic", "objects": [self._upload(item) for item in json.loads(body)["objects"]]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch|revision|tree)/(.+)", path):
            repository = self._repository(found[1], write=self.command == "POST")
            getattr(self, f"_{found[2]}")(repository, found[1], unquote(found[3]), body)
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)", path):
            self._revision(self._repository(found[1]), found[1], "main", b"")
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(self._repository(found[1]), unquote(found[2]), unquote(found[3]))
        else:
            raise _RefusedError(404)

    def _repository(self, name: str, write: bool = False) -> Repository:
        """As the real one: who may not see a repository is told that there is none."""
        said = self.headers.get("Authorization")
        if said not in (None, f"Bearer {self.hub.token}"):
            raise _RefusedError(401, message="Invalid credentials in Authorization header")
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not said):
            raise _RefusedError(404 if said else 401, "RepoNotFound", "Repository not found")
        if repository.gated and not said:
            raise _RefusedError(401, "GatedRepo", "Access to this model is restricted")
        if write and not said:
            raise _RefusedError(401, message="Invalid username or password.")
        return repository

    def _at(self, repository: Repository, revision: str) -> str:
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            raise _RefusedError(401, message="Invalid username or password.")
        if name in self.hub.repositories:
            raise _RefusedError(409, message="You already created this model repo")
        self.hub.add(name, private=wanted.get("visibility") == "private" or wanted.get("private", False))
        self._json({"url": f"{self.hub.address}/{name}", "name": name, "id": name})

    def _validate(self, content: str) -> None:
        found = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        values = yaml.safe_load(found[1]) if found else {}
        for result in (row for model in values.get("model-index", []) for row in model["results"]):
            if not result["task"]["type"] or not result["dataset"]["type"] or not result["dataset"]["name"]:
                raise _RefusedError(400, message='"model-index" lacks a type')
        if re.search("[^a-z0-9.+-]", values.get("license", "")):
            raise _RefusedError(400, message='"license" must be one of [apache-2.0, ...]')
        self._json({"errors": [], "warnings": []})

    def _upload(self, item: dict[str, Any]) -> dict[str, Any]:
        where = {"href": f"{self.hub.address}/lfs/{item['oid']}"}
        return {**item, **({} if item["oid"] in self.hub.stored else {"actions": {"upload": where}})}

    def _preupload(self, repository: Repository, _name: str, revision: str, body: bytes) -> None:
        there = repository.commits[self._at(repository, revision)].files
        answer = []
        for file in json.loads(body)["files"]:
            large = file["path"].endswith(".safetensors")
            oid = _oid(there[file["path"]], large) if file["path"] in there else None
            mode = "lfs" if large else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._json({"files": answer})

    def _commit(self, repository: Repository, name: str, branch: str, body: bytes) -> None:
        changes, header = {}, {}
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                header = value
            elif line["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changes[value["path"]] = self.hub.stored[value["oid"]]
        if branch not in repository.branches:
            raise _RefusedError(404, "RevisionNotFound", f"Invalid rev id: {branch}")
        if header.get("parentCommit") not in (None, repository.branches[branch]):
            raise _RefusedError(412, message="A commit has happened since. Please refresh and try again.")
        commit = repository.commit(changes, branch, header["summary"])
        self._json({"success": True, "commitOid": commit, "commitUrl": f"{self.hub.address}/{name}/commit/{commit}"})

    def _branch(self, repository: Repository, _name: str, branch: str, body: bytes) -> None:
        if branch in repository.branches:
            raise _RefusedError(409, message="Reference already exists")
        start = json.loads(body or b"{}").get("startingPoint", "main")
        repository.branches[branch] = self._at(repository, start)
        self._send(b"", 201)

    def _revision(self, repository: Repository, name: str, revision: str, _body: bytes) -> None:
        commit = self._at(repository, revision)
        files = [{"rfilename": path} for path in repository.commits[commit].files]
        self._json({"id": name, "modelId": name, "sha": commit, "private": repository.private, "siblings": files})

    def _tree(self, repository: Repository, _name: str, revision: str, _body: bytes) -> None:
        files = repository.commits[self._at(repository, revision)].files.items()
        self._json([{"type": "file", "path": p, "size": len(c), "oid": _oid(c, False)} for p, c in files])

    def _resolve(self, repository: Repository, revision: str, name: str) -> None:
        commit = self._at(repository, revision)
        headers = {"X-Repo-Commit": commit}
        files = repository.commits[commit].files
        if name not in files:
            raise _RefusedError(404, "EntryNotFound", "Entry not found")
        content = files[name]
        headers["ETag"] = f'"{_oid(content, name.endswith(".safetensors"))}"'
        content = self.hub.instead.get(name, content)
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if start:
            headers["Content-Range"] = f"bytes {start[1]}-{len(content) - 1}/{len(content)}"
            self._send(content[int(start[1]) :], 206, headers)
        elif self.command == "GET" and name in self.hub.cut:
            self._send(content, 200, headers, self.hub.cut.pop(name))
            self.close_connection, self.hub.drop = True, self.hub.deaf
        else:
            self._send(content, 200, headers)

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def _send(
        self, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None, most: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[:most])

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body


def _oid(content: bytes, large: bool) -> str:
    """SHA-256 of a large file, git's name of another."""
    if large:
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
