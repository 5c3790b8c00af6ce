"""The face for people and for what watches the server: the page and its events, metrics, and health."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar
from urllib.parse import parse_qs

from orchestrator import templating
from orchestrator.documents import encode
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.clients import client_of
from orchestrator.serve.access.sessions import Sessions, set_cookie
from orchestrator.serve.http.addresses import is_set, parameters
from orchestrator.serve.http.answers import Answering, Request
from orchestrator.serve.http.bodies import read_body
from orchestrator.serve.http.refusals import Refused, as_text, busy, nothing_here, takes_only
from orchestrator.serve.pages import metrics
from orchestrator.serve.pages.board import Board
from orchestrator.serve.pages.layout import HTML, PLACES, SAFE, TEXT, PageLayout, language
from orchestrator.serve.pages.traffic import PAGES

_OURS = b"/-/"
_NAMES = frozenset((b"", b"/", b"/metrics", b"/healthz", b"/readyz", b"/favicon.ico"))
_FILES = {
    "/-/dashboard.css": "text/css; charset=utf-8",
    "/-/dashboard.js": "text/javascript; charset=utf-8",
    "/-/dashboard.svg": "image/svg+xml",
    "/-/registry.js": "text/javascript; charset=utf-8",
}
_JSON = SAFE | {"Content-Type": "application/json; charset=utf-8"}
# A proxy in between passes each event on at once.
_EVENTS = SAFE | {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
_MOST_VIEWERS, _EACH = 32, 8
"""Those who look at once, and those of one client."""
_MOST_FORM = 8192
_SECOND = 1.0


class PagesFace:
    """Answers what is asked by people who look, and by programs that watch. `is_over` tells that the server ends, and
    with it the events.

    Who may read everything may look, and who may read closed repos, too, sees their names. Health is told to anybody.
    """

    name: ClassVar[str] = PAGES

    def __init__(self, board: Board, sessions: Sessions, layout: PageLayout, *, is_over: Callable[[], bool]) -> None:
        self._board = board
        self._sessions = sessions
        self._layout = layout
        self._is_over = is_over
        self._viewers: Counter[str] = Counter()

    def takes(self, raw_path: bytes) -> bool:
        """See Face."""
        return raw_path in _NAMES or raw_path.startswith(_OURS)

    async def reply(self, request: Request, caller: Caller, answer: Answering) -> None:
        """See Face."""
        path = request.raw_path.decode("ascii", "replace")
        if path == "/-/login":
            await self._log_in(request, answer)
            return
        if request.method not in ("GET", "HEAD"):
            raise takes_only("GET, HEAD")
        match path:
            case "" | "/":
                await self._page(request, caller, answer)
            case "/healthz":
                await answer.give(200, TEXT, b"ok\n")
            case "/readyz":
                await self._ready(request, caller, answer)
            case "/metrics":
                self._admit(request, caller)
                await self._metrics(answer)
            case "/-/events":
                self._admit(request, caller)
                await self._events(request, caller, answer)
            case "/favicon.ico":
                await answer.give(404, TEXT, b"")
            case _ if path in _FILES:
                headers = SAFE | {"Content-Type": _FILES[path], "Cache-Control": "no-cache"}
                await answer.give(200, headers, _file(path.rpartition("/")[2]))
            case _:
                raise nothing_here()

    def refusal(self, refused: Refused) -> tuple[Mapping[str, str], bytes]:
        """See Face."""
        return TEXT, f"{as_text(refused)}\n".encode()

    def _viewer(self, request: Request, caller: Caller) -> Caller | None:
        """The one who looks, if that is allowed: by what the browser entered, or by the rights of the request."""
        found = self._sessions.caller_of(request)
        if found is not None and found.may_view:
            return found
        return caller if caller.may_view else None

    def _admit(self, request: Request, caller: Caller) -> None:
        if self._viewer(request, caller) is None:
            raise caller.deny("what this server does is shown to who may read everything, and not")

    async def _page(self, request: Request, caller: Caller, answer: Answering) -> None:
        lang = language(request)
        if self._viewer(request, caller) is None:
            await answer.give(401, HTML, self._layout.form(lang))
        else:
            await answer.give(200, HTML, _page(self._layout, lang, request.link_base))

    async def _log_in(self, request: Request, answer: Answering) -> None:
        """Take a token from the form. Whose rights end somewhere sees the registry, as far as they go."""
        layout, lang = self._layout, language(request)
        place = "registry" if layout.has_registry and is_set(parameters(request.query_string), "registry") else "server"
        if request.method in ("GET", "HEAD"):
            await answer.give(200, HTML, layout.form(lang, place))
            return
        form = parse_qs((await read_body(request.receive, _MOST_FORM)).decode("utf-8", "replace"), max_num_fields=10)
        token = form.get("token", [""])[0].strip()
        found = self._sessions.identify(token, request.client)
        if found is None or not (found.may_view or layout.has_registry):
            await answer.give(403, HTML, layout.form(lang, place, is_wrong=True))
            return
        to = PLACES[place if found.may_view else "registry"]
        prefix, is_secure = layout.prefix, request.link_base.startswith("https:")
        cookie = set_cookie(self._sessions.begin(token), prefix, is_secure=is_secure)
        await answer.give(303, {"Location": f"{prefix}{to}?lang={lang}", "Set-Cookie": cookie}, b"")

    async def _metrics(self, answer: Answering) -> None:
        board = self._board
        text = metrics.text_of(board.traffic, board.intake, await board.looking.around())
        await answer.give(200, SAFE | {"Content-Type": metrics.CONTENT_TYPE}, text)

    async def _ready(self, request: Request, caller: Caller, answer: Answering) -> None:
        """Tell everybody whether it is, and who may look why not."""
        condition = await self._board.looking.condition()
        is_ready = condition is not None and condition.is_ready and not self._is_over()
        found: dict[str, object] = {"status": "ready" if is_ready else "not-ready"}
        if (viewer := self._viewer(request, caller)) is not None and condition is not None:
            found["checks"] = condition.told(is_whole=viewer.restricted)
        await answer.give(200 if is_ready else 503, _JSON, encode(found).encode())

    async def _events(self, request: Request, caller: Caller, answer: Answering) -> None:
        """The live state once a second, as events that a browser reads."""
        who = client_of(request.client)
        if self._viewers.total() >= _MOST_VIEWERS or self._viewers[who] >= _EACH:
            raise busy("many look at this server already", 10)
        self._viewers[who] += 1
        try:
            await answer.begin(200, _EVENTS)
            while (
                request.method == "GET"
                and not self._is_over()
                and (viewer := self._viewer(request, caller)) is not None
            ):
                state = await self._board.drawn(is_whole=viewer.restricted)
                await answer.body(b"data: " + state + b"\n\n")
                await asyncio.sleep(_SECOND)
            await answer.end()
        finally:
            self._viewers[who] -= 1
            self._viewers += Counter()  # without those who left


@lru_cache(64)
def _page(layout: PageLayout, lang: str, address: str) -> bytes:
    return layout.draw("dashboard.html", lang, "server", address=address)


@lru_cache
def _file(name: str) -> bytes:
    return templating.read(name).encode()
