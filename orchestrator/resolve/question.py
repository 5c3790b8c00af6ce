"""Asking sites about a ref, and judging what they say: what every policy of `resolve/policies.py` is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.cache.records import Record
from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.refs import CatalogKind, Ref, RepoId, RepoType
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
from orchestrator.pull.tools import Tools
from orchestrator.resolve.restricted import is_known_restricted, may_hear

SILENT = (SourcesDownError, TemporaryError, NotFoundError, NotAllowedError, ProtocolError)
"""How a site shows that it cannot say what it was asked. A signal or a full disk is not among them."""
REFUSALS = (*SILENT, TrustError, UnsafeError)
"""How a site shows that it is of no help, so that the next one is asked: it is silent, or not to be believed."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A commit, what is known of it, and its date in unix seconds where somebody told it."""

    commit: str
    record: Record
    modified: float | None = None


def root_of(tools: Tools, ref: Ref) -> str:
    """Address of the site that is asked first for such refs; the history of commits is kept by it."""
    return tools.catalogs[ref.catalog].source.url


@dataclass(frozen=True, slots=True)
class Question:
    """What does this item's ref stand for? `on_unknown` is called when a listing has to be asked for."""

    item: Item
    request: PullRequest
    tools: Tools
    emit: Emit
    on_unknown: Callable[[], None]

    @property
    def ref(self) -> Ref:
        """What is asked about."""
        return self.item.ref

    @property
    def first(self) -> Catalog:
        """The root, or for `ms://` the catalog that the ref names."""
        return self.tools.catalogs[self.ref.catalog]

    def mirrors(self, kind: CatalogKind) -> tuple[Catalog, ...]:
        """The mirrors of a kind that may hear of the ref, and whose word may count, in the order of preference."""
        is_closed = is_known_restricted(self.ref, self.tools)
        asked = (c for c in self.tools.mirror_catalogs if c.source.kind is kind and c.source.is_believed)
        return tuple(c for c in asked if may_hear(c.source, self.ref.catalog, self.tools, is_restricted=is_closed))

    def ask(self, catalog: Catalog) -> Revision:
        """What the ref stands for at a site; tells when the repo was renamed."""
        revision = catalog.revision(self.ref)
        if revision.name_now != self.ref.repo.name:
            name = self.ref.repo.name
            self.emit(Notice("renamed", f"{name} is now called {revision.name_now}; it is kept under the old name"))
        return revision

    def listed(self, catalog: Catalog, revision: Revision, trust: Trust) -> Listing:
        """The listing of a commit: a record of equal or better standing, else what the catalog says."""
        known = self.tools.records.load(self.ref.repo, revision.commit)
        # What another site listed is not taken for what this one says, unless it was the root, or proven.
        is_good = known and (
            known.trust in (trust, Trust(Level.ROOT, root_of(self.tools, self.ref)))
            or known.trust.level == Level.COMMIT
        )
        if known is None or not is_good:
            self.on_unknown()
            known = Record(catalog.tree(self.ref.repo, revision.commit), trust)
        return Listing(revision.commit, Record(known.tree, trust, revision.is_restricted), revision.modified)

    def hear(self, catalog: Catalog) -> tuple[Catalog, Revision, Voice] | None:
        """What a mirror says; None when it says nothing. ModelScope is asked by the name that it has there."""
        ref = self.ref
        if catalog.source.kind is CatalogKind.MODELSCOPE:
            name = self.tools.aliases.get(ref.repo.name, ref.repo.name)
            if ref.revision != "main" or ref.repo.type is not RepoType.MODEL or "/" not in name:
                return None
            ref = replace(ref, repo=RepoId(ref.repo.type, name), revision="master", catalog=CatalogKind.MODELSCOPE)
        try:
            revision = catalog.revision(ref)
            tree = catalog.tree(ref.repo, revision.commit)
        except REFUSALS as error:
            if not isinstance(error, NotFoundError):
                name = catalog.source.name
                self.emit(Notice("mirror-down", f"{name} is not heard: {error.message}", mirror=name))
            return None
        return catalog, revision, Voice(catalog.source, tree)

    def refuse_rollback(self, catalog: Catalog, revision: Revision) -> None:
        """Raise TrustError when a branch went back. A tag that moved is told; from the root, that is all."""
        ref, tools = self.ref, self.tools
        seen = tools.records.history(ref.repo, ref.revision, root_of(tools, ref))
        if ref.is_commit or not seen or seen[-1].commit == revision.commit:
            return
        by_root = catalog.source == self.first.source
        if ref.revision not in ("main", "master") and catalog.is_tag(ref):
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
                hint="a site that is behind, or one that hides a fix, answers so; if it is right: --allow-rollback",
                source=catalog.source.name,
            )
        self.emit(Notice("rolled-back", f"{said}; accepted, as --allow-rollback asks", mirror=catalog.source.name))
