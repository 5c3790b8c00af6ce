"""The ModelScope face: what the `modelscope` client asks, answered in ModelScope's words.

A name means what ModelScope lists under it, also where the Hub has a repo of the same name: decision record 110.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from orchestrator.core.dialects import OWN
from orchestrator.core.refs import Ref, RepoId
from orchestrator.errors import NotFoundError, SourcesDownError, TemporaryError
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.delivery.delivery import Delivery
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.headers import JSON, of_age
from orchestrator.serve.http.printing import Print
from orchestrator.serve.http.recent import Recent
from orchestrator.serve.http.refusals import Refused
from orchestrator.serve.modelscope import documents, grammar
from orchestrator.serve.modelscope.grammar import (
    BranchesAndTags,
    FileContent,
    FolderListing,
    Nearness,
    NewestCommit,
    RepoFacts,
)
from orchestrator.serve.stock.inquiries import Inquiries

_MOST_TOLD = 1000
"""Repos of which it is kept in memory what branches and tags they have."""


class ModelScopeFace:
    """Answers the addresses of ModelScope's API."""

    name: ClassVar[str] = "modelscope"

    def __init__(self, inquiries: Inquiries, delivery: Delivery) -> None:
        self._inquiries = inquiries
        self._delivery = delivery
        self._told: Recent[RepoId, dict[str, Any]] = Recent(_MOST_TOLD)

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return grammar.takes(raw_path)

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        asked = grammar.parse(request.method, request.raw_path, request.query_string)
        if isinstance(asked, Nearness):
            await answer.give(200, JSON, documents.answer({"InternalRegionQueryAddress": ""}))
            return
        # What a client shows us for the Hub is its token of ModelScope's.
        caller = replace(caller, hub_token=None)
        known = await self._inquiries.find(asked.ref, caller)
        model, age = known.model, of_age(is_stale=known.is_stale)
        match asked:
            case FileContent():
                file = documents.find_file(asked, model)
                headers = {**documents.file_headers(file), **age}
                await self._delivery.give(request, caller, model, file, headers, answer)
                return
            case RepoFacts():
                data = documents.facts(asked, model)
            case BranchesAndTags() if model.ref.catalog is OWN:
                data = documents.own_revisions(await self._inquiries.own_names(model.ref.repo, caller))
            case BranchesAndTags():
                data = await self._revisions(asked.ref, caller)
            case NewestCommit():
                data = documents.newest_commit(model)
            case FolderListing():
                key = asked, model.commit, model.modified
                made = await self._inquiries.made(key, lambda: Print(documents.listing(asked, model)), caller)
                await answer.give(200, {**JSON, **age}, made.body)
                return
        await answer.give(200, {**JSON, **age}, documents.answer(data))

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face."""
        return JSON, documents.refusal(refused)

    async def _revisions(self, ref: Ref, caller: Caller) -> dict[str, Any]:
        """As ModelScope tells them; where it does not, or may not be asked for this caller, as it told them last, or as
        far as others have asked for them."""
        if caller.may_fetch(ref.repo):
            with suppress(NotFoundError, SourcesDownError, TemporaryError, Refused):
                told = documents.revisions(await self._inquiries.passed(ref, caller, ("revisions",), ()))
                self._told.keep(ref.repo, told)
                return told
        if (last := self._told.get(ref.repo)) is not None:
            return last
        return documents.known_revisions((ref.revision, *await self._inquiries.revisions(ref)))
