"""Git's smart HTTP protocol for the repositories of a shelf, answered by the real `git upload-pack`.

`GET /{repo}/info/refs?service=git-upload-pack` and `POST /{repo}/git-upload-pack` (git's documentation: http-protocol,
protocol-v2). Each `Repo` is written out as a bare repository of loose objects when somebody asks for it, and again
when it has changed. As at the Hub, an LFS file is there as its pointer, filters are served, and any commit may be
asked for by its id.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from weakref import finalize

from tests.hub.content import Bytes
from tests.hub.repos import Repo
from tests.hub.wire import Reply, Request

_CONFIG = """[core]
\trepositoryformatversion = 0
\tbare = true
[uploadpack]
\tallowFilter = true
\tallowAnySHA1InWant = true
"""


@dataclass
class GitRepositories:
    """The bare repositories of one face, removed with it."""

    _folder: Path = field(default_factory=lambda: Path(mkdtemp(prefix="loopback-git-")))
    _written: dict[str, tuple[tuple[str, ...], dict[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        finalize(self, rmtree, self._folder, ignore_errors=True)

    def refs(self, repo: Repo, request: Request) -> Reply:
        """What `info/refs` says: capabilities and, in the older protocols, every ref."""
        if request.query.get("service") != "git-upload-pack":
            return Reply(403, {}, Bytes(b"only git-upload-pack is served"))
        out = self._upload_pack(repo, request, b"", "--http-backend-info-refs")
        if request.headers.get("git-protocol") != "version=2":
            out = b"001e# service=git-upload-pack\n0000" + out
        return _answer("advertisement", out)

    def pack(self, repo: Repo, request: Request) -> Reply:
        """What `git-upload-pack` sends for a request: refs, or a pack."""
        body = request.body
        if request.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return _answer("result", self._upload_pack(repo, request, body))

    def _upload_pack(self, repo: Repo, request: Request, body: bytes, *words: str) -> bytes:
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
        if protocol := request.headers.get("git-protocol"):
            env["GIT_PROTOCOL"] = protocol
        command = ["git", "-c", "safe.directory=*", "upload-pack", "--stateless-rpc", *words, str(self._path(repo))]
        return subprocess.run(command, input=body, env=env, capture_output=True, timeout=60, check=False).stdout

    def _path(self, repo: Repo) -> Path:
        """The bare repository, with all that `repo` holds by now."""
        path = Path(self._folder, repo.repo_type, f"{repo.name}.git")
        now = (tuple(repo.commits), dict(repo.refs))
        if self._written.get(str(path)) != now:
            _write(repo, path)
            self._written[str(path)] = now
        return path


def _write(repo: Repo, path: Path) -> None:
    for folder in ("objects", "refs/heads"):
        (path / folder).mkdir(parents=True, exist_ok=True)
    (path / "config").write_text(_CONFIG)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    for commit in repo.commits.values():
        for oid, kind, body in commit.objects():
            loose = path / "objects" / oid[:2] / oid[2:]
            if not loose.exists():
                loose.parent.mkdir(exist_ok=True)
                loose.write_bytes(zlib.compress(kind + b" %d\0" % len(body) + body, 1))
    for ref, oid in repo.refs.items():
        (path / ref).parent.mkdir(parents=True, exist_ok=True)
        (path / ref).write_text(oid + "\n")


def _answer(kind: str, body: bytes) -> Reply:
    headers = {"Content-Type": f"application/x-git-upload-pack-{kind}", "Cache-Control": "no-cache"}
    return Reply(200, headers, Bytes(body))
