"""Addresses of desired states. No I/O.

desired.toml  /etc/site/                                  a file, a folder
git+https://host/org/repo.git//sites/edge.toml@main       a file or folder of a git repository; also git+ssh, git+file
oci://host/org/desired:site                               an artifact of a registry; also @sha256:…
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.core.addresses import is_this_machine
from orchestrator.core.registries import Repository, is_sha256, parse_repository
from orchestrator.errors import UsageError

_GIT = "git+"
_SCHEMES = ("https", "ssh", "http", "git", "file")
_OPEN = ("http", "git")
"""Protocols on which anybody on the way can put another desired state."""
_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9._][A-Za-z0-9._/-]{0,1023}", re.ASCII)
_EXAMPLE = "for example git+https://git.example/org/fleet.git//sites/edge.toml@main"


@dataclass(frozen=True, slots=True)
class FileAddress:
    """A file or a folder of this machine, as it was written."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A path of a git repository at a ref: a branch, a tag or a commit. `ref` is HEAD where none is named."""

    url: str
    path: str
    ref: str

    @property
    def is_open(self) -> bool:
        """True when others on the way can answer in its place."""
        found = urlsplit(self.url)
        return found.scheme in _OPEN and not is_this_machine(found.hostname or "")

    def __str__(self) -> str:
        return f"{_GIT}{self.url}{f'//{self.path}' if self.path else ''}@{self.ref}"


@dataclass(frozen=True, slots=True)
class ArtifactAddress:
    """An artifact of an OCI registry at a tag or a digest."""

    repository: Repository
    reference: str

    @property
    def is_open(self) -> bool:
        """True when others on the way can answer in its place: what a digest names they cannot."""
        found = urlsplit(self.repository.registry)
        is_near = is_this_machine(found.hostname or "")
        return found.scheme in _OPEN and not is_near and not is_sha256(self.reference)

    def __str__(self) -> str:
        return f"{self.repository}{'@' if is_sha256(self.reference) else ':'}{self.reference}"


SourceAddress = FileAddress | GitAddress | ArtifactAddress


def parse_source(text: str) -> SourceAddress:
    """Parse an address. Raises UsageError."""
    if text.startswith(_GIT):
        return _git(text)
    if text.startswith(("oci://", "oci+http://", "oci+https://")):
        repository, reference = parse_repository(*text.split("://", 1))
        if not reference:
            raise UsageError(f"{text!r} names no tag", hint=f"for example {text}:site")
        return ArtifactAddress(repository, reference)
    if "://" in text and not text.startswith("file://"):
        raise UsageError(f"{text!r} is not the address of a desired state", hint=_EXAMPLE)
    path = text.removeprefix("file://")
    if not path or path == "-" or "\0" in path:
        raise UsageError(f"{text!r} is no file that can be followed", hint=_EXAMPLE)
    return FileAddress(path)


def is_state(text: str) -> bool:
    """True for an address that can only be that of a desired state, and not the name of a list."""
    return text.startswith((_GIT, "oci://", "oci+http://", "oci+https://"))


def _git(text: str) -> GitAddress:
    scheme, separator, rest = text.removeprefix(_GIT).partition("://")
    if not separator or scheme not in _SCHEMES:
        raise UsageError(f"{text!r} is not the address of a git repository", hint=_EXAMPLE)
    rest, _, ref = _parted(rest)
    where, _, path = rest.partition("//")
    ref = ref or "HEAD"
    if not _REF.fullmatch(ref) or ".." in ref or ref.endswith((".lock", "/", ".")):
        raise UsageError(f"{text!r}: {ref!r} is not a ref of git", hint=_EXAMPLE)
    path = path.strip("/")
    if path and (not _PATH.fullmatch(path) or posixpath.normpath(path) != path or path.startswith("..")):
        raise UsageError(f"{text!r}: {path!r} is not a path of a repository", hint=_EXAMPLE)
    url = f"{scheme}://{where}"
    try:
        found = urlsplit(url)
        has_login = found.password is not None or (found.username is not None and scheme != "ssh")
        is_bad = not where or any(character <= " " or character in "\x7f\\" for character in where)
    except ValueError:
        is_bad, has_login = True, False
    if has_login:
        raise UsageError(
            "an address of git holds a login; that ends up in logs and in the list of processes",
            hint="put it into ~/.netrc (0600), or use git+ssh:// with a key",
        )
    if is_bad or (scheme != "file" and (not found.hostname or found.hostname.startswith("-"))):
        raise UsageError(f"{text!r} is not the address of a git repository", hint=_EXAMPLE)
    return GitAddress(url, path, ref)


def _parted(rest: str) -> tuple[str, str, str]:
    """The address before the ref, and the ref: behind the last `@` that comes after the host."""
    host, slash, path = rest.partition("/")
    before, at, ref = path.rpartition("@")
    return (f"{host}{slash}{before}", at, ref) if at else (rest, "", "")
