"""Repositories as the Hub keeps them: refs that name commits, commits that name files, files that are blobs or LFS.

Object ids are the true git ones (blob, tree and commit objects), so what a client recomputes agrees. Refs are kept
under their full names (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`); a request may also name a branch, a tag or
40 hex.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tests.hub.content import Content, content_of, git_blob_oid, lfs_pointer, sha256_of

Source = bytes | Path | Content
RepoType = Literal["model", "dataset", "space"]

LFS_SUFFIXES = (".safetensors", ".bin", ".gguf", ".pt", ".onnx", ".npz", ".parquet", ".zip", ".model")
LFS_THRESHOLD = 10 << 20
"""The Hub takes no plain git file above 10 MiB."""

_EPOCH = 1_700_000_000


@dataclass(frozen=True)
class RepoFile:
    """One file of a commit. `sha256` is set for LFS only; `oid` is the git blob hash (of the pointer, for LFS)."""

    path: str
    content: Content
    oid: str
    sha256: str | None = None
    newline: bytes = b"\n"

    @classmethod
    def of(cls, path: str, source: Source, *, lfs: bool | None = None, newline: bytes = b"\n") -> RepoFile:
        """Make a file; without `lfs` the suffix and size decide, as .gitattributes and the Hub's threshold do.

        `newline` ends the lines of its LFS pointer: git-lfs writes a plain one, and reads others.
        """
        content = content_of(source)
        if lfs is None:
            lfs = path.endswith(LFS_SUFFIXES) or content.size > LFS_THRESHOLD
        if not lfs:
            return cls(path, content, git_blob_oid(content.read(0, content.size)))
        sha256 = sha256_of(content)
        pointer = lfs_pointer(sha256, content.size).replace(b"\n", newline)
        return cls(path, content, git_blob_oid(pointer), sha256, newline)

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def etag(self) -> str:
        """What the Hub puts in X-Linked-Etag or ETag, and what names the blob in the cache."""
        return self.sha256 or self.oid

    @property
    def pointer(self) -> bytes:
        return lfs_pointer(self.sha256 or "", self.size).replace(b"\n", self.newline)


@dataclass(frozen=True)
class Commit:
    """One commit: its 40-hex id, its files by path in sorted order, and the git tree id of each folder."""

    files: Mapping[str, RepoFile]
    parent: str | None
    title: str
    number: int
    salt: str

    @cached_property
    def _folders(self) -> dict[str, tuple[str, bytes]]:
        """Folder path -> (git tree id, the tree object's body); the root is the empty string."""
        children: dict[str, dict[str, tuple[bytes, str]]] = {"": {}}
        for path, file in self.files.items():
            folder, _, name = path.rpartition("/")
            children.setdefault(folder, {})[name] = (b"100644", file.oid)
            while folder:
                folder, _, _ = folder.rpartition("/")
                children.setdefault(folder, {})
        made: dict[str, tuple[str, bytes]] = {}
        for folder in sorted(children, key=lambda path: (-path.count("/") - bool(path), path)):
            # Git sorts a folder as though its name ended in a slash.
            entries = sorted(children[folder].items(), key=lambda item: item[0] + "/" * (item[1][0] == b"40000"))
            body = b"".join(mode + b" " + name.encode() + b"\0" + bytes.fromhex(oid) for name, (mode, oid) in entries)
            made[folder] = (_object_id(b"tree", body), body)
            if folder:
                above, _, name = folder.rpartition("/")
                children[above][name] = (b"40000", made[folder][0])
        return dict(sorted(made.items()))

    @cached_property
    def trees(self) -> dict[str, str]:
        """Folder path -> git tree id; the root is the empty string."""
        return {folder: oid for folder, (oid, _) in self._folders.items()}

    @property
    def text(self) -> bytes:
        """The body of the commit object."""
        who = f"Loopback <hub@example.invalid> {_EPOCH + self.number} +0000"
        parent = f"parent {self.parent}\n" if self.parent else ""
        return (
            f"tree {self.trees['']}\n{parent}author {who}\ncommitter {who}\n\n{self.title}\n\n{self.salt}\n"
        ).encode()

    @cached_property
    def oid(self) -> str:
        return _object_id(b"commit", self.text)

    def objects(self) -> Iterator[tuple[str, bytes, bytes]]:
        """(id, kind, body) of every git object: the commit, its trees, and its blobs, of LFS files the pointers."""
        yield self.oid, b"commit", self.text
        for oid, body in self._folders.values():
            yield oid, b"tree", body
        for file in self.files.values():
            yield file.oid, b"blob", file.pointer if file.sha256 else file.content.read(0, file.size)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())

    def below(self, folder: str) -> Mapping[str, RepoFile]:
        """The files under `folder`, at any depth."""
        return (
            {path: file for path, file in self.files.items() if path.startswith(folder + "/")} if folder else self.files
        )


@dataclass
class Repo:
    """A repository. `Repo("model", "org/name", {"config.json": b"{}"})` has one commit on `main`.

    `gated` and `private` decide who may read it (see `hub.LoopbackHub`, `tokens`); requests for a name in
    `renamed_from` are redirected here. `downloads`, `likes` and `task` are what a search tells of it.
    """

    repo_type: RepoType
    name: str
    files: Mapping[str, Source | RepoFile]
    gated: Literal[False, "auto", "manual"] = False
    private: bool = False
    disabled: bool = False
    renamed_from: tuple[str, ...] = ()
    downloads: int = 0
    likes: int = 0
    task: str = ""
    commits: dict[str, Commit] = field(default_factory=dict, init=False)
    refs: dict[str, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.commit(self.files, title="initial commit")

    @property
    def head(self) -> str:
        """The commit of `main`, 40 hex."""
        return self.refs["refs/heads/main"]

    def commit(
        self,
        files: Mapping[str, Source | RepoFile] | None = None,
        *,
        remove: tuple[str, ...] = (),
        ref: str = "refs/heads/main",
        title: str = "update",
    ) -> str:
        """Add a commit to `ref` (from `main` if the ref is new) that sets and removes files; return its id."""
        parent = self.refs.get(ref) or self.refs.get("refs/heads/main")
        merged = dict(self.commits[parent].files) if parent else {}
        for path in remove:
            del merged[path]
        for path, source in (files or {}).items():
            merged[path] = source if isinstance(source, RepoFile) else RepoFile.of(path, source)
        salt = f"{self.repo_type}/{self.name}"
        made = Commit(dict(sorted(merged.items())), parent, title, len(self.commits), salt)
        self.commits[made.oid] = made
        self.refs[ref] = made.oid
        return made.oid

    def tag(self, name: str, revision: str = "main") -> str:
        """Point `refs/tags/name` at a revision; return the commit."""
        return self._point(f"refs/tags/{name}", revision)

    def branch(self, name: str, revision: str = "main") -> str:
        """Point `refs/heads/name` at a revision; return the commit."""
        return self._point(f"refs/heads/{name}", revision)

    def pull_request(self, number: int, files: Mapping[str, Source | RepoFile]) -> str:
        """A commit on `refs/pr/number`; return its id."""
        return self.commit(files, ref=f"refs/pr/{number}", title=f"PR {number}")

    def resolve(self, revision: str) -> Commit | None:
        """The commit that a branch, tag, full ref or 40-hex id names."""
        for ref in (f"refs/heads/{revision}", f"refs/tags/{revision}", revision):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        return self.commits.get(revision)

    def _point(self, ref: str, revision: str) -> str:
        commit = self.resolve(revision)
        if commit is None:
            raise KeyError(revision)
        self.refs[ref] = commit.oid
        return commit.oid


def _object_id(kind: bytes, body: bytes) -> str:
    return hashlib.sha1(kind + b" %d\0" % len(body) + body, usedforsecurity=False).hexdigest()
