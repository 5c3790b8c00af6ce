"""Asking sites about a ref, and judging what they say: what every policy of `resolve/policies.py` is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.cache.records import Record, Records
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.catalogs.matching import repos_elsewhere
from orchestrator.catalogs.sites import Sites
from orchestrator.core.dialects import main_branches
from orchestrator.core.files import RepoTree
from orchestrator.core.refs import Ref
from orchestrator.core.trust import Level, Seen, Trust, Voice, rollback
from orchestrator.errors import (
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    TrustError,
    UnsafeError,
)
from orchestrator.events import Emit, Notice
from orchestrator.lists.request import Item, PullRequest

SILENT = (SourcesDownError, TemporaryError, NotFoundError, NotAllowedError, ProtocolError)
"""How a site shows that it cannot say what it was asked. A signal or a full disk is not among them."""
REFUSALS = (*SILENT, TrustError, UnsafeError)
"""How a site shows that it is of no help, so that the next one is asked: it is silent, or not to be believed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit, what is known of it, and where they were told: its date in unix seconds, the repo's present name, and
    its twin."""

    commit: str
    record: Record
    modified: float | None = None
    name_now: str | None = None
    twin: Ref | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The question of what an item's ref stands for. `sites` can be asked, `records` are their earlier answers."""

    item: Item
    request: PullRequest
    sites: Sites
    records: Records
    emit: Emit

    @property
    def ref(self) -> Ref:
        """The ref of the question."""
        return self.item.ref

    @property
    def first(self) -> Catalog:
        """The root, or for `ms://` the catalog that the ref names."""
        return self.sites.of(self.ref)

    @property
    def mirrors(self) -> tuple[Catalog, ...]:
        """The mirrors of the ref's kind that may hear of it, and whose word may count, in the order of preference."""
        return tuple(catalog for catalog in self._heard() if catalog.source.kind is self.ref.catalog)

    @property
    def others(self) -> tuple[Catalog, ...]:
        """Like `mirrors`, those of other kinds."""
        return tuple(catalog for catalog in self._heard() if catalog.source.kind is not self.ref.catalog)

    def _heard(self) -> Iterator[Catalog]:
        is_closed = self.records.is_restricted(self.ref)
        believed = (catalog for catalog in self.sites.mirrors if catalog.source.is_believed)
        return (c for c in believed if self.sites.may_hear(c.source, self.ref.catalog, is_restricted=is_closed))

    def ask(self, catalog: Catalog) -> Revision:
        """The meaning of the ref at a site; warns if the repo was renamed."""
        revision = catalog.revision(self.ref)
        if revision.name_now != self.ref.repo.name:
            name = self.ref.repo.name
            self.emit(Notice("renamed", f"{name} is now called {revision.name_now}; it is kept under the old name"))
        return revision

    def known(self, revision: Revision, trust: Trust) -> Listing | None:
        """The listing of a commit as it is on record, where that is of equal or better standing."""
        known = self.records.load(self.ref.repo, revision.commit)
        # What another site listed is not taken for what this one says, unless it was the root, or proven.
        is_good = known and (
            known.trust in (trust, Trust(Level.ROOT, self.first.source.url)) or known.trust.level == Level.COMMIT
        )
        return _listing(known.tree, revision, trust) if known and is_good else None

    def listed(self, catalog: Catalog, revision: Revision, trust: Trust) -> Listing:
        """The listing of a commit: the one on record, else what the catalog says."""
        return self.known(revision, trust) or _listing(catalog.tree(self.ref.repo, revision.commit), revision, trust)

    def hear(self, catalog: Catalog) -> tuple[Catalog, Revision, Voice] | None:
        """The answer of a mirror; None if it gives none. One of another kind is asked by the repo's name there."""
        ref, kind = self.ref, catalog.source.kind
        if kind is not ref.catalog:
            repos = repos_elsewhere(ref.repo, ref.catalog, kind, self.sites.aliases)
            if ref.revision != ref.catalog.main or not repos:
                return None
            ref = Ref(repos[0], kind.main, kind)
        try:
            revision = catalog.revision(ref)
            tree = catalog.tree(ref.repo, revision.commit)
        except REFUSALS as error:
            if not isinstance(error, NotFoundError):
                name = catalog.source.name
                self.emit(Notice("mirror-down", f"{name} is skipped: {error.message}", mirror=name))
            return None
        return catalog, revision, Voice(catalog.source, tree)

    def refuse_rollback(self, catalog: Catalog, revision: Revision) -> None:
        """Raise TrustError when a branch went back. A moved tag is reported; if the root moved it, it is accepted."""
        ref = self.ref
        seen = self.records.history(ref.repo, ref.revision, self.first.source.witness)
        if revision.may_go_back or ref.is_commit or not seen or seen[-1].commit == revision.commit:
            return
        by_root = catalog.source == self.first.source
        if ref.revision not in main_branches() and catalog.is_tag(ref):
            message = f"the tag {ref} moved from {seen[-1].commit[:12]} to {revision.commit[:12]}"
            self.emit(Notice("tag-moved", message))
            # A mirror could call any branch a tag.
            if by_root:
                return
        reason = rollback(seen, Seen(revision.commit, revision.modified), by_root=by_root)
        if reason is None:
            return
        said = f"{catalog.source.name} says that {ref} is {reason}"
        if not self.request.allow_rollback:
            raise TrustError(
                f"{said}; nothing was changed",
                hint="the site is out of date, or hides a fix; if the older commit is right: --allow-rollback",
                source=catalog.source.name,
            )
        self.emit(Notice("rolled-back", f"{said}; accepted, as --allow-rollback asks", mirror=catalog.source.name))


def _listing(tree: RepoTree, revision: Revision, trust: Trust) -> Listing:
    record = Record(tree, trust, revision.is_restricted, revision.pinned, revision.version)
    return Listing(revision.commit, record, revision.modified, revision.name_now, revision.twin)
