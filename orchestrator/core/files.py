"""Files as a catalog lists them: digests, paths, and a whole listing that is safe to write to any disk.

A digest and a path that come from the network end up as names on disk. So both are checked when they are constructed,
and a `RepoTree` refuses the whole listing when one entry is unsafe anywhere. Names that only some systems can hold are
no reason for that: see `core/names.py`.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from itertools import pairwise

from orchestrator.core.names import REFUSED_WHOLE, check_path
from orchestrator.errors import ProtocolError, UnsafeError

MAX_FILES = 100_000
MAX_SIZE = 2**63 - 1
MAX_FILE = 16 << 40
"""Bytes of a file: more than any file system of a node holds in one, and few enough for a set of pieces in memory."""
# Formats whose loading runs code: pickles and their containers. Named by `--safe-only`.
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy.pkl", ".mar", ".dill")


class Algorithm(StrEnum):
    """The algorithm of a digest; the value is its prefix in text."""

    SHA256 = "sha256"
    GIT_SHA1 = "git-sha1"


_HEX = {Algorithm.SHA256: re.compile(r"[0-9a-f]{64}"), Algorithm.GIT_SHA1: re.compile(r"[0-9a-f]{40}")}


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """A content digest in lower-case hex. Always well formed once constructed, so it may become a file name."""

    algorithm: Algorithm
    hex: str

    def __post_init__(self) -> None:
        if not _HEX[self.algorithm].fullmatch(self.hex):
            raise UnsafeError(f"{self.hex!r} is not a {self.algorithm} digest")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read the text form `sha256:…` or `git-sha1:…`. Raises UnsafeError."""
        name, _, value = text.partition(":")
        if name not in tuple(Algorithm):
            raise UnsafeError(f"{text!r} is not a digest")
        return cls(Algorithm(name), value)


def git_blob_header(size: int) -> bytes:
    """The header that git hashes before a blob's bytes (gitformat: `blob <decimal size>\\0`)."""
    return b"blob %d\0" % size


def lfs_pointer(sha256: str, size: int) -> bytes:
    """The LFS pointer for these bytes; its text is fixed by the git-lfs v1 specification."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def lfs_pointer_oid(sha256: str, size: int) -> str:
    """git blob sha1 of the LFS pointer for these bytes."""
    pointer = lfs_pointer(sha256, size)
    return hashlib.sha1(git_blob_header(len(pointer)) + pointer, usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a listing.

    `size` is in bytes. `digest` proves the content. `git_oid` is the blob sha1 that git knows for the path (for an LFS
    file that of its pointer), None where the catalog does not tell. `is_lfs` files are served by redirect to a CDN.
    """

    path: str
    size: int
    digest: Digest
    is_lfs: bool
    git_oid: str | None = None

    def __post_init__(self) -> None:
        check_path(self.path)
        if not 0 <= self.size <= MAX_FILE:
            raise UnsafeError(f"{self.path!r} claims {self.size} bytes", file=self.path)

    @property
    def blob_name(self) -> str:
        """Name in the cache's `blobs/`: the ETag that the Hub would send."""
        return self.digest.hex

    @property
    def has_usual_pointer(self) -> bool:
        """False for an LFS file whose pointer in git is not the text that git-lfs writes (CRLF, an old version)."""
        return not self.is_lfs or self.git_oid in (None, lfs_pointer_oid(self.digest.hex, self.size))

    @property
    def is_pickle(self) -> bool:
        """True for formats whose loading may run code."""
        return self.path.lower().endswith(_PICKLES)


@dataclass(frozen=True, slots=True)
class RepoTree:
    """All files of one commit, safe as a whole. Use `RepoTree.checked` for anything from outside.

    `left_out` are entries that the catalog listed and that are no files to us, such as submodules. They are told once,
    when the listing is asked for, and belong to no comparison.
    """

    commit: str
    files: tuple[RepoFile, ...]
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def checked(cls, commit: str, files: Iterable[RepoFile], left_out: tuple[str, ...] = ()) -> RepoTree:
        """Build a tree, or raise UnsafeError or ProtocolError when the listing as a whole cannot be trusted to disk.

        Refused: over `MAX_FILES` entries, one path twice, a file that is also a folder.
        """
        listed = tuple(sorted(files, key=lambda file: file.path))
        if len(listed) > MAX_FILES:
            raise ProtocolError(f"the listing holds {len(listed)} files; at most {MAX_FILES} are accepted")
        paths = {file.path for file in listed}
        if len(paths) < len(listed):
            twice = next(one.path for one, other in pairwise(listed) if one.path == other.path)
            raise _contradiction(f"{twice!r} twice", twice)
        for file in listed:
            folder = file.path.rpartition("/")[0]
            while folder:
                if folder in paths:
                    raise _contradiction(f"{folder!r} as a file and as a folder", file.path)
                folder = folder.rpartition("/")[0]
        return cls(commit, listed, left_out)

    def file(self, path: str) -> RepoFile | None:
        """The file at a path."""
        at = bisect_left(self.files, path, key=lambda file: file.path)
        return self.files[at] if at < len(self.files) and self.files[at].path == path else None

    def has_plain(self, algorithm: Algorithm) -> bool:
        """True when every file outside LFS has a digest of this algorithm, which differs between kinds of catalogs."""
        return all(file.is_lfs or file.digest.algorithm is algorithm for file in self.files)

    @property
    def total_size(self) -> int:
        """Bytes of all files, each path counted."""
        return sum(file.size for file in self.files)

    def select(self, include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> RepoTree:
        """The files that match any `include` (all, when empty) and no `exclude`.

        Globs are those of huggingface_hub: `fnmatch` on the whole path, `*` also crosses `/`, and a pattern that ends
        with `/` means everything below.
        """
        is_wanted = selector(include, exclude)
        return RepoTree(self.commit, tuple(file for file in self.files if is_wanted(file.path)), self.left_out)


def selector(include: tuple[str, ...], exclude: tuple[str, ...]) -> Callable[[str], bool]:
    """The choice of `RepoTree.select`, for a path."""
    wanted = tuple(_folder_glob(pattern) for pattern in include) or ("*",)
    unwanted = tuple(_folder_glob(pattern) for pattern in exclude)

    def is_wanted(path: str) -> bool:
        return any(fnmatchcase(path, glob) for glob in wanted) and not any(fnmatchcase(path, glob) for glob in unwanted)

    return is_wanted


def literal(path: str) -> str:
    """The glob that matches this path only."""
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def _folder_glob(pattern: str) -> str:
    return pattern + "*" if pattern.endswith("/") else pattern


def _contradiction(what: str, path: str) -> UnsafeError:
    return UnsafeError(f"the listing holds {what}; nothing was written", hint=REFUSED_WHOLE, file=path)
