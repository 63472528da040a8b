"""A hub on this machine that speaks what huggingface.co speaks of models: addresses, redirects, ETags, gates, ranges."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_token_of_an_account"
# Files at least this long lie in large-file storage, at another host.
LARGE = 1000
_RESOLVE = re.compile(r"/(?P<repo>(?:datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_INFO = re.compile(r"/api/(?:models|(?P<kind>datasets))/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?")


@dataclass
class Asked:
    method: str
    host: str
    path: str
    authorization: str | None
    range: str | None


@dataclass
class LocalHub:
    """Repositories by name.

    Attributes:
        files: Repository to name to bytes.
        revisions: Names that stand for the one commit.
        gated: Repositories whose terms must be accepted; `TOKEN` is an account that did.
        cuts: After how many bytes the next downloads are cut, one entry each.
        lies: What large files are replaced by on their way.
        down: Answers every request with status 502.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=lambda: {"main", "v1", COMMIT})
    gated: set[str] = field(default_factory=set)
    cuts: list[int] = field(default_factory=list)
    lies: dict[bytes, bytes] = field(default_factory=dict)
    down: bool = False
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    storage: str = ""

    def put(self, repo: str, file: str, content: bytes) -> str:
        """Puts a file; gives its sha256."""
        self.files.setdefault(repo, {})[file] = content
        return hashlib.sha256(content).hexdigest()

    def downloads(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == "GET" and asked.path.startswith("/stored/")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LocalHub

    def do_HEAD(self) -> None:
        self._note()
        if self.hub.down:
            self._answer(502)
        elif match := _RESOLVE.fullmatch(self.path):
            self._resolve(**{name: unquote(part) for name, part in match.groupdict().items()})
        else:
            self._answer(404)

    def do_GET(self) -> None:
        self._note()
        if self.hub.down:
            self._answer(502)
        elif match := _RESOLVE.fullmatch(self.path):
            self._resolve(**{name: unquote(part) for name, part in match.groupdict().items()})
        elif match := _INFO.fullmatch(self.path.partition("?")[0]):
            self._info(**match.groupdict())
        elif self.path.startswith("/stored/"):
            self._stored(self.path.removeprefix("/stored/"))
        else:
            self._answer(404)

    def _note(self) -> None:
        given = self.headers
        self.hub.asked.append(
            Asked(self.command, given["Host"], self.path, given.get("Authorization"), given.get("Range"))
        )

    def _closed(self, repo: str) -> bool:
        if repo not in self.hub.files:
            self._answer(401, {"X-Error-Code": "RepoNotFound"})
            return True
        given = self.headers.get("Authorization")
        if repo in self.hub.gated and given != f"Bearer {TOKEN}":
            self._answer(403 if given else 401, {"X-Error-Code": "GatedRepo"})
            return True
        return False

    def _resolve(self, repo: str, revision: str, file: str) -> None:
        if self._closed(repo):
            return
        if revision not in self.hub.revisions:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
            return
        content = self.hub.files[repo].get(file)
        known = {"X-Repo-Commit": COMMIT}
        if content is None:
            self._answer(404, {"X-Error-Code": "EntryNotFound", **known})
        elif len(content) < LARGE:
            self._answer(200, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', **known}, content)
        else:
            sha256 = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
            self._answer(302, {"Location": f"{self.hub.storage}/stored/{sha256}", **linked, **known})

    def _info(self, repo: str, kind: str | None, revision: str | None) -> None:
        if kind is not None:
            repo = f"{kind}/{repo}"
        if repo not in self.hub.files:
            self._answer(401, {"X-Error-Code": "RepoNotFound"})
            return
        licence = self.hub.licences.get(repo)
        told = {
            "id": repo,
            "sha": COMMIT,
            "gated": "manual" if repo in self.hub.gated else False,
            "cardData": {"license": licence} if licence else None,
            "siblings": [],
            "tags": [],
            "private": False,
            "downloads": 0,
        }
        self._answer(200, {"Content-Type": "application/json"}, json.dumps(told).encode())

    def _stored(self, sha256: str) -> None:
        every = [content for files in self.hub.files.values() for content in files.values()]
        content = next(item for item in every if hashlib.sha256(item).hexdigest() == sha256)
        content = self.hub.lies.get(content, content)
        begin = 0
        headers = {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            begin = int(asked.group(1))
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        self._answer(206 if asked else 200, headers, content[begin:], cut)

    def _answer(
        self, status: int, headers: dict[str, str] | None = None, body: bytes = b"", cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):  # who pulls may go away in the middle
            self.wfile.write(body[:cut])
            self.wfile.flush()
        self.close_connection = self.close_connection or cut is not None

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def forget_accounts(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Whoever runs the tests may be logged in at the real hub, or sit behind a proxy."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "no_token"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@contextmanager
def local_hub() -> Iterator[LocalHub]:
    """A hub that answers at `url`; its large files lie behind another name of this machine."""
    hub = LocalHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        hub.storage = f"http://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
