"""Catalogs without files: they say which ref of another kind theirs stands for, and that one's catalog lists it.

That may be one without files, too: an alias of MLflow names a version of a registry of models.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.catalogs.interface import Catalog, Revision
from orchestrator.core.files import RepoTree
from orchestrator.core.refs import Ref, RepoId, commit_hint
from orchestrator.core.sources import Source
from orchestrator.errors import NotFoundError, ProtocolError

_MOST_KEPT = 256


@dataclass(frozen=True, slots=True)
class Pointed:
    """The ref of another kind that a ref stands for, and what the site calls it: a version."""

    target: Ref
    version: str | None = None


class PointerCatalog(ABC):
    """Implements `Catalog` by what `follow` gives for the ref that `_point` finds. Thread-safe."""

    def __init__(self, source: Source, follow: Callable[[Ref], Catalog]) -> None:
        self.source = source
        self._follow = follow
        self._lock = threading.Lock()
        self._pointed: OrderedDict[tuple[RepoId, str], Revision] = OrderedDict()

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`."""
        with self._lock:
            known = self._pointed.get((ref.repo, ref.revision))
        if known is not None:
            return known
        try:
            pointed = self._point(ref)
        except ProtocolError as error:
            if error.hint == error.usual_hint:  # nobody else knows what it stands for
                error.hint = self.source.kind.where
            raise
        target = pointed.target
        if target.catalog is ref.catalog:
            raise ProtocolError(
                f"{self.source.name} says that {ref} is {target}, which is another name and no address of files",
                hint="have it name the model in the registry that has the files, as oci://HOST/NAME",
                source=self.source.name,
            )
        found = self._follow(target).revision(target)
        if ref.commit not in (None, found.commit):
            raise ProtocolError(
                f"{self.source.name} says that {ref} is {target}, which is another commit", source=self.source.name
            )
        revision = replace(
            found,
            name_now=ref.repo.name,
            pinned=found.pinned or replace(target, revision=found.commit),
            version=pointed.version if ref.catalog.is_revision(pointed.version or "") else None,
            may_go_back=True,
        )
        with self._lock:
            self._pointed[(ref.repo, found.commit)] = revision
            while len(self._pointed) > _MOST_KEPT:
                self._pointed.popitem(last=False)
        return revision

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """See `Catalog.tree`. Of a commit that this run was told about."""
        with self._lock:
            known = self._pointed.get((repo, commit))
        if known is None or known.pinned is None:
            raise NotFoundError(
                f"{self.source.name} has named no commit {commit} of {repo.name}",
                hint=commit_hint(commit),
                source=self.source.name,
            )
        return self._follow(known.pinned).tree(known.pinned.repo, commit)

    def is_tag(self, ref: Ref) -> bool:  # noqa: ARG002 - none is
        """See `Catalog.is_tag`. Who moved what is in the trail of the site."""
        return False

    @abstractmethod
    def _point(self, ref: Ref) -> Pointed:
        """Find what `ref` stands for. Raises what `Catalog.revision` does."""
