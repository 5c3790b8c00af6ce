"""`verify`: take entry of the cache, read it again in threads, name what rotted, and on demand repair it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from os import stat_result
from pathlib import Path
from types import MappingProxyType

from orchestrator.cache import census
from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.entries import Entry, entries_of
from orchestrator.core.files import Digest
from orchestrator.core.refs import Target
from orchestrator.errors import (
    CannotCreateError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    Interrupted,
    NoSpaceError,
    NotFoundError,
)
from orchestrator.events import Emit, Notice, Phase, Queued
from orchestrator.proof.checkup import Checkup, check
from orchestrator.proof.pieces import Range
from orchestrator.proof.progress import Reading
from orchestrator.system.signals import Stop
from orchestrator.system.threads import Pool

_WORKERS = 2
_AHEAD = 32  # files given to the workers
_NOTHING: Mapping[str, int] = MappingProxyType({})
_BATCH = 1000  # proofs that are remembered at once

Mend = Callable[[Entry, Sequence[Range]], Mapping[str, int]]
"""Repairs one file; returns the bytes that each source sent, raises GlmAriaError where it cannot (`upkeep.mend`)."""


Wrong = Callable[[Entry, stat_result], None]
"""Hears of a file whose bytes are wrong, as it was when it was read."""


class Health(StrEnum):
    """The state of a verified file; the values are those of the JSON schema."""

    OK = "ok"
    ROTTEN = "rotten"
    REPAIRED = "repaired"
    MISSING = "missing"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """A request to verify: all if `targets` is empty, and of these the files that match a glob.

    `fast` compares piece hashes where there are some.
    """

    targets: tuple[Target, ...] = ()
    globs: tuple[str, ...] = ()
    fast: bool = False


@dataclass(slots=True)
class Verified:
    """One file of the cache and how it is. `ranges` were found wrong; `sources` are the bytes that each sent."""

    entry: Entry
    state: Health
    ranges: tuple[Range, ...] = ()
    is_fast: bool = False
    sources: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    error: GlmAriaError | None = None


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """A whole run. `interrupted` is the signal number when the user stopped it.

    `left_out` is what lies in the cache and is no part of it.
    """

    files: tuple[Verified, ...]
    seconds: float
    interrupted: int | None = None
    left_out: tuple[Path, ...] = ()


def verify(
    request: VerifyRequest,
    cache: Cache,
    mend: Mend | None,
    *,
    stop: Stop,
    emit: Emit,
    wrong: Wrong = lambda *_: None,
) -> VerifyReport:
    """Read what is asked for, and repair with `mend`. What is wrong with a file is in the report, not raised; `wrong`
    is told at once, in whatever thread.

    Raises NotFoundError when nothing of a target is in the cache, and the disk's errors.
    """
    started = time.monotonic()
    found = census.take(cache.layout)
    entries = entries_of(found, cache.blobs, cache.records, request.targets, request.globs)
    todo = [entry for entry in entries if entry.digest is not None and entry.found is not None]
    results = [_unread(entry) for entry in entries if entry.digest is None or entry.found is None]
    chosen = {target.repo for target in request.targets}
    left_out = tuple(path for repo in found.repos if not chosen or repo.repo in chosen for path in repo.strays)
    closed = () if request.targets else tuple(found.closed.values())
    del found, entries  # of a cache with many files they are half of what the run needs
    emit(Queued(len(todo), sum(entry.found.st_size for entry in todo if entry.found), to="verify"))
    stop.is_abrupt = False
    try:
        results += _read_all(todo, cache.blobs, stop, emit, wrong, fast=request.fast)
        if mend is not None:
            for rotten in [item for item in results if item.state is Health.ROTTEN]:
                _repair(rotten, mend)
    except Interrupted:
        stop.set()
    results.sort(key=lambda item: item.entry.label)
    for label in (item.entry.label for item in results if item.state is Health.UNPROVEN):
        emit(Notice("unproven", f"the digest of {label!r} is unknown; it was not checked", file=label))
    for error in closed:
        emit(Notice("closed", f"not checked: {error.message}"))
    interrupted = stop.signal_number if stop.is_set() else None
    return VerifyReport(tuple(results), time.monotonic() - started, interrupted, left_out)


def _unread(entry: Entry) -> Verified:
    if entry.found is not None:
        return Verified(entry, Health.UNPROVEN)
    name = entry.names[0]
    error = NotFoundError(
        f"{name.path!r} of {name.repo.url_path} is linked at {name.commit[:12]} and not in the cache",
        hint=f"glm-aria pull {name.repo.url_path}@{name.commit}",
        file=name.path,
    )
    return Verified(entry, Health.MISSING, error=error)


def _read_all(
    todo: Sequence[Entry], blobs: HfCache, stop: Stop, emit: Emit, wrong: Wrong, *, fast: bool
) -> list[Verified]:
    results: list[Verified] = []
    proven = _Proven(blobs)
    # A future of each file at once would weigh more than all that is known of it.
    running: deque[tuple[Entry, Future[Checkup]]] = deque()
    pool = Pool(_WORKERS, thread_name_prefix="verify")
    try:
        for entry in todo:
            running.append((entry, pool.submit(_read, entry, blobs, stop, emit, wrong, fast=fast)))
            if len(running) == _AHEAD:
                results.append(_verified(*running.popleft(), blobs, proven))
        while running:
            results.append(_verified(*running.popleft(), blobs, proven))
    except Interrupted:
        stop.set()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        proven.remember()
    return results


class _Proven:
    """Blobs that were read and are right, to be remembered many at once."""

    def __init__(self, blobs: HfCache) -> None:
        self._blobs = blobs
        self._found: dict[str, list[tuple[Digest, stat_result]]] = {}
        self._count = 0

    def add(self, folder: str, digest: Digest, found: stat_result) -> None:
        self._found.setdefault(folder, []).append((digest, found))
        self._count += 1
        if self._count == _BATCH:
            self.remember()

    def remember(self) -> None:
        for folder, found in self._found.items():
            with contextlib.suppress(CannotCreateError, NoSpaceError):
                self._blobs.proofs.add(folder, found)
        self._found.clear()
        self._count = 0


def _read(entry: Entry, blobs: HfCache, stop: Stop, emit: Emit, wrong: Wrong, *, fast: bool) -> Checkup:
    assert entry.digest is not None  # noqa: S101 - `todo` holds no other
    assert entry.real is not None and entry.found is not None  # noqa: S101, PT018
    digest = entry.digest
    reading = Reading(emit, digest, entry.label, Phase.HASHING, entry.found.st_size, timed=True)
    reading.begin()
    is_known = all(blobs.proofs.is_proven(place.repo_folder, digest, entry.found) for place in entry.places)
    checkup = check(
        entry.real,
        digest,
        entry.size,
        blobs.pieces,
        fast=fast,
        durable=not is_known,
        stop=stop,
        on_bytes=reading,
    )
    reading.end(Phase.FAILED if checkup.ranges else Phase.DONE)
    if checkup.ranges:
        wrong(entry, checkup.found)
    return checkup


def _verified(
    entry: Entry,
    future: Future[Checkup],
    blobs: HfCache,
    proven: _Proven,
) -> Verified:
    assert entry.digest is not None  # noqa: S101
    try:
        checkup = future.result()
    except DiskIOError as error:
        if entry.real is not None and not entry.real.exists():
            return Verified(entry, Health.MISSING, error=NotFoundError(f"{entry.label!r} was removed meanwhile"))
        _forget(entry, blobs)
        size = entry.found.st_size if entry.found else 0
        return Verified(entry, Health.ROTTEN, ((0, size),), error=error)
    if checkup.ranges:
        _forget(entry, blobs)
        return Verified(entry, Health.ROTTEN, checkup.ranges, checkup.is_fast, error=_rotten(entry, checkup.ranges))
    if not checkup.is_fast:
        for place in entry.places:
            if place.is_blob:
                proven.add(place.repo_folder, entry.digest, checkup.found)
    return Verified(entry, Health.OK, is_fast=checkup.is_fast)


def _forget(entry: Entry, blobs: HfCache) -> None:
    """Drop the proof of a corrupt file: the next pull reads it again, and fetches it."""
    if entry.digest is not None:
        for place in entry.places:
            with contextlib.suppress(CannotCreateError):
                blobs.proofs.forget(place.repo_folder, [entry.digest])


def _rotten(entry: Entry, ranges: Sequence[Range]) -> IntegrityError:
    shown = ", ".join(f"{start}-{end - 1}" for start, end in ranges[:8]) + (", …" if len(ranges) > 8 else "")
    where = f" of {entry.names[0].repo.url_path}" if entry.names else ""
    repair = f"glm-aria verify {entry.names[0].repo.url_path} --repair" if entry.names else "glm-aria cache gc"
    return IntegrityError(
        f"{entry.label!r}{where} is corrupt: its bytes {shown} do not match {entry.digest} ({entry.real})",
        hint=repair,
        file=entry.label,
    )


def _repair(item: Verified, mend: Mend) -> None:
    try:
        item.sources = mend(item.entry, item.ranges)
        item.state, item.error = Health.REPAIRED, None
    except Interrupted:
        raise
    except GlmAriaError as error:
        item.error = error
