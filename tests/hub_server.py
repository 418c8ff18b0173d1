"""A model hub on loopback that implements the file protocol of the Hugging Face hub, and can be told to misbehave.

As on the real hub, `/api/models/<id>/revision/<revision>?blobs=True` lists the files. A request for
`/<id>/resolve/<revision>/<file>` returns a small file directly, but is redirected to another host for a large one (LFS),
with the size and sha256 in `X-Linked-*` headers. That host supports the header `Range`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Request(NamedTuple):
    """A request that the server received.

    Attributes:
        method: ``GET`` or ``HEAD``.
        path: The path without the query.
        range: The header `Range`.
        authorization: The header `Authorization`.
    """

    method: str
    path: str
    range: str | None
    authorization: str | None


class Hub:
    """The state of the server. Tests change its attributes.

    Attributes:
        repositories: Repository id to revision to file name to content.
        commits: Repository id and revision to commit, if it is not `COMMIT`.
        gated: Ids of repositories whose files need the token `let-me-in`. As on the real hub, everyone may list them.
        private: Ids of repositories that can neither be listed nor read without that token.
        silent: Whether the server answers no request until it is closed.
        drops: How many more times the connection is dropped in the middle of a large file.
        status: If not 0, the status of every answer, as from a server in trouble.
        listed: Function that is applied to the listing of a repository before it is sent.
        sent: File name to content that is sent in place of the content that was hashed.
        requests: All requests so far.
        closed: Set when the server is closed.
        port: The port that the server listens on.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.commits: dict[tuple[str, str], str] = {}
        self.gated: set[str] = set()
        self.private: set[str] = set()
        self.silent = False
        self.drops = 0
        self.status = 0
        self.listed = lambda answer: answer
        self.sent: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.closed = threading.Event()
        self.port = 0

    @property
    def endpoint(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def asked(self, method: str, ending: str) -> list[Request]:
        """Return the requests with this method whose path has this ending."""
        return [request for request in self.requests if request.method == method and request.path.endswith(ending)]

    def commit(self, id_: str, revision: str) -> str:
        """Return the commit of a revision, which may itself be a commit."""
        return revision if re.fullmatch("[0-9a-f]{40}", revision) else self.commits.get((id_, revision), COMMIT)

    def find(self, id_: str, revision: str) -> dict[str, bytes] | None:
        """Return the files of a revision, which may be given by its commit; None if there is no such revision."""
        revisions = self.repositories.get(id_, {})
        by_commit = {self.commit(id_, name): files for name, files in revisions.items()}
        return revisions.get(revision, by_commit.get(revision))


def blob_id(content: bytes) -> str:
    """Return git's hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    """Return whether the hub stores a file in LFS."""
    return name.endswith((".safetensors", ".bin"))


@contextmanager
def serving() -> Iterator[Hub]:
    """Run a hub on a free port inside the block."""
    hub = Hub()

    class Handler(_Handler):
        state = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    state: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        hub, url = self.state, urlsplit(self.path)
        path = unquote(url.path)
        hub.requests.append(Request(self.command, path, self.headers.get("Range"), self.headers.get("Authorization")))
        if hub.silent:
            hub.closed.wait()
            self.close_connection = True
        elif hub.status:
            self.reply(hub.status, {}, b"trouble")
        elif found := re.fullmatch(r"/api/models/(.+?)/refs", path):
            self.refs(found[1])
        elif found := re.fullmatch(r"/api/models/(.+?)(?:/revision/(.+))?", path):
            assert parse_qs(url.query).get("blobs"), "the listing must ask for sizes and hashes"
            self.model(found[1], found[2] or "main")
        elif found := re.fullmatch(r"/(.+?)/resolve/(.+)/([^/]+)", path):
            self.resolve(*found.groups())
        elif found := re.fullmatch(r"/large/([0-9a-f]{64})/([^/]+)", path):
            self.large(*found.groups())
        else:
            self.error(404, "EntryNotFound")

    def reply(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def error(self, status: int, code: str = "", message: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self.reply(status, {name: value for name, value in headers.items() if value})

    def refused(self, id_: str, ids: set[str], status: int, code: str) -> bool:
        if id_ not in ids or self.headers.get("Authorization") == "Bearer let-me-in":
            return False
        self.error(status, code)
        return True

    def refs(self, id_: str) -> None:
        names = list(self.state.repositories.get(id_, {}))
        told = [{"name": name, "ref": f"refs/heads/{name}", "targetCommit": COMMIT} for name in names]
        self.reply(200, {}, json.dumps({"branches": told, "converts": [], "tags": []}).encode())

    def model(self, id_: str, revision: str) -> None:
        hub = self.state
        if self.refused(id_, hub.private, 401, "RepoNotFound"):
            return
        if id_ not in hub.repositories:
            self.error(404, "RepoNotFound", "Repository not found")
            return
        files = hub.find(id_, revision)
        if files is None:
            self.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        siblings = []
        for name, content in files.items():
            told = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
            if is_large(name):
                sha256 = hashlib.sha256(content).hexdigest()
                told["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
            siblings.append(told)
        answer = {
            "id": id_,
            "sha": hub.commit(id_, revision),
            "siblings": siblings,
            "cardData": {"license": "mit"},
        }
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(hub.listed(answer)).encode())

    def resolve(self, id_: str, revision: str, name: str) -> None:
        hub = self.state
        if self.refused(id_, hub.gated | hub.private, 401, "GatedRepo" if id_ in hub.gated else "RepoNotFound"):
            return
        files = hub.find(id_, revision)
        if files is None or name not in files:
            self.error(404, "EntryNotFound" if files is not None else "RevisionNotFound")
            return
        content = files[name]
        headers = {"X-Repo-Commit": hub.commit(id_, revision), "ETag": f'"{blob_id(content)}"'}
        if is_large(name):
            sha256 = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{sha256}"'}
            # The client treats another name of this machine as another host.
            self.reply(302, {**headers, "Location": f"http://localhost:{hub.port}/large/{sha256}/{name}"})
        else:
            self.reply(200, headers, hub.sent.get(name, content) if self.command == "GET" else content)

    def large(self, sha256: str, name: str) -> None:
        hub = self.state
        everything = [content for revisions in hub.repositories.values() for files in revisions.values()
                      for content in files.values()]  # fmt: skip
        content = next(content for content in everything if hashlib.sha256(content).hexdigest() == sha256)
        content = hub.sent.get(name, content)
        start = 0
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(asked[1])
        body = content[start:]
        headers = {"Content-Length": str(len(body))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if hub.drops and self.command == "GET":
            hub.drops -= 1
            self.send_response(206 if start else 200)
            for header, value in headers.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self.reply(206 if start else 200, headers, body)
