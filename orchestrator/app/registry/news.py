"""Moves of aliases and new versions, as the server of a registry tells them: what a watch need not ask for."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from orchestrator.core.dialects import main_branches
from orchestrator.core.exponential import backoff
from orchestrator.core.refs import Ref
from orchestrator.documents import decode
from orchestrator.errors import GlmAriaError, ProtocolError
from orchestrator.events import Emit, Notice
from orchestrator.lists.request import Item
from orchestrator.net import shapes
from orchestrator.net.answers import Stream
from orchestrator.net.server_events import MEDIA_TYPE, ServerEvent, events_in
from orchestrator.net.session import Net
from orchestrator.registry.audit import Deed
from orchestrator.registry.document import TrailEntry
from orchestrator.registry.names import is_range
from orchestrator.registry.versions import Version
from orchestrator.system.threads import start

_TOLD = 5
"""Failures in a row of which the user is told: a server that is started again is no news."""
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0
"""Seconds before the server is asked again once it did not answer, or its events broke off."""


class RegistryNews:
    """Follows the events of the server at `url`, whose token `net` carries, in a thread of its own. A context manager;
    its methods are for one other thread.

    After a break the server is asked for what came since. What it cannot tell any more may be anything, so all models
    count as moved then, as they do once at the start.
    """

    def __init__(self, url: str, net: Net, emit: Emit, *, roll: Callable[[], float] = random.random) -> None:
        self._url = f"{url}/registry/v1/events"
        self._site = url
        self._net = net
        self._emit = emit
        self._roll = roll
        self._lock = threading.Lock()
        self._items: frozenset[Item] = frozenset()
        self._moved: frozenset[Item] = frozenset()
        self._is_heard = False
        self._last: str | None = None
        self._stop = threading.Event()
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RegistryNews:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._stop.set()
            if self._stream is not None:
                self._stream.abort()
        if self._thread is not None:
            self._thread.join(5)

    def follow(self, items: Iterable[Item]) -> None:
        """See `MoveNews.follow`."""
        with self._lock:
            self._items = frozenset(item for item in items if may_move(item.ref))
        if self._items and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="news", daemon=True)
            start(self._thread)

    def moved(self) -> frozenset[Item]:
        """See `MoveNews.moved`."""
        with self._lock:
            found, self._moved = self._moved, frozenset()
            return found

    def hears(self, item: Item) -> bool:
        """See `MoveNews.hears`."""
        return self._is_heard and item in self._items

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._listen()
                failures = 0
            except GlmAriaError as error:
                failures = 1 if self._is_heard else failures + 1
                self._is_heard = False
                if failures == _TOLD and not self._stop.is_set():
                    self._emit(
                        Notice(
                            "registry-unheard",
                            f"{self._site} does not tell when aliases move ({error.message}); until it does, they are "
                            "looked at in intervals",
                        )
                    )
            except BaseException:
                self._is_heard = False  # the watch looks in intervals again
                raise
            self._stop.wait(backoff(max(1, failures), _FIRST_WAIT, _LONGEST_WAIT, self._roll()))

    def _listen(self) -> None:
        """Hear the events until the server ends them, as it does now and then."""
        headers = {"Accept": MEDIA_TYPE, "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        if self._last is not None:
            headers["Last-Event-ID"] = self._last
        with self._net.listen(self._url, headers) as stream:
            with self._lock:
                if self._stop.is_set():
                    return
                self._stream = stream
            if stream.status != 200 or not stream.headers.get("Content-Type", "").startswith(MEDIA_TYPE):
                raise ProtocolError(f"HTTP {stream.status}, and no events", source=self._site)
            for event in events_in(stream.chunks()):
                self._take(event)

    def _take(self, event: ServerEvent) -> None:
        with self._lock:
            if event.name == "ready":
                if event.id != self._last:
                    self._moved |= self._items
                self._is_heard = True
            else:
                entry = _entry(event.data)
                self._moved |= {item for item in self._items if concerns(entry, item.ref)}
            # It is sent back as a header.
            self._last = event.id if shapes.whole(event.id) is not None else None


def may_move(ref: Ref) -> bool:
    """True for an alias or a range of versions in a registry of models."""
    return ref.catalog.tells_moves and not ref.is_commit and _version(ref.revision) is None


def concerns(entry: TrailEntry, ref: Ref) -> bool:
    """True for a change after which a ref may stand for something else: a move of its alias, a version for a range."""
    if entry.model != ref.repo.name:
        return False
    if entry.name == ref.revision:
        return True
    is_open = ref.revision in main_branches() or is_range(ref.revision)
    return entry.deed in (Deed.PUBLISH, Deed.ADOPT) and is_open and _version(entry.name) is not None


def _version(text: str) -> Version | None:
    with suppress(ValueError):
        return Version.parse(text)
    return None


def _entry(data: str) -> TrailEntry:
    try:
        return decode(TrailEntry, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"an event that is none: {error}") from error
