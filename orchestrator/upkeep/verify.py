"""`verify`: take stock of the cache, read it again in threads, name what rotted, and on demand repair it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from enum import StrEnum
from os import stat_result
from pathlib import Path

from orchestrator.cache import census
from orchestrator.cache.cache import Cache, HfCache
from orchestrator.cache.entries import Stock, take_stock
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

Mend = Callable[[Stock, Sequence[Range]], Mapping[str, int]]
"""Repairs one file; returns the bytes that each source sent, raises GlmAriaError where it cannot (`upkeep.mend`)."""


class State(StrEnum):
    """How a file was found, or left; the values are those of the JSON schema."""

    OK = "ok"
    ROTTEN = "rotten"
    REPAIRED = "repaired"
    MISSING = "missing"
    UNPROVEN = "unproven"


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """What to verify: all when `targets` is empty, of these the files that match a glob.

    `fast` compares piece hashes where there are some.
    """

    targets: tuple[Target, ...] = ()
    globs: tuple[str, ...] = ()
    fast: bool = False


@dataclass(slots=True)
class Verified:
    """One file of the cache and how it is. `ranges` were found wrong; `sources` are the bytes that each sent."""

    stock: Stock
    state: State
    ranges: tuple[Range, ...] = ()
    is_fast: bool = False
    sources: Mapping[str, int] = field(default_factory=dict)
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


def verify(request: VerifyRequest, cache: Cache, mend: Mend | None, *, stop: Stop, emit: Emit) -> VerifyReport:
    """Read what is asked for, and repair with `mend`. What is wrong with a file is in the report, not raised.

    Raises NotFoundError when nothing of a target is in the cache, and the disk's errors.
    """
    started = time.monotonic()
    found = census.take(cache.layout)
    stocks = take_stock(found, cache.blobs, cache.records, request.targets, request.globs)
    todo = [stock for stock in stocks if stock.digest is not None and stock.found is not None]
    results = [_unread(stock) for stock in stocks if stock.digest is None or stock.found is None]
    emit(Queued(len(todo), sum(stock.found.st_size for stock in todo if stock.found), to="verify"))
    stop.is_abrupt = False
    try:
        results += _read_all(todo, cache.blobs, stop, emit, fast=request.fast)
        if mend is not None:
            for rotten in [item for item in results if item.state is State.ROTTEN]:
                _repair(rotten, mend)
    except Interrupted:
        stop.set()
    results.sort(key=lambda item: item.stock.label)
    for label in (item.stock.label for item in results if item.state is State.UNPROVEN):
        emit(Notice("unproven", f"nobody said which digest {label!r} has; it was not checked", file=label))
    if not request.targets:
        for error in found.closed.values():
            emit(Notice("closed", f"not checked: {error.message}"))
    interrupted = stop.signal_number if stop.is_set() else None
    chosen = {target.repo for target in request.targets}
    left_out = tuple(path for repo in found.repos if not chosen or repo.repo in chosen for path in repo.strays)
    return VerifyReport(tuple(results), time.monotonic() - started, interrupted, left_out)


def _unread(stock: Stock) -> Verified:
    if stock.found is not None:
        return Verified(stock, State.UNPROVEN)
    name = stock.names[0]
    error = NotFoundError(
        f"{name.path!r} of {name.repo.url_path} is linked at {name.commit[:12]} and not in the cache",
        hint=f"glm-aria pull {name.repo.url_path}@{name.commit}",
        file=name.path,
    )
    return Verified(stock, State.MISSING, error=error)


def _read_all(todo: Sequence[Stock], blobs: HfCache, stop: Stop, emit: Emit, *, fast: bool) -> list[Verified]:
    results: list[Verified] = []
    proven: dict[str, list[tuple[Digest, stat_result]]] = {}
    pool = Pool(_WORKERS, thread_name_prefix="verify")
    running: dict[Future[Checkup], Stock] = {}
    try:
        for stock in todo:
            running[pool.submit(_read, stock, blobs, stop, emit, fast=fast)] = stock
        for future in as_completed(running):
            try:
                results.append(_verified(running[future], future, blobs, proven))
            except Interrupted:
                stop.set()
                break
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        # All of a repo at once: each change writes its list of proofs anew.
        for folder, found in proven.items():
            with contextlib.suppress(CannotCreateError, NoSpaceError):
                blobs.proofs.add(folder, found)
    return results


def _read(stock: Stock, blobs: HfCache, stop: Stop, emit: Emit, *, fast: bool) -> Checkup:
    assert stock.digest is not None  # noqa: S101 - `todo` holds no other
    assert stock.real is not None and stock.found is not None  # noqa: S101, PT018
    digest = stock.digest
    reading = Reading(emit, digest, stock.label, Phase.HASHING, stock.found.st_size, timed=True)
    reading.begin()
    is_known = all(blobs.proofs.is_proven(folder, digest, stock.found) for folder, _ in stock.places)
    checkup = check(
        stock.real,
        digest,
        stock.size,
        blobs.pieces,
        fast=fast,
        durable=not is_known,
        stop=stop,
        on_bytes=reading,
    )
    reading.end(Phase.FAILED if checkup.ranges else Phase.DONE)
    return checkup


def _verified(
    stock: Stock,
    future: Future[Checkup],
    blobs: HfCache,
    proven: dict[str, list[tuple[Digest, stat_result]]],
) -> Verified:
    assert stock.digest is not None  # noqa: S101
    try:
        checkup = future.result()
    except DiskIOError as error:
        if stock.real is not None and not stock.real.exists():
            return Verified(stock, State.MISSING, error=NotFoundError(f"{stock.label!r} was removed meanwhile"))
        _forget(stock, blobs)
        size = stock.found.st_size if stock.found else 0
        return Verified(stock, State.ROTTEN, ((0, size),), error=error)
    if checkup.ranges:
        _forget(stock, blobs)
        return Verified(stock, State.ROTTEN, checkup.ranges, checkup.is_fast, error=_rotten(stock, checkup.ranges))
    if not checkup.is_fast:
        for folder, place in stock.places:
            if place.parent.name == "blobs":
                proven.setdefault(folder, []).append((stock.digest, checkup.found))
    return Verified(stock, State.OK, is_fast=checkup.is_fast)


def _forget(stock: Stock, blobs: HfCache) -> None:
    """What is rotten is proven no more: the next pull reads it again, and fetches it."""
    if stock.digest is not None:
        for folder, _ in stock.places:
            with contextlib.suppress(CannotCreateError):
                blobs.proofs.forget(folder, [stock.digest])


def _rotten(stock: Stock, ranges: Sequence[Range]) -> IntegrityError:
    shown = ", ".join(f"{start}-{end - 1}" for start, end in ranges[:8]) + (", …" if len(ranges) > 8 else "")
    where = f" of {stock.names[0].repo.url_path}" if stock.names else ""
    repair = f"glm-aria verify {stock.names[0].repo.url_path} --repair" if stock.names else "glm-aria cache gc"
    return IntegrityError(
        f"{stock.label!r}{where} is rotten: its bytes {shown} are not those of {stock.digest} ({stock.real})",
        hint=repair,
        file=stock.label,
    )


def _repair(item: Verified, mend: Mend) -> None:
    try:
        item.sources = mend(item.stock, item.ranges)
        item.state, item.error = State.REPAIRED, None
    except Interrupted:
        raise
    except GlmAriaError as error:
        item.error = error
