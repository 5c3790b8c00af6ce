"""The Hub face: what huggingface_hub and its like ask, answered in the Hub's words."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import ClassVar

from orchestrator.core.dialects import OWN
from orchestrator.core.plan import ResolvedModel
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.delivery.delivery import Delivery
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.bodies import Bodies
from orchestrator.serve.http.headers import JSON, of_age
from orchestrator.serve.http.printing import LONG, Print
from orchestrator.serve.http.refusals import Refused, as_text
from orchestrator.serve.hub import documents
from orchestrator.serve.hub.grammar import (
    AboutRepo,
    FileBytes,
    Harnesses,
    ModelsPage,
    Passed,
    PathsInfo,
    TreePage,
    TreeSize,
    WhoAmI,
    parse,
)
from orchestrator.serve.stock.inquiries import Inquiries
from orchestrator.serve.stock.library import Resolution

_LONG_BODY = 4096
"""Bytes of a question about many paths, whose answer takes milliseconds."""


class HubFace:
    """Answers every address that no other face takes. `prefix` is the path below which clients ask."""

    name: ClassVar[str] = "hub"

    def __init__(self, inquiries: Inquiries, delivery: Delivery, *, prefix: str) -> None:
        self._inquiries = inquiries
        self._delivery = delivery
        self._prefix = prefix
        self._bodies = Bodies()

    def takes(self, raw_path: bytes) -> bool:  # noqa: ARG002 - the rest is ours
        """See Face."""
        return True

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        asked = parse(request.method, request.raw_path, request.query_string)
        if isinstance(asked, WhoAmI):
            await self._whoami(caller, answer)
            return
        if isinstance(asked, Harnesses):
            await answer.give(200, JSON, documents.no_harnesses().printed().body)
            return
        if isinstance(asked, ModelsPage):
            page = documents.models(asked, await self._inquiries.own_models(caller))
            await answer.give(200, {**JSON, **_next_page(request, page.then)}, page.printed().body)
            return
        # Who may not read the repo has nothing read.
        known = await self._inquiries.find(asked.ref, caller)
        if isinstance(asked, PathsInfo):
            async with self._bodies.of(request.receive, caller.client) as body:
                await self._tell(request, caller, asked, known, body, answer)
        else:
            await self._tell(request, caller, asked, known, b"", answer)

    async def _tell(  # noqa: PLR0917 - who asks for what, what is known of it, and how it is answered
        self,
        request: Request,
        caller: Caller,
        asked: AboutRepo | FileBytes | Passed | PathsInfo | TreePage | TreeSize,
        known: Resolution,
        body: bytes,
        answer: Answering,
    ) -> None:
        model = known.model
        if model.name_now is not None:
            target = documents.moved(request.raw_path, request.query_string, asked.ref.repo, model.name_now)
            await answer.give(307, {"Location": self._prefix + target}, b"")
            return
        stale = of_age(is_stale=known.is_stale)
        match asked:
            case FileBytes():
                await self._file(request, caller, asked, model, stale, answer)
                return
            case Passed() if model.ref.catalog is OWN:
                told = documents.newest_commit(model)
                if asked.parts == ("refs",):
                    told = documents.refs(await self._inquiries.own_names(model.ref.repo, caller))
                reply = told.printed()
            case Passed():
                passed = await self._inquiries.passed(asked.ref, caller, asked.parts, asked.query)
                reply = documents.HubDocument(passed).printed()
            case _:
                kind = request.headers.get("content-type", "")
                key = asked, sha256(body).digest(), "json" in kind, model.commit, model.modified, model.is_restricted
                step = partial(_document, asked, body, kind, model)
                is_long = len(model.tree.files) >= LONG or len(body) > _LONG_BODY
                reply = await self._inquiries.made(key, step, caller) if is_long else step()
        headers = {**JSON, **reply.headers, **stale, **_next_page(request, reply.then)}
        await answer.give(200, headers, reply.body)

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face. huggingface_hub reads the headers."""
        words = as_text(refused)
        headers = {"X-Error-Message": words, **({"X-Error-Code": refused.code} if refused.code else {})}
        if refused.is_plain:
            return headers | {"Content-Type": "text/plain"}, f"{words}\n".encode()
        return headers | JSON, documents.HubDocument({"error": words}).printed().body

    async def _whoami(self, caller: Caller, answer: Answering) -> None:
        if not caller.name:
            raise caller.deny("there is no account")
        await answer.give(200, JSON, documents.account(caller.name, caller.roles).printed().body)

    async def _file(  # noqa: PLR0917 - who asks for what, and how it is answered
        self,
        request: Request,
        caller: Caller,
        asked: FileBytes,
        model: ResolvedModel,
        stale: Mapping[str, str],
        answer: Answering,
    ) -> None:
        file = documents.find_file(asked, model)
        headers = {**documents.file_headers(file, model), **stale}
        await self._delivery.give(request, caller, model, file, headers, answer)


def _next_page(request: Request, then: str | None) -> Mapping[str, str]:
    return {"Link": f'<{request.link_base}{then}>; rel="next"'} if then else {}


def _document(
    asked: AboutRepo | TreePage | TreeSize | PathsInfo, body: bytes, kind: str, model: ResolvedModel
) -> Print:
    """A document about a repo, of which `body` of this content type asks for some paths."""
    match asked:
        case AboutRepo():
            return documents.about(asked, model).printed()
        case TreePage():
            return documents.tree_page(asked, model).printed()
        case TreeSize():
            return documents.tree_size(asked, model).printed()
        case PathsInfo():
            return documents.paths_info(body, kind, model).printed()
