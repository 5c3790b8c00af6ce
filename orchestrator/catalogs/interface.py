"""The port that every catalog implements: what a repo holds at one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from orchestrator.catalogs.commit_chain import GitObject
from orchestrator.core.files import RepoTree
from orchestrator.core.refs import Ref, RepoId
from orchestrator.core.sources import Source


@dataclass(frozen=True, slots=True)
class Revision:
    """The present meaning of a ref.

    `commit` is 40-hex. `is_restricted` (gated or private) repos answer only with a token. `name_now` is the repo's
    name as the catalog writes it: it differs from the one asked for when the repo was renamed. `modified` is the date
    of the commit in unix seconds, None where it is not told. `pinned` and `twin` are those of `ResolvedModel`.
    `version` is what the site calls it, if that is more than the ref says: the version that a range stands for.
    `may_go_back`: the site keeps a trail of who moved the ref, so that an older commit is as deliberate as a newer one.
    """

    commit: str
    is_restricted: bool
    name_now: str
    modified: float | None = None
    pinned: Ref | None = None
    twin: Ref | None = None
    version: str | None = None
    may_go_back: bool = False


class Catalog(Protocol):
    """Metadata of repos at one site. Reads only, so every call may be repeated.

    Both methods raise NotFoundError and NotAllowedError for what the site says about the repo, SourcesDownError and
    TemporaryError when it cannot be asked (after retries), ProtocolError and TrustError when its answer must not be
    used. Messages name the site; hints are the next thing to type.
    """

    @property
    def source(self) -> Source:
        """The site that is asked."""

    def revision(self, ref: Ref) -> Revision:
        """Tie a ref to a commit with one request. A ref that is a commit comes back as that commit or not at all."""

    def tree(self, repo: RepoId, commit: str) -> RepoTree:
        """The whole listing at a commit, sizes in bytes, each file with the digest that proves it.

        Raises UnsafeError, too, when the listing holds a path or a digest that must not reach a disk.
        """

    def is_tag(self, ref: Ref) -> bool:
        """True when the site says that the ref's revision is a tag. One request; False where it does not answer."""


class CommitObjects(Protocol):
    """Git objects by a commit's name, from any site that serves them. Reads only."""

    def objects(self, url: str, commit: str) -> Mapping[str, GitObject]:
        """The commit, its trees, and its blobs below `catalogs.commit_chain.SMALL` bytes, by their ids.

        `url` is the repo's git address. No credential is sent. What comes back is unproven, and may lack some. Raises
        ProtocolError when the site does not serve it, TemporaryError when that took too long, and TrustError when
        commits cannot be read on this machine at all.
        """
