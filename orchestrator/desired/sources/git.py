"""A path of a git repository as a source, asked by the git program.

A repository is somebody else's input: git runs no hook, no filter and no helper of it, follows no submodule, checks out
nothing, speaks the one protocol that was named, checks all objects, and is bounded in bytes and time. It works in a
folder of its own that goes away again, so nothing grows and nothing is left half after a kill.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.core.refs import is_commit
from orchestrator.core.text import printable
from orchestrator.desired.sources.interface import MOST
from orchestrator.desired.wish.address import GitAddress
from orchestrator.errors import (
    CommandNotFoundError,
    ConfigError,
    FileAbsentError,
    Interrupted,
    RevisionAbsentError,
    TemporaryError,
    TrustError,
    UnsafeError,
)
from orchestrator.platform.processes import KILL, signal_group
from orchestrator.system.children import TiedChild

PATIENCE = 120.0
"""Seconds that one call of git may take."""
_LARGEST = 256 << 20
"""Bytes of a file that git may write: the pack of one commit of the repository."""
_MEMORY = 4 << 30
"""Bytes of memory that git may ask for: what is packed in a few may unfold to very many."""
_STEP = 0.05
_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"),
)
_SAFE = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.attributesFile": os.devnull,
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "gpg.x509.program": "false",  # it believes what the system trusts
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "protocol.allow": "never",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.fsckObjects": "true",
}
_LS_TREE = re.compile(rb"(\d{6}) (\w+) ([0-9a-f]{40,64}) +(\d+|-)\t(.*)", re.DOTALL)
# With `ulimit` the kernel holds the bound, whatever git and its children do.
_BOUNDS = f"ulimit -f {_LARGEST // 512} && {{ ulimit -v {_MEMORY // 1024} 2>/dev/null || :; }}"
_BOUNDED = ("/bin/sh", "-c", f'{_BOUNDS} && exec "$@"', "sh")


@dataclass(frozen=True, slots=True)
class GitRules:
    """Rules for git: `ca_bundle` are certificates, `signers` a file of ssh keys that may sign (allowed_signers), or
    a folder with a keyring of gpg (GNUPGHOME)."""

    ca_bundle: Path | None = None
    signers: Path | None = None


class GitSource:
    """Implements `DesiredSource`. `stop` ends a call that is under way."""

    is_near = False

    def __init__(self, address: GitAddress, rules: GitRules, environ: Mapping[str, str], stop: threading.Event) -> None:
        self._address = address
        self._rules = rules
        self._git = _Git(address.url, rules, environ, stop)
        self._known: tuple[str, str] | None = None
        if address.is_open and rules.signers is None:
            raise ConfigError(
                f"anybody on the way can answer in the place of {address.url}",
                hint="use https or ssh, or ask for signed commits: --allowed-signers FILE",
            )

    def look(self) -> str:
        return self._find()[1]

    @contextlib.contextmanager
    def open(self) -> Iterator[GitTree]:
        name, _ = self._known or self._find()
        with _folder() as folder:
            run = partial(self._git.run, folder)
            run("init", "-q", "--bare", "--template=", ".")
            run("fetch", "-q", "--depth=1", "--no-tags", "--end-of-options", self._address.url, f"+{name}:refs/wanted")
            commit = run("rev-parse", "--verify", "-q", "refs/wanted^{commit}").decode().strip()
            if self._rules.signers is not None:
                self._verify(folder, commit)
            told = run("log", "-1", "--no-show-signature", "--format=%ct", commit).decode().strip()
            yield GitTree(commit, int(told) if told.isdigit() else 0, self._address.path, run)

    def _find(self) -> tuple[str, str]:
        """The full name of the ref, and what it stands for now: a branch goes before a tag."""
        ref, url = self._address.ref, self._address.url
        if is_commit(ref):
            return ref, ref
        named = (ref,) if ref == "HEAD" else (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
        with _folder() as folder:
            told = self._git.run(folder, "ls-remote", "--end-of-options", url, *named)
        lines = (line.partition("\t") for line in told.decode("utf-8", "replace").splitlines())
        found = {name: commit for commit, _, name in lines}
        for name in named:
            if name in found:
                self._known = name, found[name]
                return self._known
        raise RevisionAbsentError(f"{url} has no {ref!r}", hint="a branch, a tag or a commit")

    def _verify(self, folder: Path, commit: str) -> None:
        try:
            self._git.run(folder, "verify-commit", commit)
        except TemporaryError as error:
            raise TrustError(
                f"the commit {commit[:12]} of {self._address.url} is not signed by anybody in {self._rules.signers}",
                hint="sign it: git commit -S",
                details=error.details,
            ) from error


class GitTree:
    """Implements `SourceTree` for one commit."""

    def __init__(self, commit: str, moment: int, path: str, run: Callable[..., bytes]) -> None:
        self.revision = commit
        self.moment = moment
        self._run = run
        self._contents: dict[str, bytes] = {}
        # What it was told to follow: a file has a name, a folder has none.
        entry = self._entry(path) if path else ("tree", "", 0)
        if entry is None:
            raise FileAbsentError(f"the commit {commit[:12]} has no {path!r}", file=path)
        is_folder = entry[0] == "tree"
        self._folder = f"{path}/" if path and is_folder else "".join(path.rpartition("/")[:2])
        self.top = None if is_folder else path.rpartition("/")[2]

    def read(self, name: str) -> bytes:
        if name in self._contents:
            return self._contents[name]
        path = f"{self._folder}{name}"
        entry = self._entry(path)
        if entry is None:
            raise FileAbsentError(f"the commit {self.revision[:12]} has no {path!r}", file=path)
        kind, name_of_blob, size = entry
        if kind != "blob":
            raise UnsafeError(f"{path!r} is no file in the commit {self.revision[:12]}, but a {kind}", file=path)
        if size > MOST:
            raise UnsafeError(f"{path!r} has {size} bytes; a file of a desired state has at most {MOST}", file=path)
        self._contents[name] = self._run("cat-file", "blob", name_of_blob)
        return self._contents[name]

    def _entry(self, path: str) -> tuple[str, str, int] | None:
        told = self._run("--literal-pathspecs", "ls-tree", "-z", "-l", "--full-tree", self.revision, "--", path)
        for line in told.split(b"\0"):
            match = _LS_TREE.fullmatch(line)
            if match and match[5] == path.encode():
                mode, kind, name, size = match[1], match[2].decode(), match[3].decode(), match[4]
                if kind == "blob" and mode not in (b"100644", b"100755"):
                    kind = "link"
                return kind, name, int(size) if size != b"-" else 0
        return None


class _Git:
    def __init__(self, url: str, rules: GitRules, environ: Mapping[str, str], stop: threading.Event) -> None:
        self._url = url
        self._rules = rules
        self._stop = stop
        self._environ = {name: environ[name] for name in _KEPT if name in environ}
        scheme = urlsplit(url).scheme
        self._options = {**_SAFE, f"protocol.{scheme}.allow": "always"}

    def run(self, folder: Path, *words: str) -> bytes:
        """The output of one call of git. Raises TemporaryError when it fails, Interrupted, CommandNotFoundError."""
        options = dict(self._options)
        environ = {
            **self._environ,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oClearAllForwardings=yes",
            "GIT_CEILING_DIRECTORIES": str(folder),
            "LC_ALL": "C",
            "GNUPGHOME": str(folder / "gnupg"),
        }
        signers = self._rules.signers
        if signers is not None and signers.is_dir():
            environ["GNUPGHOME"] = str(signers)
        elif signers is not None:
            options["gpg.ssh.allowedSignersFile"] = str(signers)
        if self._rules.ca_bundle is not None:
            environ["GIT_SSL_CAINFO"] = str(self._rules.ca_bundle)
        told = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                process = TiedChild(
                    [*_BOUNDED, "git", *told, *words],
                    cwd=folder,
                    env=environ,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                raise CommandNotFoundError(f"git cannot be started: {error.strerror}") from error
            code = self._await(process)
            out.seek(0)
            err.seek(0)
            if code == 127:
                raise CommandNotFoundError("there is no command 'git'", hint="install git")
            if code != 0:
                lines = tuple(
                    printable(line) for line in err.read(65536).decode("utf-8", "replace").splitlines() if line
                )
                raise TemporaryError(
                    f"git {_verb(words)} of {self._url} failed: {_reason(lines) or f'exit code {code}'}",
                    source=self._url,
                    details=lines[-8:],
                )
            return out.read(MOST + 1)

    def _await(self, process: subprocess.Popen[bytes]) -> int:
        deadline = time.monotonic() + PATIENCE
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(_STEP)
                if self._stop.is_set():
                    raise Interrupted(getattr(self._stop, "signal_number", 2))
                if time.monotonic() > deadline:
                    raise TemporaryError(f"git did not end within {PATIENCE:g} s; it was stopped", source=self._url)
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    # git starts helpers, which end with their group.
                    signal_group(process.pid, KILL)
                process.wait()


def _reason(lines: tuple[str, ...]) -> str | None:
    """The line that says why: the first, before git's advice, that is no warning and no hint."""
    return next((line for line in lines if not line.lower().startswith(("warning:", "hint:"))), None)


def _verb(words: tuple[str, ...]) -> str:
    return next(word for word in words if not word.startswith("-"))


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="glm-aria-git-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
