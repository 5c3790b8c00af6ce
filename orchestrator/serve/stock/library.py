"""Answers for a face: the commit of a ref, and where the bytes of a file are or will be. Calls block; thread-safe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from orchestrator.cache.cache import Cache
from orchestrator.catalogs.refusals import refusal
from orchestrator.catalogs.sites import Sites
from orchestrator.core.files import RepoFile
from orchestrator.core.plan import Found, Have, ResolvedModel
from orchestrator.core.refs import Ref, RepoId
from orchestrator.core.trust import Level, Policy
from orchestrator.errors import (
    GlmAriaError,
    NotFoundError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.events import Emit, Notice
from orchestrator.lists.request import Item, PullRequest
from orchestrator.mirrors.ranges import fetch_range
from orchestrator.mirrors.sources import Sources
from orchestrator.net.failures import blaming
from orchestrator.resolve.question import Question
from orchestrator.resolve.resolve import never_seen, remember, resolve
from orchestrator.serve.http.recent import Recent

FRESH = 60.0
"""Seconds for which the meaning of a branch is not asked for again."""
_MOST_FILES = 300_000
"""Files of all listings that are kept in memory."""
_MOST_NOTED = 1_000_000
"""Files of all listings that were asked for and are kept on the disk, where each takes about 100 bytes."""

_Noted = tuple[RepoId, str]
"""A repo and a commit of it."""
_MOST_REFS = 10_000


@dataclass(frozen=True, slots=True)
class Resolution:
    """A ref's commit and listing. `is_stale`: the root could not be asked, and this is what it said before."""

    model: ResolvedModel
    is_stale: bool = False


class Library:
    """The repos that can be served: those of the cache, and through the root all others.

    The root is asked about a branch once in `FRESH` seconds, about a commit once; its refusals are not remembered. The
    registry of this server is asked each time, and while it does not answer once in `FRESH` seconds.
    `root_error` says why it gave no answer when it was asked last.
    """

    def __init__(
        self,
        sites: Sites,
        sources: Sources,
        cache: Cache,
        *,
        policy: Policy,
        offline: bool,
        emit: Emit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sites = sites
        self._sources = sources
        self._cache = cache
        self._request = PullRequest((), offline=offline, policy=policy)
        self._emit = emit
        self._clock = clock
        self._guard = threading.Lock()
        self._looking = threading.Lock()
        # One listing, however long, is kept.
        self._resolved: Recent[Ref, tuple[float, Resolution]] = Recent(
            _MOST_FILES, lambda kept: min(1 + len(kept[1].model.tree.files), _MOST_FILES)
        )
        self._forgotten: list[_Noted] = []
        self._noted: Recent[_Noted, int] = Recent(
            _MOST_NOTED, lambda files: min(1 + files, _MOST_NOTED), gone=self._forgotten.append
        )
        self.root_error: str | None = None

    @property
    def is_offline(self) -> bool:
        """True when no server is asked."""
        return self._request.offline

    # -- what a ref stands for

    def resolve(self, ref: Ref, *, closed: bool = True) -> Resolution:
        """The ref's commit and listing. Raises what `resolve.resolve` does.

        Without `closed`, what was known of a closed repo before is no answer, here and in what follows: it is as if
        nobody had ever asked for it.
        """
        if (known := self.here(ref, closed=closed)) is not None:
            return known
        try:
            model = self._ask(ref, offline=False)
            self.root_error = None
        except (SourcesDownError, TemporaryError, TrustError) as error:
            self.root_error = error.message
            if (last := self.last_known(ref, closed=closed)) is None:
                raise
            self._emit(Notice("stale", f"{ref} is served as it was last seen: {error.message}"))
            return self._keep(ref, last)
        self._remember(model)
        return self._keep(ref, Resolution(model))

    def fresh(self, ref: Ref, *, closed: bool = True) -> Resolution | None:
        """The answer in memory, as long as it need not be asked for again. Does not block."""
        with self._guard:
            asked, known = self._resolved.get(ref) or (0.0, None)
        if known is None or (_is_old_and_closed(known) and not closed):
            return None
        # Here a registry is asked for what it holds itself: who moves an alias sees it at once.
        seconds = 0.0 if ref.catalog.has_no_files and not known.is_stale else FRESH
        return known if ref.is_commit or self._clock() - asked < seconds else None

    def here(self, ref: Ref, *, closed: bool = True) -> Resolution | None:
        """The answer of `resolve` without the root; None if that must be asked."""
        if (known := self.fresh(ref, closed=closed)) is not None:
            return known
        if ref.is_commit or self._request.offline:
            try:
                known = self._keep(ref, Resolution(self._ask(ref, offline=True), is_stale=not ref.is_commit))
            except (NotFoundError, TrustError):
                if self._request.offline:
                    raise
            else:
                if not closed and _is_old_and_closed(known):
                    raise never_seen(ref)
                return known
        return None

    def last_known(self, ref: Ref, *, closed: bool = True) -> Resolution | None:
        """The commit that a ref stood for when somebody was last asked. Asks no server."""
        with suppress(GlmAriaError):
            last = Resolution(self._ask(ref, offline=True), is_stale=True)
            return last if closed or not _is_old_and_closed(last) else None
        return None

    def has_main(self, ref: Ref, *, closed: bool = True) -> bool:
        """True when the ref's repo is there, whatever the revision."""
        with suppress(GlmAriaError):
            return bool(self.resolve(replace(ref, revision=ref.catalog.main), closed=closed))
        return False

    def passed(self, ref: Ref, parts: Sequence[str], query: Sequence[tuple[str, str]]) -> Any:
        """The root's answer below the repo's address. Raises what catalogs raise, and NotFoundError offline."""
        if self._request.offline:
            raise NotFoundError(f"only the root knows the {parts[0]} of {ref.repo.url_path}, and it is not asked")
        source = self._sites.of(ref).source
        url = "/".join((source.api_url(ref.repo), *(quote(part, safe="") for part in parts)))
        url += f"?{urlencode(query)}" if query else ""
        with blaming(source.name):
            answer = self._sources.patient.get_json(url)
        if answer.status != 200:
            had_token = self._sources.patient.credentials.may_send(url)
            raise refusal(answer, source, ref.repo, ref.revision, had_token=had_token)
        return answer.value

    def has_word_of_root(self, model: ResolvedModel) -> bool:
        """True when the site that sends a model's files is the one whose word its digests are, and may be asked."""
        is_its_word = model.trust.level in (Level.ROOT, Level.SINGLE)
        return is_its_word and model.trust.source == self._sites.of(model.ref).source.url and not self._request.offline

    def excerpt(self, model: ResolvedModel, file: RepoFile, start: int, end: int) -> bytes:
        """Bytes of a file as the root sends them: nothing proves them but its word. Raises what `fetch_range` does."""
        origin = model.origin(file)
        source = self._sites.of(model.pinned or model.ref).source
        return fetch_range(self._sources.net_for(source, origin), source, origin, start, end)

    def revisions(self, ref: Ref) -> tuple[str, ...]:
        """The branches and tags of the ref's repo that its catalog was asked for before. Asks no server."""
        return self._cache.records.named(ref.repo, self._sites.of(ref).source.witness)

    def _remember(self, model: ResolvedModel) -> None:
        """Keep a listing on the disk; those of which nothing is in the cache go again, the longest unasked first. Else
        questions about many repos fill the disk with their listings."""
        remember(model, self._cache.records, self._sites)
        with self._guard:
            self._noted.keep((model.ref.repo, model.commit), len(model.tree.files))
            forgotten = tuple(self._forgotten)
            self._forgotten.clear()
        for repo, commit in forgotten:
            if not self._cache.layout.snapshot(repo, commit).exists():
                with suppress(GlmAriaError):
                    self._cache.records.forget(repo, commit)

    def _keep(self, ref: Ref, known: Resolution) -> Resolution:
        with self._guard:
            self._resolved.keep(ref, (self._clock(), known))
        return known

    def _ask(self, ref: Ref, *, offline: bool) -> ResolvedModel:
        request = replace(self._request, offline=offline)
        return resolve(Question(Item(ref), request, self._sites, self._cache.records, self._emit))

    # -- where its bytes are

    def find(self, model: ResolvedModel, file: RepoFile, *, is_use: bool = True) -> Found:
        """The state of the file's blob in the cache, as `HfCache.find` tells it. Asks no server. Where nobody reads it
        for that, it is no use."""
        with self._looking:
            found = self._cache.blobs.find(model.ref.repo, [file])[file.digest]
        if not is_use:
            return found
        on_demand = self._cache.blobs.on_demand
        if found.have is Have.ELSEWHERE and found.path is not None:
            on_demand.lent(found.path.parent.parent.name)
        elif found.have is not Have.NOTHING:
            on_demand.used(model.ref.repo, model.commit)
        return found

    def prove(self, model: ResolvedModel, file: RepoFile) -> bool:
        """Read a blob that some other program put there; a wrong one is removed. Takes as long as that takes."""
        return self._cache.blobs.prove(model.ref.repo, file)


def _is_old_and_closed(known: Resolution) -> bool:
    return known.is_stale and known.model.is_restricted
