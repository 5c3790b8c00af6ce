"""Development versions: a folder that is pushed each time it was saved, as `X.Y.Z-dev.N` with the next free N."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from orchestrator.core.exponential import backoff
from orchestrator.core.sizes import format_duration
from orchestrator.errors import ConflictError, GlmAriaError, IntegrityError, Interrupted
from orchestrator.events import Emit, ModelPhase, Notice, Phase
from orchestrator.publishing.destinations import Destination
from orchestrator.publishing.folder import read_folder
from orchestrator.publishing.push import HashedFiles, PushReport, PushRequest, push
from orchestrator.publishing.saves import Saves
from orchestrator.registry.versions import Version
from orchestrator.system.signals import Stop

_DEV = re.compile(r"dev\.(0|[1-9][0-9]*)")
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 300.0
_FOREVER = 1e9


class Destinations(Protocol):
    """The versions of a model, and the destination of a push of each. Raise what a registry says."""

    def versions(self) -> Collection[Version]:
        """The versions that there are."""

    def at(self, version: Version) -> AbstractContextManager[Destination]:
        """The destination of a version."""


@dataclass(frozen=True, slots=True)
class Development:
    """A folder to push on each save, before the release `base`."""

    request: PushRequest
    base: Version

    def of(self, number: int) -> Version:
        """The development version of a number."""
        return replace(self.base, prerelease=f"dev.{number}")

    def newest(self, versions: Collection[Version]) -> int | None:
        """The number of the newest one of these; None where there is none."""
        names = (one.prerelease for one in versions if replace(self.base, prerelease=one.prerelease) == one)
        return max((int(found[1]) for found in map(_DEV.fullmatch, names) if found), default=None)


def push_on_save(
    wanted: Development,
    destinations: Destinations,
    on_push: Callable[[PushReport], None],
    *,
    emit: Emit,
    stop: Stop,
) -> PushReport:
    """Push the folder now and on each save until `stop` is set; the last report.

    A push that fails is told, and tried again, and later each time. Raises what the first one does.
    """
    # From here on a signal ends things in order.
    stop.is_abrupt = False
    request, hashed = wanted.request, HashedFiles()
    with Saves(request.folder, lambda: read_folder(request.folder, request.include, request.exclude)) as saves:
        look = saves.look()
        report = push_next(wanted, destinations, hashed, emit=emit, stop=stop)
        emit(_done(report))
        on_push(report)
        failures, patience = 0, _FOREVER
        while not stop.is_set():
            before, look = look, saves.wait(look, stop, patience)
            if stop.is_set() or (look == before and not failures):
                continue
            try:
                found = push_next(wanted, destinations, hashed, emit=emit, stop=stop)
            except Interrupted:
                break
            except GlmAriaError as error:
                emit(ModelPhase(str(request.folder), Phase.FAILED))
                failures += 1
                patience = backoff(failures, _FIRST_WAIT, _LONGEST_WAIT, random.random())  # noqa: S311 - no secret
                if not isinstance(error, IntegrityError):  # it is being written: there is a save to come
                    emit(Notice("push-failed", f"{error.message}; again in {format_duration(patience)}, or on a save"))
                continue
            failures, patience = 0, _FOREVER
            emit(_done(found))
            if not found.was_there:
                report = found
                on_push(report)
        return report


def _done(report: PushReport) -> ModelPhase:
    return ModelPhase(f"{report.name}@{report.version}", Phase.DONE)


def push_next(
    wanted: Development, destinations: Destinations, hashed: HashedFiles, *, emit: Emit, stop: Stop
) -> PushReport:
    """Push the folder as the next development version; as the newest one, where that is the same."""
    newest = wanted.newest(destinations.versions())
    if newest is not None:
        with destinations.at(wanted.of(newest)) as destination:
            try:
                push(replace(wanted.request, is_dry_run=True), destination, emit=emit, stop=stop, hashed=hashed)
            except ConflictError:
                pass  # it is another one
            else:
                return push(wanted.request, destination, emit=emit, stop=stop, hashed=hashed)
    number = 1 if newest is None else newest + 1
    with destinations.at(wanted.of(number)) as destination:
        return push(wanted.request, destination, emit=emit, stop=stop, hashed=hashed)
