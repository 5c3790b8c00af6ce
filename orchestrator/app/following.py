"""A list of models that a server keeps: the room of `watch`, with prefetches of the server in the place of pulls."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator.app.commanding import command
from orchestrator.app.compose import state_of
from orchestrator.cache.layout import CacheLayout
from orchestrator.cache.retention.pins import Pins
from orchestrator.errors import GlmAriaError, Interrupted, TemporaryError, UsageError
from orchestrator.events import Emit, Notice
from orchestrator.lists.quantizations import with_quantization
from orchestrator.lists.request import Item
from orchestrator.pulling.report import ModelReport, PullReport
from orchestrator.servers import RunningServer
from orchestrator.settings import Settings
from orchestrator.system import threads
from orchestrator.system.signals import Stop
from orchestrator.watch.state import WatchFile
from orchestrator.watch.watch import Listing, Ports, Read, WatchRequest, watch

_INTERVAL = 300.0
"""Seconds between two looks at a branch of the list."""


@contextlib.contextmanager
def following(path: Path, read: Read, server: RunningServer, settings: Settings, emit: Emit) -> Iterator[None]:
    """Keep the models of a list in the cache of a server of this process until the context ends, and pinned as long as
    they are on the list. Raises UsageError for a list that is wrong, or asks for what a server does not do."""
    stop, layout = Stop(), CacheLayout(settings.cache_dir)
    state = state_of(settings)

    def read_fit() -> Listing:
        listing = read()
        _refuse_unfit(listing[0])
        return listing

    def prefetch(items: tuple[Item, ...], turn: Stop, _tell: Emit) -> PullReport:
        return PullReport(tuple(_prefetched(item, server, turn) for item in items))

    def follow() -> None:
        ports = Ports(read_fit, prefetch, Pins(layout, state), WatchFile(state, path))
        try:
            watch(WatchRequest(_INTERVAL, pin=True, unpin=True), ports, stop, emit)
        except GlmAriaError as error:
            emit(Notice("not-followed", f"{path} is followed no more: {error.message}"))

    read_fit()
    thread = threading.Thread(target=follow, name="follow")
    threads.start(thread)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _refuse_unfit(items: tuple[Item, ...]) -> None:
    for item in items:
        if item.local_dir is not None or item.locked is not None:
            raise UsageError(
                f"{item.ref}: a server keeps models in its cache only, without a folder or a lock file",
                hint="take local_dir and locked out of the list, or use glm-aria watch",
            )


def _prefetched(item: Item, server: RunningServer, turn: Stop) -> ModelReport:
    """Have the server prefetch a model; an error is in the report."""
    ref = str(item.ref)
    if turn.is_set():
        return ModelReport(ref, error=Interrupted(turn.signal_number))
    asked = {
        "ref": with_quantization(ref, item.quantization),
        "include": item.include,
        "exclude": item.exclude,
        "variant": item.variant,
    }
    told: Mapping[str, Any] = {}
    try:
        with closing(command(server, "prefetch", asked)) as lines:
            for line in lines:
                told = line
                if turn.is_set():
                    return ModelReport(ref, error=Interrupted(turn.signal_number))
    except GlmAriaError as error:
        return ModelReport(ref, error=error)
    lost = told.get("lost")
    if lost is None or lost:
        why = f"{lost[0]['file']}: {lost[0]['message']}" if lost else "the server ends"
        return ModelReport(ref, error=TemporaryError(f"{len(lost or ())} file(s) were not fetched ({why})"))
    return ModelReport(ref, commit=str(told.get("commit")))
