"""The git objects of one commit, from any site that serves git: by the real git, kept on a short leash.

`git fetch --depth=1 --filter=blob:limit=N` into a bare repository that lives for the call, then `git cat-file` (git's
documentation: partial-clone, protocol-v2). git parses what a stranger sends; what it hands out is believed only as far
as `catalogs.commit_chain` proves it. Why git and not a library: docs/decisions/0022.

No setting, hook, helper, `.netrc`, token or password of the user reaches git: its environment is made from nothing,
its home is the temporary folder, and it may speak http or https only. Proxy and certificates are those of `Net`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.catalogs.commit_chain import SMALL, GitObject
from orchestrator.core.refs import is_commit
from orchestrator.errors import ProtocolError, TemporaryError, TrustError
from orchestrator.net.addresses import redact, split
from orchestrator.net.session import Net
from orchestrator.platform.processes import KILL, signal_group

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": "10",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "protocol.version": "2",
    "transfer.bundleURI": "false",
}
# A process cannot be limited before it starts without running code between fork and exec, which threads forbid.
# $1: blocks of 512 bytes that a file may have (POSIX); $2: KiB of memory, where the system can limit it.
_LEASH = 'ulimit -f "$1" || exit 1; ulimit -v "$2" 2>/dev/null; shift 2; exec "$@"'
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class GitLimits:
    """Bounds of one call: seconds, bytes of the pack as sent, bytes of its objects, bytes of memory for git."""

    deadline: float = 60.0
    pack: int = 32 * 1024 * 1024
    objects: int = 64 * 1024 * 1024
    memory: int = 2 * 1024 * 1024 * 1024


class GitReader:
    """Implements `CommitObjects` with the `git` of the PATH. Thread-safe; `is_stopped` ends a call early."""

    def __init__(
        self, net: Net, *, limits: GitLimits | None = None, is_stopped: Callable[[], bool] = lambda: False
    ) -> None:
        self._net = net
        self._limits = limits or GitLimits()
        self._is_stopped = is_stopped

    def objects(self, url: str, commit: str) -> dict[str, GitObject]:
        """See `CommitObjects.objects`."""
        split(url)
        if not is_commit(commit):
            raise ProtocolError(f"{commit[:80]!r} is not a commit")
        if shutil.which("git") is None:
            raise TrustError(
                "git is not installed, and without it a commit cannot be verified",
                hint="install git, or choose another --trust",
            )
        try:
            with tempfile.TemporaryDirectory(prefix="glm-aria-git-", ignore_cleanup_errors=True) as folder:
                return _Fetched(Path(folder), url, self._environment(url, folder), self._limits, self._is_stopped).read(
                    commit
                )
        except OSError as error:
            raise TrustError(
                f"git cannot be run in a temporary folder: {error.strerror}", hint="set TMPDIR to a folder with room"
            ) from error

    def _environment(self, url: str, folder: str) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": folder,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            **self._net.way_to(url),
        }


@dataclass(frozen=True, slots=True)
class _Fetched:
    """One bare repository in `folder`, from `git init` to what it holds."""

    folder: Path
    url: str
    environment: dict[str, str]
    limits: GitLimits
    is_stopped: Callable[[], bool]

    def read(self, commit: str) -> dict[str, GitObject]:
        deadline = time.monotonic() + self.limits.deadline
        self._git(deadline, "init", "--quiet", "--bare", "--template=", str(self._repository))
        filtered = f"--filter=blob:limit={SMALL}"
        scheme = urlsplit(self.url).scheme
        self._git(
            deadline, "fetch", "--quiet", "--no-tags", "--depth=1", filtered, "--", self.url, commit, protocols=scheme
        )
        # What a server sent in spite of the filter is not read.
        listed = self._git(
            deadline, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype) %(objectsize)"
        )
        wanted, total = [], 0
        for line in listed.decode("ascii", "replace").splitlines():
            oid, kind, size = line.split(" ")
            if kind in ("commit", "tree") or (kind == "blob" and int(size) < SMALL):
                wanted.append(oid)
                total += int(size)
        if total > self.limits.objects:
            raise ProtocolError(f"the git objects of {commit} are larger than {self.limits.objects} bytes")
        return _parse(self._git(deadline, "cat-file", "--batch", standard_input="\n".join(wanted) + "\n"))

    @property
    def _repository(self) -> Path:
        return self.folder / "objects.git"

    def _git(self, deadline: float, *words: str, protocols: str = "", standard_input: str = "") -> bytes:
        """The output of `git WORDS`. `protocols` are the only ones it may use; with none it cannot reach the
        network."""
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        leash = ["sh", "-c", _LEASH, "sh", str(self.limits.pack // 512), str(self.limits.memory // 1024)]
        where = [] if words[0] == "init" else [f"--git-dir={self._repository}"]
        process = subprocess.Popen(
            [*leash, "git", *settings, *where, *words],
            cwd=self.folder,
            env=self.environment | {"GIT_ALLOW_PROTOCOL": protocols or "none"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, complaint = self._wait(process, standard_input.encode(), deadline)
        finally:
            # git has helpers; the whole group goes, also when a signal's exception ends the wait.
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    signal_group(process.pid, KILL)
                process.communicate()
        if process.returncode != 0:
            said = _last_line(complaint, process.returncode)
            raise ProtocolError(f"git could not fetch from {redact(self.url)}: {said}")
        return out

    def _wait(self, process: subprocess.Popen[bytes], given: bytes, deadline: float) -> tuple[bytes, bytes]:
        first: bytes | None = given
        while True:
            try:
                return process.communicate(first, timeout=_PAUSE)
            except subprocess.TimeoutExpired:
                first = None
            if self.is_stopped() or time.monotonic() > deadline:
                raise TemporaryError(
                    f"git did not finish fetching from {redact(self.url)} within {self.limits.deadline:g} s",
                    hint="run the same command again",
                )


def _last_line(complaint: bytes, code: int) -> str:
    if b"could not read Username" in complaint:
        return "it asks for a login, and none is sent with git"
    lines: Sequence[str] = complaint.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else f"it ended with {code}"


def _parse(text: bytes) -> dict[str, GitObject]:
    """`cat-file --batch`: `<id> <kind> <size>`, a newline, the content, a newline; for each object."""
    found: dict[str, GitObject] = {}
    at = 0
    while at < len(text):
        end = text.index(b"\n", at)
        oid, kind, size = text[at:end].decode("ascii").split(" ")
        found[oid] = GitObject(kind, text[end + 1 : end + 1 + int(size)])
        at = end + 2 + int(size)
    return found
