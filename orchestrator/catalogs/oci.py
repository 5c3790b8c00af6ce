"""An OCI registry as a catalog: a manifest is a commit, its layers are the files.

The commit is the first 40 digits of the manifest's sha256, which is what the cache has names for; the whole digest goes
with the listing as the ref that pins it. What a tag means is asked once a run and kept: a tag that moves meanwhile
changes nothing. An index counts as the commit where it is what the ref names, and the one model in it is read.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Set
from dataclasses import dataclass, replace

from orchestrator.catalogs.interface import Revision
from orchestrator.core.dialects import HUGGINGFACE
from orchestrator.core.files import Digest, RepoTree
from orchestrator.core.refs import Ref, RepoId, RepoType, is_commit
from orchestrator.core.registries import Site, commit_of, is_sha256, namespace_of
from orchestrator.core.sources import Source
from orchestrator.errors import NotFoundError, UsageError
from orchestrator.net import shapes
from orchestrator.net.failures import blaming
from orchestrator.oci.attached import attached
from orchestrator.oci.client import Client
from orchestrator.oci.manifest import CREATED, REVISION, SOURCE, Index, Manifest, files_of, model_of, parse
from orchestrator.oci.registries import Registries
from orchestrator.signatures.bundle import MEDIA_TYPE

_MOST_KEPT = 64
# Whose name says that it is a version is not expected to mean something else tomorrow.
_VERSION = re.compile(r"v?\d+\.\d+(?:[.+_-].*)?", re.ASCII)
_HUB = re.compile(r"(?:https://(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)([^/\s]+/[^/\s?#]+)/?")


@dataclass(frozen=True, slots=True)
class _Read:
    """A manifest that was read, and the listing in it."""

    revision: Revision
    tree: RepoTree


class OciCatalog:
    """Implements `Catalog` for one registry, or the part of one below a leading path. `hub_namespaces`, in lower case
    or `*`, are those of the Hub of which a manifest may name models. Thread-safe."""

    def __init__(self, source: Source, registries: Registries, hub_namespaces: Set[str] = frozenset()) -> None:
        self.source = source
        self._site = Site.at(source.url)
        self._registries = registries
        self._hub_namespaces = hub_namespaces
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[RepoId, str], _Read] = OrderedDict()

    def revision(self, ref: Ref) -> Revision:
        """See `Catalog.revision`. One request, or two where the ref names an index; none for a digest that is kept."""
        if is_commit(ref.revision):
            return self._known(ref.repo, ref.revision).revision
        if ref.commit is not None:
            with self._lock:
                kept = self._kept.get((ref.repo, ref.commit))
            if kept is not None and kept.revision.pinned == ref:
                return kept.revision
        with blaming(self.source.name):
            read = self._read(ref)
        with self._lock:
            self._kept[(ref.repo, read.tree.commit)] = read
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return read.revision

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """See `Catalog.tree`. Of a commit that this run has a manifest of: 40 digits are not enough to ask for one."""
        return self._known(repo, commit).tree

    def is_tag(self, ref: Ref) -> bool:
        """See `Catalog.is_tag`. All names in a registry are tags; those of versions are the ones not to move."""
        return _VERSION.fullmatch(ref.revision) is not None

    def _known(self, repo: RepoId, commit: str) -> _Read:
        with self._lock:
            known = self._kept.get((repo, commit))
        if known is None:
            raise NotFoundError(
                f"{self.source.name} cannot be asked for {commit} of {repo.name}: it knows whole digests only",
                hint=f"name it as {self.source.name}/{repo.name}@sha256: with all 64 digits",
                source=self.source.name,
            )
        return known

    def _read(self, ref: Ref) -> _Read:
        repository = self._site.repository(ref.repo.name)
        client, site, name = Client(self._registries, repository), repository.place, repository.name
        fetched = client.manifest(ref.revision)
        found = parse(fetched.body, fetched.media_type, site)
        if isinstance(found, Index):
            inner = client.manifest(str(model_of(found, name, site).digest))
            found = parse(inner.body, inner.media_type, site)
        if not isinstance(found, Manifest):
            raise shapes.odd(site, f"{name} is an index of indexes")
        files, unnamed = files_of(found, name, site)
        tree = RepoTree.checked(commit_of(fetched.digest), files, unnamed)
        revision = Revision(
            tree.commit,
            self._registries.is_closed(repository),
            ref.repo.name,
            shapes.moment(found.annotations.get(CREATED)),
            pinned=replace(ref, revision=str(fetched.digest)),
            twin=self._twin(found, ref.repo),
        )
        return _Read(revision, tree)

    def _twin(self, manifest: Manifest, repo: RepoId) -> Ref | None:
        """The model of the Hub that a manifest says it was made from, at its commit, if the Hub may be asked for it.

        A publisher may have written any name: one that is private, or that nobody here meant to tell. So the Hub is
        asked only in namespaces that the puller has named, and never in that of the model.
        """
        named = _HUB.fullmatch(manifest.annotations.get(SOURCE, ""))
        commit = manifest.annotations.get(REVISION, "")
        if named is None or not is_commit(commit):
            return None
        namespace = namespace_of(named[1])
        if namespace == namespace_of(repo.name) or self._hub_namespaces.isdisjoint((namespace, "*")):
            return None
        try:
            return Ref(RepoId(RepoType.MODEL, named[1]), commit, HUGGINGFACE)
        except UsageError:
            return None


def signatures_at(registries: Registries, pinned: Ref) -> Iterator[bytes]:
    """The bundles that are attached to the manifest that a ref pins; none where it pins none of a registry."""
    if pinned.site is None or not is_sha256(pinned.revision):
        return
    repository = pinned.site.repository(pinned.repo.name)
    yield from attached(Client(registries, repository), Digest.parse(pinned.revision), MEDIA_TYPE)
