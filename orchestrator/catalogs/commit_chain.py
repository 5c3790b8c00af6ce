"""Proof of a listing from a commit's name: commit -> trees -> blob ids, each link a hash that is computed here.

A commit's name is the sha1 of its object, which holds the name of the top tree, which holds the names of its blobs and
trees, and so on (git's documentation: gitformat-pack, gitrepository-layout; `man git-hash-object`). The sender of the
objects can omit some, but cannot alter one.

An LFS file is in the tree as its pointer, whose text follows from sha256 and size. A listing could pass a pointer off
as a plain file of 130 bytes, so the contents of all blobs that are small enough to be one belong to the proof.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.core.files import MAX_FILES, RepoFile, RepoTree, lfs_pointer_oid
from orchestrator.errors import ProtocolError

# A pointer is 144 bytes at most: its longest size has 19 digits. Blobs below this limit must be sent.
SMALL = 256
_TREE = b"40000"
_BLOBS = (b"100644", b"100755", b"100664", b"120000")
_SUBMODULE = b"160000"
# What git-lfs reads as a pointer (`DecodeFrom` of lfs/pointer.go): also with CRLF, with blank lines around it, of an
# older version, with extensions.
_POINTER = re.compile(
    rb"\s*version (?:https://git-lfs\.github\.com/spec/v1|https://hawser\.github\.com/spec/v1|http://git-media\.io/v/2)"
    rb"\r?\n(?:ext-\d[^\n]*\n)*oid sha256:([0-9a-f]{64})\r?\nsize (\d{1,19})\s*"
)
_COMMIT = re.compile(rb"tree ([0-9a-f]{40})\n")
_MAX_DEPTH = 256


class GitObject(NamedTuple):
    """One object as git keeps it: `commit`, `tree` or `blob`, and its content."""

    kind: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Chain:
    """The content of a commit: the blob id of each path, and the small blobs by id."""

    commit: str
    blobs: Mapping[str, str]
    small: Mapping[str, bytes]


class Misfit(NamedTuple):
    """A path of which a listing says something else than the commit, and what, as the end of a sentence."""

    path: str
    reason: str


def follow(commit: str, objects: Mapping[str, GitObject]) -> Chain:
    """Walk from the commit to every blob id. Submodules are left out: they are no files of this repo.

    Raises ProtocolError when an object is missing, does not have the hash by which it is named, or is malformed.
    """
    match = _COMMIT.match(_checked(commit, "commit", objects))
    if match is None:
        raise ProtocolError(f"the commit {commit} names no tree")
    blobs: dict[str, str] = {}
    small: dict[str, bytes] = {}
    open_trees = [("", match[1].decode(), 0)]
    entries = 0
    while open_trees:
        folder, oid, depth = open_trees.pop()
        for mode, name, below in _entries(oid, _checked(oid, "tree", objects)):
            entries += 1
            if entries > 2 * MAX_FILES or depth > _MAX_DEPTH:
                raise ProtocolError(f"the trees of {commit} do not end")
            path = f"{folder}{name}"
            if mode == _TREE:
                open_trees.append((f"{path}/", below, depth + 1))
            elif mode in _BLOBS:
                blobs[path] = below
                if below in objects:
                    small[below] = _checked(below, "blob", objects)
            elif mode != _SUBMODULE:
                raise ProtocolError(f"the tree {oid} holds an entry of the unknown mode {mode!r}")
    return Chain(commit, blobs, small)


def misfit(chain: Chain, tree: RepoTree) -> Misfit | None:
    """The first path, in order, where a listing differs from the commit; None when the commit proves all of it."""
    listed = {file.path: file for file in tree.files}
    for path in sorted(chain.blobs.keys() | listed.keys()):
        file, oid = listed.get(path), chain.blobs.get(path)
        if file is None:
            return Misfit(path, "hides it, although the commit holds it")
        if oid is None:
            return Misfit(path, "adds it, although the commit does not hold it")
        reason = _unlike(file, oid, chain.small.get(oid))
        if reason:
            return Misfit(path, reason)
    return None


def _unlike(file: RepoFile, oid: str, content: bytes | None) -> str | None:
    if file.git_oid not in (None, oid):
        return "names other bytes for it than the commit does"
    if file.is_lfs:
        return _unlike_pointer(file, oid, content)
    if file.digest.hex != oid:
        return "names other bytes for it than the commit does"
    if content is None:
        return "claims a size for it that the commit does not prove" if file.size < SMALL else None
    if _POINTER.fullmatch(content):
        return "passes the LFS pointer off as the file"
    return "claims a wrong size for it" if len(content) != file.size else None


def _unlike_pointer(file: RepoFile, oid: str, content: bytes | None) -> str | None:
    if lfs_pointer_oid(file.digest.hex, file.size) == oid:
        return None
    if content is None:
        return "names bytes for it that the commit does not prove, since its LFS pointer was not sent"
    pointed = _POINTER.fullmatch(content)
    if pointed is None or (pointed[1].decode(), int(pointed[2])) != (file.digest.hex, file.size):
        return "names other bytes for it than the commit does"
    return None


def _checked(oid: str, kind: str, objects: Mapping[str, GitObject]) -> bytes:
    found = objects.get(oid)
    if found is None or found.kind != kind:
        raise ProtocolError(f"the {kind} {oid} is missing")
    header = f"{kind} {len(found.body)}\0".encode()
    if hashlib.sha1(header + found.body, usedforsecurity=False).hexdigest() != oid:
        raise ProtocolError(f"the {kind} {oid} has another hash than its name")
    return found.body


def _entries(oid: str, body: bytes) -> list[tuple[bytes, str, str]]:
    """(mode, name, id) of each entry of a tree: `<mode> <name> NUL <20 bytes>`."""
    found = []
    at = 0
    while at < len(body):
        end = body.find(b"\0", at)
        mode, space, name = body[at:end].partition(b" ")
        if end < 0 or not space or len(body) < end + 21:
            raise ProtocolError(f"the tree {oid} is malformed")
        try:
            text = name.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError(f"the tree {oid} holds a name that is not UTF-8") from error
        if not text or "/" in text:
            raise ProtocolError(f"the tree {oid} holds an impossible name")
        found.append((mode, text, body[end + 1 : end + 21].hex()))
        at = end + 21
    return found
