"""Questions to the library by callers, answered within their rights, and within the time that clients wait.

For the thread of the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from orchestrator.core.dialects import OWN
from orchestrator.core.plan import ResolvedModel
from orchestrator.core.refs import Ref, RepoId
from orchestrator.errors import NotAllowedError, NotFoundError, SourcesDownError, TemporaryError, UsageError
from orchestrator.registry.own import ModelNames, OwnModels
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.keyring import WrongTokens
from orchestrator.serve.http.once import PATIENCE, Once
from orchestrator.serve.http.printing import Print
from orchestrator.serve.http.recent import Recent
from orchestrator.serve.http.refusals import Refused, busy, nothing_here
from orchestrator.serve.stock.library import Library, Resolution
from orchestrator.serve.stock.vouching import Vouching

_HASTE = 3.0
"""Seconds that the root has to answer before what it said last is passed on."""

_MAKING = 2
"""Long documents that are made for one client at once."""
_PRINTED = 32 << 20
"""Bytes of documents that are kept: many who ask for a long one, and read it slowly, share its bytes."""

T = TypeVar("T")


class Inquiries:
    """Asks each question once at a time. `asking` are threads that ask sites, which may keep them for long, `looking`
    those that ask the cache. `each` of a client's questions are asked at once. Without `vouching`, what is closed is
    for those alone who have a right to it here. `own` are the models of the registry of this server: in its namespaces
    nothing is asked for at a root, and the roles of a caller decide alone."""

    def __init__(
        self,
        library: Library,
        *,
        asking: Executor,
        looking: Executor,
        each: int,
        vouching: Vouching | None = None,
        own: OwnModels | None = None,
    ) -> None:
        self._library = library
        self._vouching = vouching
        self._own = own
        self._wrong = WrongTokens()
        self._asks = Once(asking, each=each)
        self._looks = Once(looking)
        self._makes = Once(looking, each=_MAKING)
        self._printed: Recent[Hashable, Print] = Recent(_PRINTED, lambda document: len(document.body))

    async def resolve(self, ref: Ref, caller: Caller) -> Resolution:
        """The commit and listing of a ref, for a caller. Raises Refused, and what `Library.resolve` does.

        Who may not have anything fetched gets what was last heard of it, and nobody is asked.
        """
        self._refuse_unreadable(ref.repo, caller)
        if ref.catalog is not OWN and await self._is_own(ref.repo, caller):
            try:
                ref = replace(ref, catalog=OWN)
            except UsageError as error:
                raise Refused(404, error.message, "RevisionNotFound") from None
        known = await (self._resolve(ref, caller) if caller.may_have(ref) else self._remembered(ref, caller))
        if known.model.is_restricted and not self._may_hear(ref, caller):
            await self._refuse_closed(ref, known.model, caller)
        if (name := known.model.name_now) is not None and not caller.may_read(RepoId(ref.repo.type, name)):
            raise caller.deny(f"{ref.repo.url_path} was renamed, and is not served")
        return known

    async def find(self, ref: Ref, caller: Caller) -> Resolution:
        """`resolve`, for a ref that a client's address names: of one that only a registry's model can have, nothing is
        known where that registry is another one than this server's."""
        if ref.catalog is OWN:
            self._refuse_unreadable(ref.repo, caller)
            if not await self._is_own(ref.repo, caller):
                raise Refused(404, f"{ref.repo.url_path} has no revision {ref.revision!r}", "RevisionNotFound")
        return await self.resolve(ref, caller)

    async def own_models(self, caller: Caller) -> tuple[RepoId, ...]:
        """The models of the registry that the caller may read. Raises Refused, and what `OwnModels.models` does."""
        if (own := self._own) is None:
            raise nothing_here()
        if not caller.grants:
            raise caller.deny("models are not listed")
        return await self._ask_own(("models", caller.name, caller.grants), lambda: own.models(caller), caller)

    async def own_names(self, repo: RepoId, caller: Caller) -> ModelNames:
        """The names of a model of the registry, which the caller may read. Raises what `OwnModels.names` does."""
        if (own := self._own) is None:
            raise nothing_here()
        return await self._ask_own(("names", repo), lambda: own.names(repo), caller)

    async def passed(self, ref: Ref, caller: Caller, parts: Sequence[str], query: Sequence[tuple[str, str]]) -> Any:
        """The root's answer below the repo's address. Raises Refused, and what `Library.passed` does."""
        if not caller.may_fetch(ref.repo):
            raise caller.deny(f"only the root knows the {parts[0]} of {ref.repo.url_path}, and is not asked")
        library, parts, query = self._library, tuple(parts), tuple(query)
        try:
            key, client = (ref, parts, query), caller.client
            return await self._asks.do(key, lambda: library.passed(ref, parts, query), PATIENCE, client=client)
        except TimeoutError:
            raise busy(f"the root takes long to answer about {ref.repo.url_path}", 5) from None

    async def revisions(self, ref: Ref) -> tuple[str, ...]:
        """The branches and tags of the ref's repo that were asked for before. Asks no server."""
        library = self._library
        return await self._looks.do(("revisions", ref.repo, ref.catalog), lambda: library.revisions(ref), PATIENCE)

    async def made(self, key: Hashable, step: Callable[[], Print], caller: Caller) -> Print:
        """A document that takes long to make: in a thread, and once for all who want it. `key` has all that it depends
        on. Raises Refused when it takes too long, and what the step does."""
        if (known := self._printed.get(key)) is not None:
            return known
        try:
            document = await self._makes.do(key, step, PATIENCE, client=caller.client)
        except TimeoutError:
            raise busy("this answer takes long to make", 5) from None
        self._printed.keep(key, document)
        return document

    def _refuse_unreadable(self, repo: RepoId, caller: Caller) -> None:
        """Raise Refused for a repo that the caller may not read, before anything is looked up: the answer tells nothing
        about the repo, nor in a server with a registry whether it would be the registry's."""
        if caller.may_read(repo):
            return
        refused = caller.deny(f"{repo.url_path} is not served")
        if self._own is not None and caller.name:
            refused = Refused(404, refused.message, "RepoNotFound")
        raise refused

    async def _is_own(self, repo: RepoId, caller: Caller) -> bool:
        """True for a name in a namespace of the registry. Raises SourcesDownError where the registry never told."""
        if (own := self._own) is None:
            return False
        if (known := own.knows(repo)) is not None:
            return known
        return await self._ask_own(("namespaces",), lambda: own.has(repo), caller)

    async def _ask_own(self, key: Hashable, step: Callable[[], T], caller: Caller) -> T:
        try:
            return await self._asks.do(key, step, PATIENCE, client=caller.client)
        except TimeoutError:
            raise busy("the registry takes long to answer", 5) from None

    def _may_hear(self, ref: Ref, caller: Caller) -> bool:
        """True for a caller who may have a closed repo by a right here. In the registry all are closed to others, and
        who may read them may have them."""
        return (self._own is not None and ref.catalog is OWN) or caller.may_read(ref.repo, restricted=True)

    async def _remembered(self, ref: Ref, caller: Caller) -> Resolution:
        """The answer that is known here: none about what is closed to the caller, unless the root can be asked."""
        library = self._library
        known = library.fresh(ref) or await self._looks.do(("last", ref), lambda: library.last_known(ref), PATIENCE)
        can_ask = self._vouching is not None and caller.hub_token is not None
        is_closed = known is not None and known.model.is_restricted and not can_ask
        if known is None or (is_closed and not self._may_hear(ref, caller)):
            raise caller.deny(f"{ref} is not in the cache, and is not fetched")
        return known

    def _hears_of_closed(self, ref: Ref, caller: Caller) -> bool:
        """True for a caller who may know, without a word of the root, that a closed repo is there."""
        has_right = self._may_hear(ref, caller)
        return has_right or (self._vouching is not None and self._vouching.knows_of(ref.repo, caller.hub_token))

    async def _refuse_closed(self, ref: Ref, model: ResolvedModel, caller: Caller) -> None:
        """Raise Refused unless the root lets the caller read the model. Where it says nothing, the refusal is that of a
        ref of which nothing is known."""
        vouching, token, name = self._vouching, caller.hub_token, model.ref.repo.url_path
        if vouching is None:
            raise Refused(403, f"{name} is gated or private; this server serves open repos", "GatedRepo")
        if vouching.knows(model, token):
            return
        if token is not None:
            self._wrong.refuse(caller.client)
        key = "vouch", vouching.key(model, token)
        try:
            await self._asks.do(key, lambda: vouching.ask(model, token), PATIENCE, client=caller.client)
        except (TimeoutError, SourcesDownError, TemporaryError):
            raise busy(f"the root takes long to answer about {ref}", 5) from None
        except (NotAllowedError, NotFoundError):
            if token is not None:
                self._wrong.note(caller.client)
            raise

    async def _resolve(self, ref: Ref, caller: Caller) -> Resolution:
        library, client, closed = self._library, caller.client, self._hears_of_closed(ref, caller)
        if (known := library.fresh(ref, closed=closed)) is not None:
            return known
        here, answer, past = ("here", ref, closed), ("answer", ref, closed), ("last", ref, closed)
        main = "main", ref.repo, ref.catalog, closed
        try:
            # Not among those that wait for the root.
            if (known := await self._looks.do(here, lambda: library.here(ref, closed=closed), PATIENCE)) is not None:
                return known
            return await self._asks.do(answer, lambda: library.resolve(ref, closed=closed), _HASTE, client=client)
        except TimeoutError:
            pass
        except NotFoundError as error:
            own = self._own if ref.catalog is OWN else None
            if own is not None:
                is_there = await self._ask_own(("there", ref.repo), lambda: own.is_there(ref.repo), caller)
                raise Refused(404, error.message, "RevisionNotFound" if is_there else "RepoNotFound") from None
            is_there = ref.revision != ref.catalog.main and await self._asks.do(
                main, lambda: library.has_main(ref, closed=closed), PATIENCE, client=client
            )
            if is_there:  # which who may not know it is not to hear
                await self.resolve(replace(ref, revision=ref.catalog.main), caller)
            last = await self._looks.do(past, lambda: library.last_known(ref, closed=closed), PATIENCE)
            # The root's word counts also when it takes a repo back. A commit stays what it is.
            is_open = last is not None and not last.model.is_restricted
            words = f"; it was {last.model.commit}, which is served by that name" if last and is_open else ""
            raise Refused(404, error.message + words, "RevisionNotFound" if is_there else "RepoNotFound") from None
        try:
            last = await self._looks.do(past, lambda: library.last_known(ref, closed=closed), _HASTE)
            if last is not None:
                return last
            step = partial(library.resolve, ref, closed=closed)
            return await self._asks.do(answer, step, PATIENCE - _HASTE, client=client)
        except TimeoutError:
            raise busy(f"the root takes long to answer about {ref}", 5) from None
