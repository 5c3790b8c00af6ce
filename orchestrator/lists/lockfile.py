"""Lock files: the bytes of a set of models, from any source. Text in, text out.

    version = 1

    [[model]]
    ref = "org/name@main"
    commit = "40 hex"
    trust = "root"                        # how far the listing was proven when it was locked
    source = "https://huggingface.co"     # by whom
    pinned = "oci://host/org/name@sha256:64 hex"   # only of a registry: the whole digest of its manifest,
    called = "1.2.0"                      # and what a registry of models calls the commit
    include = ["*.json"]                  # only where the pull had globs; so has exclude
    files = [
      { path = "config.json", size = 17, git = "40 hex", sha256 = "64 hex" },
      { path = "model.safetensors", size = 9, git = "40 hex", sha256 = "64 hex", lfs = true },
    ]

Each file has both digests of its content, so that any catalog's listing can be compared with it: `sha256`, and `git`,
which for an LFS file is the blob id of its pointer. Models and files are sorted and have a line each, nothing changes
with time, and so a version control shows just what changed.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.core.dialects import Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, lfs_pointer_oid, literal
from orchestrator.core.refs import Ref, is_commit, names_revision, parse_ref
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, UsageError
from orchestrator.lists.toml import parse_toml
from orchestrator.lists.wanted import group

NAME = "glm-aria.lock"
_VERSION = 1
_MODEL_KEYS = {"ref", "commit", "pinned", "called", "trust", "source", "confirmed_by", "include", "exclude", "files"}
_FILE_KEYS = {"path", "size", "git", "sha256", "lfs"}
_HEAD = "# Made by `glm-aria pull --lock`. `glm-aria pull --locked` fetches exactly these bytes, from anybody.\n"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """A file by its bytes. `git_oid` is git's blob id of the path: for an LFS file that of its pointer."""

    path: str
    size: int
    git_oid: str
    sha256: str
    is_lfs: bool = False

    @classmethod
    def of_lfs(cls, path: str, size: int, sha256: str, git_oid: str | None = None) -> LockedFile:
        """A file that git knows by its LFS pointer, which has the id `git_oid`: None for the one git-lfs writes."""
        return cls(path, size, git_oid or lfs_pointer_oid(sha256, size), sha256, True)

    def as_listed(self, kind: Dialect) -> RepoFile:
        """The file as a catalog of `kind` lists it. Raises UnsafeError for a path that must not be written."""
        if not self.is_lfs and kind.plain_digest is Algorithm.GIT_SHA1:
            return RepoFile(self.path, self.size, Digest(Algorithm.GIT_SHA1, self.git_oid), False, self.git_oid)
        oid = self.git_oid if self.is_lfs else None
        return RepoFile(self.path, self.size, Digest(Algorithm.SHA256, self.sha256), self.is_lfs, oid)


@dataclass(frozen=True, slots=True)
class LockedModel:
    """A ref tied to a commit, and the bytes of the files that were pulled: all of the commit when there are no globs.

    `trust` tells how far the listing was proven when the lock was made. `pinned` is the ref at which the bytes lie, and
    `version` what the site calls the commit, as `ResolvedModel` has them.
    """

    ref: Ref
    commit: str
    trust: Trust
    files: tuple[LockedFile, ...]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    pinned: Ref | None = None
    version: str | None = None

    @property
    def fixed(self) -> Ref:
        """The ref that names the locked commit itself, at the catalog that is to be asked about it."""
        if self.pinned is None:
            return replace(self.ref, revision=self.commit)
        try:
            return replace(self.ref, revision=self.pinned.revision)
        except UsageError:
            return self.pinned

    @property
    def is_whole(self) -> bool:
        """True when it names every file of the commit."""
        return not self.include and not self.exclude

    def beside(self, other: LockedModel) -> LockedModel:
        """The same ref with the files of both; with the other's alone where it has moved to another commit."""
        if self.commit != other.commit or other.is_whole:
            return other
        if self.is_whole:
            return self
        by_path = {file.path: file for file in (*self.files, *other.files)}
        files = tuple(by_path[path] for path in sorted(by_path))
        if self.exclude == other.exclude and self.include and other.include:
            include = tuple(dict.fromkeys((*self.include, *other.include)))
            return replace(other, files=files, include=include)
        return replace(other, files=files, include=tuple(literal(file.path) for file in files), exclude=())

    def tree(self) -> RepoTree:
        """The locked files as a listing. Raises UnsafeError when they are not safe together."""
        return RepoTree.checked(self.commit, (file.as_listed((self.pinned or self.ref).catalog) for file in self.files))


@dataclass(frozen=True, slots=True)
class Lock:
    """All models of a lock file, each ref once."""

    models: tuple[LockedModel, ...] = ()

    def with_models(self, models: Iterable[LockedModel]) -> Lock:
        """The lock after these models were locked again; the others stay. A ref that comes twice, with other files, has
        the files of both."""
        fresh: dict[str, LockedModel] = {}
        for model in models:
            before = fresh.get(str(model.ref))
            fresh[str(model.ref)] = before.beside(model) if before else model
        by_ref = {str(model.ref): model for model in self.models} | fresh
        return Lock(tuple(by_ref[ref] for ref in sorted(by_ref)))

    def choose(self, texts: Sequence[str], name: str) -> tuple[LockedModel, ...]:
        """The models that REFs name: without `@revision` all of that repo, and all of the file without a REF.

        Raises UsageError for one that the file, called `name`, does not hold.
        """
        if not texts:
            return self.models
        chosen: dict[str, LockedModel] = {}
        for text in texts:
            ref = parse_ref(text)
            found = [
                model
                for model in self.models
                if (model.ref.repo, model.ref.catalog, model.ref.site) == (ref.repo, ref.catalog, ref.site)
                and (not names_revision(text) or ref.revision == model.ref.revision or ref.commit == model.commit)
            ]
            if not found:
                hint = f"glm-aria pull {shlex.quote(text)} --lock {shlex.quote(name)} adds it"
                if any(text in wanted.files for wanted in group(texts)):
                    hint = f"--locked fetches all that is locked of a model: leave out {text!r}"
                raise UsageError(f"{text} is not in {name}", hint=hint)
            chosen |= {str(model.ref): model for model in found}
        return tuple(chosen.values())


# -- reading


def parse_lock(text: str, name: str) -> Lock:
    """Read a lock file; `name` is put in errors. Raises UsageError, with the line, or the model and the file in it."""
    try:
        data = parse_toml(text)
    except ValueError as error:
        raise UsageError(f"{name}: not valid TOML: {error}", hint="restore it from version control") from error
    version = data.pop("version", None)
    if type(version) is not int or version != _VERSION:
        what = "it has no version" if version is None else f"its version is {version!r}, and {_VERSION} is known"
        raise UsageError(f"{name} cannot be read as a lock file: {what}", hint="was it made by a newer glm-aria?")
    entries = data.pop("model", [])
    if data or not isinstance(entries, list):
        raise UsageError(
            f"{name}: it may hold version and [[model]], not {', '.join(sorted(data)) or 'a single model'}"
        )
    models: dict[str, LockedModel] = {}
    for number, entry in enumerate(entries, 1):
        where = f"{name}: [[model]] {number}"
        model = _model(entry, where)
        if str(model.ref) in models:
            raise UsageError(f"{where}: {model.ref} is listed twice")
        models[str(model.ref)] = model
    return Lock(tuple(models[ref] for ref in sorted(models)))


def _model(entry: object, where: str) -> LockedModel:
    found = _table(entry, _MODEL_KEYS, where)
    text = _text(found, "ref", where)
    where = f"{where} ({text})"
    commit, level = _text(found, "commit", where), _text(found, "trust", where)
    if not is_commit(commit):
        raise UsageError(f"{where}: {commit!r} is not a commit of 40 hexadecimal digits")
    if level not in tuple(Level):
        raise UsageError(f"{where}: {level!r} is not a trust level", hint=", ".join(Level))
    pinned = parse_ref(_text(found, "pinned", where)) if "pinned" in found else None
    if pinned is not None and pinned.commit != commit:
        raise UsageError(f"{where}: {pinned} is not the commit {commit}")
    files = found.get("files")
    if not isinstance(files, list):
        raise UsageError(f"{where}: files must be a list")
    try:
        ref = parse_ref(text)
        version = _text(found, "called", where) if "called" in found else None
        if version is not None and not ref.catalog.is_revision(version):
            raise UsageError(f"{where}: {version!r} is not a version of {ref.catalog.title}")
        model = LockedModel(
            ref,
            commit,
            Trust(Level(level).value, _text(found, "source", where), _texts(found, "confirmed_by", where)),
            tuple(sorted((_file(file, f"{where}, file {n}") for n, file in enumerate(files, 1)), key=lambda f: f.path)),
            _texts(found, "include", where),
            _texts(found, "exclude", where),
            pinned,
            version,
        )
        model.tree()
    except UsageError:
        raise
    except GlmAriaError as error:
        raise type(error)(f"{where}: {error.message}", hint="do not use this lock file", file=error.file) from error
    return model


def _file(entry: object, where: str) -> LockedFile:
    found = _table(entry, _FILE_KEYS, where)
    path, size, is_lfs = _text(found, "path", where), found.get("size"), found.get("lfs", False)
    where = f"{where} ({path})"
    if type(size) is not int or size < 0:
        raise UsageError(f"{where}: size must be a number of bytes")
    if not isinstance(is_lfs, bool):
        raise UsageError(f"{where}: lfs must be true or false")
    git, sha256 = _text(found, "git", where), _text(found, "sha256", where)
    for algorithm, digits in ((Algorithm.GIT_SHA1, git), (Algorithm.SHA256, sha256)):
        try:
            Digest(algorithm, digits)
        except GlmAriaError as error:
            raise UsageError(f"{where}: {error.message}") from error
    return LockedFile(path, size, git, sha256, is_lfs)


def _table(entry: object, keys: set[str], where: str) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise UsageError(f"{where}: this is not a table")
    if unknown := sorted(entry.keys() - keys):
        raise UsageError(f"{where}: unknown key {unknown[0]!r}", hint=f"known are {', '.join(sorted(keys))}")
    return entry


def _text(found: Mapping[str, Any], key: str, where: str) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where}: {key} is missing" if value is None else f"{where}: {key} must be a text")
    return value


def _texts(found: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = found.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UsageError(f"{where}: {key} must be a list of texts")
    return tuple(values)


# -- writing


def render_lock(lock: Lock) -> str:
    """The text of a lock file: the same for the same lock, whatever the order of its models and files."""
    blocks = [_HEAD + f"version = {_VERSION}\n"]
    for model in sorted(lock.models, key=lambda model: str(model.ref)):
        lines = ["[[model]]", f"ref = {_quoted(str(model.ref))}", f"commit = {_quoted(model.commit)}"]
        lines += [f"pinned = {_quoted(str(model.pinned))}"] if model.pinned else []
        lines += [f"called = {_quoted(model.version)}"] if model.version else []
        lines += [f"trust = {_quoted(model.trust.level)}", f"source = {_quoted(model.trust.source)}"]
        lists = {"confirmed_by": model.trust.confirmed_by, "include": model.include, "exclude": model.exclude}
        lines += [f"{key} = [{', '.join(map(_quoted, texts))}]" for key, texts in lists.items() if texts]
        lines += ["files = [", *(_line(file) for file in sorted(model.files, key=lambda file: file.path)), "]"]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _line(file: LockedFile) -> str:
    lfs = ", lfs = true" if file.is_lfs else ""
    return (
        f"  {{ path = {_quoted(file.path)}, size = {file.size}, "
        f"git = {_quoted(file.git_oid)}, sha256 = {_quoted(file.sha256)}{lfs} }},"
    )


def _quoted(text: str) -> str:
    """A basic string of TOML. Its escapes are those of JSON, which also spells out what is not printable ASCII; a
    character beyond U+FFFF, which JSON writes as a surrogate pair, stands for itself."""
    return f'"{"".join(json.dumps(c)[1:-1] if ord(c) < 0x7F else _escaped(c) for c in text)}"'


def _escaped(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"
