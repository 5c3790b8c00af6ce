"""What a flow works with, made of plain values: catalogs and sources without a server, a cache without a process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from orchestrator.cache.cache import Cache
from orchestrator.cache.claims import ALONE, Grant, Owners
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.state_dir import open_state_dir
from orchestrator.catalogs.commit_chain import GitObject
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import HUGGINGFACE, MODELSCOPE, Dialect
from orchestrator.core.files import Algorithm, Digest, RepoFile, RepoTree, git_blob_header
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref, RepoId, RepoType
from orchestrator.core.sources import Source
from orchestrator.core.trust import Level, Trust
from orchestrator.errors import GlmAriaError, NotFoundError, ProtocolError
from orchestrator.events import Event, Notice
from orchestrator.mirrors.gate import LoopbackGate
from orchestrator.mirrors.sources import Sources
from orchestrator.mirrors.stats import Stats
from orchestrator.net.credentials import Credentials
from orchestrator.net.session import Net
from orchestrator.oci.registries import Registries
from orchestrator.proof.verified import verify
from orchestrator.resolve.resolve import remember

HF, MS = HUGGINGFACE, MODELSCOPE
REPO = RepoId(RepoType.MODEL, "org/m")
ONE, TWO, THREE = ("1" * 40, "2" * 40, "3" * 40)
FILES = {"config.json": b"{}", "a.safetensors": b"a" * 1000, "sub/b.safetensors": b"b" * 2000}
ROOT = Source("root", "https://root.test", is_root=True)
MIRROR = Source("mirror", "https://mirror.test")
OTHER = Source("other", "https://other.test")
SCOPE = Source("scope", "https://scope.test", MS)


def file_of(path: str, data: bytes) -> RepoFile:
    """A file of a listing, small ones with the digest that git gives them."""
    if path.endswith((".safetensors", ".gguf")):
        return RepoFile(path, len(data), Digest(Algorithm.SHA256, hashlib.sha256(data).hexdigest()), is_lfs=True)
    oid = hashlib.sha1(git_blob_header(len(data)) + data).hexdigest()
    return RepoFile(path, len(data), Digest(Algorithm.GIT_SHA1, oid), is_lfs=False, git_oid=oid)


def tree_of(commit: str = ONE, content: Mapping[str, bytes] = FILES) -> RepoTree:
    return RepoTree.checked(commit, [file_of(path, data) for path, data in content.items()])


def ref(revision: str = "main", kind: Dialect = HF, repo: RepoId = REPO) -> Ref:
    return Ref(repo, revision, kind)


@dataclass
class PlainCatalog:
    """A catalog of what it was given. `heads` are the commits of revisions; `error` is raised in the place of any
    answer, `tree_error` in the place of a listing. `asked` is what it was asked for, in order.
    """

    source: Source = ROOT
    heads: dict[str, str] = field(default_factory=lambda: {"main": ONE, "master": ONE})
    trees: dict[str, RepoTree] = field(default_factory=lambda: {ONE: tree_of()})
    error: GlmAriaError | None = None
    tree_error: GlmAriaError | None = None
    is_restricted: bool = False
    name_now: str | None = None
    modified: float | None = None
    tags: tuple[str, ...] = ()
    version: str | None = None
    asked: list[str] = field(default_factory=list)

    def revision(self, ref: Ref) -> Revision:
        self.asked.append(f"revision {ref.revision}")
        if self.error:
            raise self.error
        commit = ref.revision if ref.is_commit else self.heads.get(ref.revision)
        if commit is None or commit not in self.trees:
            raise NotFoundError(f"{self.source.name} has no {ref}")
        name = self.name_now or ref.repo.name
        return Revision(commit, self.is_restricted, name, self.modified, version=self.version)

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        self.asked.append(f"tree {commit[:4]}")
        if self.error or self.tree_error:
            raise cast(GlmAriaError, self.error or self.tree_error)
        return self.trees[commit]

    def is_tag(self, ref: Ref) -> bool:
        return ref.revision in self.tags


@dataclass
class PlainGit:
    """Git objects by commit; nobody serves any other."""

    known: dict[str, Mapping[str, GitObject]] = field(default_factory=dict)

    def objects(self, url: str, commit: str) -> Mapping[str, GitObject]:
        if commit not in self.known:
            raise ProtocolError(f"{url} serves no git")
        return self.known[commit]


def sites(
    *catalogs: Catalog, git: PlainGit | None = None, aliases: Mapping[str, str] | None = None, named: Iterable[str] = ()
) -> Sites:
    """The first catalog of each kind is asked first, those that are no root are mirrors; `named` may see the token."""
    roots: dict[Dialect, Catalog] = {}
    for catalog in catalogs:
        roots.setdefault(catalog.source.kind, catalog)
    mirrors = tuple(catalog for catalog in catalogs if not catalog.source.is_root)
    return Sites(roots, mirrors, git or PlainGit(), aliases or {}, Credentials(None, frozenset(named)))


class PlainStats:
    """What is remembered of sources, and nothing is written."""

    def __init__(self, memory: Stats | None = None) -> None:
        self.memory = memory or Stats(0.0)
        self.observed: dict[Source, Any] = {}
        self.quarantined: list[tuple[Source, str, Any]] = []

    def read(self) -> Stats:
        return self.memory

    def observe(self, samples: Mapping[Source, Any]) -> None:
        self.observed.update(samples)

    def quarantine(self, source: Source, reason: str, evidence: Any = None) -> None:
        self.quarantined.append((source, reason, evidence))


def sources(*ordered: Source, stats: PlainStats | None = None, net: Any = None) -> Sources:
    """The first source of each kind is its root. Without a `net`, nobody is to be asked."""
    roots: dict[Dialect, Source] = {}
    for source in ordered:
        roots.setdefault(source.kind, source)
    nets = cast(Net, net), cast(Net, net)
    return Sources(ordered, roots, cast(Any, stats or PlainStats()), *nets, cast(Registries, None), LoopbackGate())


@contextmanager
def cache(home: Path, owners: Owners = ALONE) -> Iterator[Cache]:
    """A cache below a folder of the test."""
    layout = CacheLayout.at(home / "hub")
    with Cache.open(layout, open_state_dir(layout), owners=owners) as made:
        yield made


def model_of(
    content: Mapping[str, bytes] = FILES, commit: str = ONE, revision: str = "main", repo: RepoId = REPO, **given: Any
) -> ResolvedModel:
    """A model as the root lists it."""
    tree = tree_of(commit, content)
    return ResolvedModel(ref(revision, repo=repo), tree, tree, Trust(Level.ROOT, ROOT.url), **given)


def put(cache: Cache, content: Mapping[str, bytes] = FILES, **model: Any) -> ResolvedModel:
    """A model that was pulled: placed, proven, published, recorded."""
    made = model_of(content, **model)
    entries = []
    for file in made.wanted.files:
        part = cache.staging.part(file.digest)
        part.write_bytes(content[file.path])
        entries.append((verify(part, file.digest, file.size), file))
    cache.blobs.place(made.ref.repo, made.commit, entries)
    cache.blobs.publish(made)
    remember(made, cache.records, sites(PlainCatalog()))
    return made


def put_unproven(cache: Cache, content: Mapping[str, bytes] = FILES, listed: Mapping[str, bytes] = FILES) -> None:
    """Blobs of org/m with `content`, under the names that `listed` has, as another program puts them there."""
    for path, data in content.items():
        blob = cache.layout.blob(REPO, file_of(path, listed[path]).digest)
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Heard:
    """An `Emit` that keeps what it was told."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.events if isinstance(event, Notice)]

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Notice)]


class PlainOwners:
    """An owner among those on one `board`: who has a blob now, and who had it last and did not give it back.

    One that stands still loses what it has to the next who asks.
    """

    def __init__(self, board: dict[str, PlainOwners | None] | None = None) -> None:
        self.board = {} if board is None else board
        self.is_still = False
        self._taken: set[str] = set()

    def take(self, digest: Digest) -> Grant:
        held = self.board.get(digest.hex)
        if held is not None and held is not self and not held.is_still:
            return Grant.NO
        self.board[digest.hex] = self
        self._taken.add(digest.hex)
        return Grant.YES if held is None or held is self else Grant.NEW_PART

    def is_ours(self, digest: Digest) -> bool:
        return digest.hex not in self._taken or self.board.get(digest.hex) is self

    def give_back(self, digest: Digest) -> None:
        if self.board.get(digest.hex) is self:
            self.board[digest.hex] = None
            self._taken.discard(digest.hex)
