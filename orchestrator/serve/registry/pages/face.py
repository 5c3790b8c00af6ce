"""The face of the registry for people: pages that say what the calls below `/registry/v1/` say, to the same callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import ClassVar
from urllib.parse import quote, urlencode

from orchestrator.core.refs import RepoId
from orchestrator.core.sizes import format_size
from orchestrator.core.text import printable, redacted
from orchestrator.errors import GlmAriaError, NotFoundError, UsageError
from orchestrator.registry.names import model_named
from orchestrator.rights import Subject
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import client_of
from orchestrator.serve.access.sessions import Sessions
from orchestrator.serve.http.addresses import number, parameters, segments
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.once import ClientTurns
from orchestrator.serve.http.refusals import Refused, as_text, nothing_here, takes_only, told
from orchestrator.serve.pages.layout import HTML, PLACES, TEXT, PageLayout, language
from orchestrator.serve.pages.traffic import PAGES
from orchestrator.serve.registry.face import status_of
from orchestrator.serve.registry.pages.showing import RegistryShow
from orchestrator.serve.registry.streams import EventStreams

_HERE = PLACES["registry"]
_ASKED, _LONGEST = ("q", "name", "before", "from", "to"), 200
"""The parameters of pages, and the characters of one."""


class RegistryPages:
    """Answers people who look at the registry, each of whom sees what the registry tells this one. `asking` are threads
    that ask it."""

    name: ClassVar[str] = PAGES

    def __init__(
        self, show: RegistryShow, streams: EventStreams, sessions: Sessions, layout: PageLayout, *, asking: ClientTurns
    ) -> None:
        self._show = show
        self._streams = streams
        self._sessions = sessions
        self._layout = layout
        self._asking = asking

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return raw_path == _HERE.encode() or raw_path.startswith(f"{_HERE}/".encode())

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        if request.method not in ("GET", "HEAD"):
            raise takes_only("GET, HEAD")
        viewer = self._sessions.caller_of(request) or caller
        parts = segments(request.raw_path)[2:]
        query = parameters(request.query_string)
        if parts == ("events",):
            await self._events(viewer, query, request, answer)
        elif not viewer.grants:
            await answer.give(403 if viewer.name else 401, HTML, self._layout.form(language(request), "registry"))
        else:
            await self._page(viewer, parts, query, request, answer)

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face."""
        return TEXT, f"{as_text(refused)}\n".encode()

    async def _events(self, viewer: Caller, query: Mapping[str, str], request: Request, answer: Answering) -> None:
        """Changes as they come, from which a page learns that it is old."""
        if not viewer.grants:
            raise viewer.deny("the registry tells nothing")
        try:
            model = _model(query["model"]) if query.get("model") else None
            await self._streams.send(viewer, model, None, client_of(request.client), answer)
        except GlmAriaError as error:
            if answer.has_begun:
                raise
            raise Refused(status_of(error, viewer), told(error)) from None

    async def _page(
        self, viewer: Caller, parts: tuple[str, ...], query: Mapping[str, str], request: Request, answer: Answering
    ) -> None:
        status, asked = 200, {name: printable(query.get(name, "").strip()[:_LONGEST]) for name in _ASKED}
        try:
            run = partial(self._seen, viewer, parts, asked)
            values = await self._asking.do(run, viewer.client or client_of(request.client))
        except GlmAriaError as error:
            status = status_of(error, viewer)
            values = {
                "kind": "error",
                "about": "",
                "error": redacted(told(error)),
                "hint": redacted(error.hint or ""),
            }
        await answer.give(status, HTML, self._drawn(values, asked, language(request)))

    def _drawn(self, values: Mapping[str, object], asked: Mapping[str, str], lang: str) -> bytes:
        links = _Links(f"{self._layout.prefix}{_HERE}", lang)
        return self._layout.draw(
            "registry-page.html",
            lang,
            "registry",
            {name: text for name, text in asked.items() if text},
            asked=asked,
            link=links.to,
            events=f"{links.base}/events" + (f"?{urlencode({'model': values['about']})}" if values["about"] else ""),
            size=format_size,
            utc=_utc,
            **values,
        )

    def _seen(self, who: Subject, parts: tuple[str, ...], asked: Mapping[str, str]) -> dict[str, object]:
        """The page at an address: its kind, the model that it is about, and what is seen there. Raises Refused, and
        what the registry does."""
        before = number(asked, "before", 0) if asked["before"] else None
        match parts:
            case ():
                return {"kind": "models", "about": "", "sheet": self._show.overview(who, asked["q"], before)}
            case (namespace, name):
                model = _model(f"{namespace}/{name}")
                sheet = self._show.model(who, model, asked["name"], before)
                return {"kind": "model", "about": model.name, "sheet": sheet}
            case (namespace, name, "diff"):
                model = _model(f"{namespace}/{name}")
                found = self._show.difference(who, model, asked["from"], asked["to"])
                return {"kind": "diff", "about": model.name, "sheet": found}
        raise nothing_here()


@dataclass(frozen=True, slots=True)
class _Links:
    """Addresses of the registry's pages in a language. `base` is the one of the first of them."""

    base: str
    lang: str

    def to(self, about: str = "", page: str = "", /, **query: object) -> str:
        """The address of the page of a model, or of all, with what is asked for there."""
        path = "".join(f"/{quote(part, safe='/')}" for part in (about, page) if part)
        asked = {key: value for key, value in query.items() if value not in ("", None)}
        return f"{self.base}{path}?{urlencode({**asked, 'lang': self.lang})}"


def _model(name: str) -> RepoId:
    try:
        return model_named(name)
    except UsageError as error:
        raise NotFoundError(error.message) from error


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
