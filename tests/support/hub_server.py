"""Speak, on 127.0.0.1, the endpoints of the Hub that huggingface_hub uses, and count what is asked of them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Answer = tuple[int, dict[str, str], bytes]

LFS = (".safetensors", ".bin", ".model")
API = re.compile(r"/api/models/(?P<id>[^/]+(/[^/]+)?)(/revision/(?P<revision>[^/]+))?$")
FILE = re.compile(r"/(?P<id>[^/]+(/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)$")


@dataclass
class Repo:
    """A model: its files by commit, the commit of each branch, and who may have it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Put files on a branch, and return their commit."""
        sha = hashlib.sha1(repr((len(self.commits), sorted(files.items()))).encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha


@dataclass
class Request:
    """One request and how many bytes of body it was answered with."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""
    status: int = 0
    sent: int = 0


@dataclass
class Hub:
    """Models by id, and every request. `intercept` may answer in their place."""

    repos: dict[str, Repo] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    intercept: Callable[[Request], Answer | None] = lambda _: None
    broken: Callable[[Request], tuple[int, float] | None] = lambda _: None
    """May break an answer off: after so many bytes, having waited so many seconds."""
    ranges: bool = True
    writer: str = "may-write"
    objects: dict[str, bytes] = field(default_factory=dict)
    port: int = 0

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self.port}"

    def upload(self, id: str, folder: Path, **options: object) -> str:
        """Make a commit of all files of a folder on the main branch, and return it."""
        repo = self.repos.setdefault(id, Repo())
        vars(repo).update(options)
        return repo.commit(
            {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        )

    def sent(self, part: str) -> int:
        """Return how many bytes were sent for paths with this part in them."""
        return sum(request.sent for request in self.requests if part in request.path)

    def asked(self, method: str, part: str) -> list[str]:
        """Return the paths with this part in them that were asked for by a method."""
        return [request.path for request in self.requests if request.method == method and part in request.path]

    def answer(self, request: Request) -> Answer:
        """Return status, headers and body for a request."""
        found = self.intercept(request)
        if found is not None:
            return found
        path = unquote(urlsplit(request.path).path)
        if path.startswith("/cdn/"):
            return self._content(request, path.removeprefix("/cdn/"))
        if match := FILE.match(path):
            return self._file(request, match["id"], match["revision"], match["file"])
        if path == "/api/whoami-v2":
            return _json({"name": "me"}) if self._writer(request) else _error(401, "", "Invalid username or password")
        if path == "/api/validate-yaml":
            return _json({"errors": [], "warnings": []})
        if request.method in ("POST", "PUT"):
            return self._written(request, path)
        if match := API.match(path):
            return self._info(request, match["id"], match["revision"] or "main")
        return _error(404, "", "no such endpoint")

    def _writer(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.writer}"

    def _written(self, request: Request, path: str) -> Answer:
        if path.startswith("/upload/"):
            self.objects[path.removeprefix("/upload/")] = request.body
            return 200, {}, b""
        if not self._writer(request):
            return _error(403, "", "You don't have the rights to create a model under this namespace")
        if path == "/api/repos/create":
            asked = json.loads(request.body)
            id = f"{asked['organization'] or 'me'}/{asked['name']}"
            private = asked.get("visibility") == "private" or asked.get("private")
            repo = self.repos.setdefault(id, Repo(token=self.writer if private else None))
            if not repo.commits:
                repo.commit({".gitattributes": b""})
            return _json({"url": f"{self.endpoint}/{id}", "id": id})
        id, action = re.fullmatch(r"(?:/api/models)?/([^/]+/[^/.]+)[/.](.+)", path).groups()  # type: ignore[union-attr]
        if action == "preupload/main":
            names = [file["path"] for file in json.loads(request.body)["files"]]
            modes = [{"path": n, "uploadMode": "lfs" if n.endswith(LFS) else "regular"} for n in names]
            return _json({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        if action == "git/info/lfs/objects/batch":
            upload = [
                {**o, "actions": {"upload": {"href": f"{self.endpoint}/upload/{o['oid']}"}}}
                for o in json.loads(request.body)["objects"]
            ]
            return _json({"transfer": "basic", "objects": upload})
        return self._commit(id, [json.loads(line) for line in request.body.splitlines()])

    def _commit(self, id: str, lines: list[dict[str, dict[str, str]]]) -> Answer:
        repo = self.repos[id]
        files = dict(repo.commits[repo.branches["main"]])
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        sha = repo.commit(files)
        return _json({"commitUrl": f"{self.endpoint}/{id}/commit/{sha}", "commitOid": sha, "hookOutput": ""})

    def _info(self, request: Request, id: str, revision: str) -> Answer:
        repo, sha = self._found(request, id, revision)
        if not isinstance(sha, str):
            return sha
        assert repo is not None
        siblings = [{"rfilename": name} for name in sorted(repo.commits[sha])]
        return _json({"id": id, "modelId": id, "sha": sha, "siblings": siblings, "private": bool(repo.token)})

    def _file(self, request: Request, id: str, revision: str, name: str) -> Answer:
        repo, sha = self._found(request, id, revision)
        if not isinstance(sha, str):
            return sha
        assert repo is not None
        if repo.gated:
            return _error(403, "GatedRepo", "Access to model is restricted")
        data = repo.commits[sha].get(name)
        if data is None:
            return _error(404, "EntryNotFound", "Entry not found")
        digest = hashlib.sha256(data).hexdigest()
        headers = {"X-Repo-Commit": sha, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if not name.endswith(LFS):
            return self._range(request, data, headers)
        # Large files lie on another host, which must not be told the token.
        linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
        location = f"http://localhost:{self.port}/cdn/{id}/{sha}/{name}"
        return 302, {**headers, **linked, "Location": location}, b""

    def _content(self, request: Request, path: str) -> Answer:
        id, sha, name = re.fullmatch(r"(.+)/([0-9a-f]{40})/(.+)", path).groups()  # type: ignore[union-attr]
        data = self.repos[id].commits[sha][name]
        return self._range(request, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    def _range(self, request: Request, data: bytes, headers: dict[str, str]) -> Answer:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if wanted is None or not self.ranges:
            return 200, headers, data
        start, stop = int(wanted[1]), min(int(wanted[2] or len(data) - 1) + 1, len(data))
        if start >= len(data):
            return 416, {**headers, "Content-Range": f"bytes */{len(data)}"}, b""
        return 206, {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, data[start:stop]

    def _found(self, request: Request, id: str, revision: str) -> tuple[Repo | None, str | Answer]:
        repo = self.repos.get(id)
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if repo is None or (repo.token and not given):
            return None, _error(401, "RepoNotFound", "Repository not found")
        if repo.token and given != repo.token:
            return None, _error(401, "", "Invalid credentials in Authorization header")
        sha = repo.branches.get(revision, revision)
        return repo, sha if sha in repo.commits else _error(404, "RevisionNotFound", "Invalid rev id")


def _json(value: object) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _error(status: int, code: str, message: str) -> Answer:
    named = {"X-Error-Code": code} if code else {}
    return status, {**named, "X-Error-Message": message}, b""


@contextmanager
def serving() -> Iterator[Hub]:
    """Give a Hub that answers for the length of a block."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data

        def _serve(self) -> None:
            request = Request(self.command, self.path, {key.lower(): value for key, value in self.headers.items()})
            hub.requests.append(request)
            request.body = self._body()
            request.status, headers, data = hub.answer(request)
            self.send_response(request.status)
            for key, value in {"Content-Length": str(len(data)), **headers}.items():
                if value:
                    self.send_header(key, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            broken = hub.broken(request)
            for start in range(0, len(data), 16_384):
                if broken and start >= broken[0]:
                    threading.Event().wait(broken[1])
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                try:
                    self.wfile.write(data[start : start + 16_384])
                except OSError:
                    return
                request.sent += len(data[start : start + 16_384])

        do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
