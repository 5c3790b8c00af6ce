"""Room for the blobs that are on their way: on the disk, and within the size that the cache may have."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from orchestrator.cache import census as census_
from orchestrator.cache.cache import Cache
from orchestrator.cache.retention.on_demand import Revision
from orchestrator.core.files import Digest
from orchestrator.core.refs import Target, parse_folder
from orchestrator.core.sizes import format_size
from orchestrator.disk import space
from orchestrator.errors import GlmAriaError, NoSpaceError, TemporaryError
from orchestrator.events import Emit, Evicted, Notice
from orchestrator.predict.worth import GUESS, going_too, order, wrong
from orchestrator.transfer.spans import SMALL
from orchestrator.upkeep.collect import collect
from orchestrator.upkeep.garbage import Kind, Rules

SETTLED = 60.0
"""Seconds after its last use for which a revision stays: a client asks for its next file."""
ABANDONED = 3600.0
"""Seconds without a write after which a part goes before whole revisions do."""
_LOW = 0.9
"""The share of the allowed size that an eviction goes down to without a forecast: the next request needs none."""
_AGAIN = 5.0
"""Seconds for which it is not looked again whether something may go."""
_TOLD_AGAIN = 60.0
"""Seconds for which it is not told again that clients are refused."""
_HINT = "raise serve.max_size, unpin or remove models, or try again later"

InUse = Callable[[], frozenset[Revision]]
Gone = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class _Count:
    """Bytes in the cache, and those that are `beside` them: parts, and what is reserved and not in the cache yet."""

    cached: int
    beside: int

    @property
    def total(self) -> int:
        return self.cached + self.beside


class Room:
    """Reserves room before the first byte of a blob comes. Calls block; thread-safe.

    `most` are the bytes that the cache may have, with what is reserved; None for as many as the disk holds. To keep to
    that, revisions go that are on the list of `OnDemand`, the longest unused first, but those `in_use`; `gone` hears of
    them. Guesses, which nobody has used, go before all others, but those that are `foreseen`, and others only where
    these are not enough: all that is `spare`, and then as much as is needed, by how `likely` somebody asks for it, and
    the longest unused first. They name the folders of repos, and are empty where there is no forecast.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        most: int | None,
        in_use: InUse,
        gone: Gone,
        emit: Emit,
        settled: float = SETTLED,
    ) -> None:
        self._cache = cache
        self.most = most
        self._in_use = in_use
        self._gone = gone
        self._emit = emit
        self._settled = settled
        self._guard = threading.Lock()
        self._admitting = threading.Lock()
        self._reserved: dict[Digest, int] = {}
        self._base: int | None = None
        self._grown = 0
        # When, for how many bytes and why nothing could go.
        self._refused = (0.0, 0, "")
        self.foreseen: frozenset[str] = frozenset()
        self.likely: Mapping[str, float] = {}
        self.spare: frozenset[str] = frozenset()
        self._told: float | None = None

    @property
    def reserved(self) -> int:
        """Bytes that are still to come of all that is reserved."""
        with self._guard:
            return self._to_come()

    def reserve(self, blobs: Mapping[Digest, int], name: str, *, is_guess: bool = False) -> None:
        """Reserve room for blobs by their sizes, as far as it is not. Raises NoSpaceError, and then none is reserved.

        `name` is what they are, for the message. For a guess nothing goes but other guesses that are not foreseen.
        """
        with self._admitting:  # what is refused takes no room from others, not for a moment
            with self._guard:
                fresh = {digest: size for digest, size in blobs.items() if digest not in self._reserved}
                self._reserved |= fresh
            try:
                if fresh:
                    self._make_room(name, is_guess=is_guess)
            except BaseException as error:
                with self._guard:
                    for digest in fresh:
                        self._reserved.pop(digest, None)
                if isinstance(error, NoSpaceError) and not is_guess:
                    self._tell(error)
                raise

    def release(self, digests: Iterable[Digest]) -> None:
        """Give the room of blobs back: they are in the cache, or nobody wants them. Idempotent."""
        with self._guard:
            for digest in digests:
                # What came of it has its room from now on; the next census tells how much that is.
                self._grown += self._reserved.pop(digest, 0)

    def shrink(self) -> None:
        """Make the cache as small as it may be, before anybody asks for something. Tells where not enough may go."""
        try:
            with self._admitting:
                self._make_room("the cache")
        except GlmAriaError as error:
            self._emit(Notice("no-room", f"clients can have nothing fetched: {error.message}"))

    def make_way(self) -> None:
        """Let what is spare go: a guess was used, and the next ones need room. Does what it can."""
        with self._admitting, suppress(GlmAriaError):
            now = time.time()
            if too := going_too(self._going(now)):
                self._remove(Rules(now, keep_size=0, only=too, grace=0))
                self._count()

    @property
    def used(self) -> dict[str, float]:
        """The repos, by their folders, that may go and were used, each with its last use."""
        uses = self._cache.blobs.on_demand.uses()
        last: dict[str, float] = {}
        for (folder, _), use in uses.items():
            if use != GUESS:
                last[folder] = max(use, last.get(folder, use))
        return last

    @property
    def guess_room(self) -> int:
        """The bytes that a guess may have now: what is free, and what guesses have that are not foreseen."""
        with self._admitting:
            count = self._count()
            free = space.space(self._cache.layout.cache_dir).free - space.RESERVE
            if self.most is not None:
                free = min(free, self.most - count.total)
            rules = Rules(time.time(), keep_size=0, only=self._wrong_guesses(time.time()), grace=0)
            return free + collect(rules, self._cache, act=False).bytes_freed

    def _tell(self, error: NoSpaceError) -> None:
        """Tell who can do something about it, and not as often as clients try again. To be called while admitting."""
        now = time.monotonic()
        if self._told is None or now - self._told >= _TOLD_AGAIN:
            self._told = now
            self._emit(Notice("no-room", f"a client is refused a file: {error.message}"))

    def _make_room(self, name: str, *, is_guess: bool = False) -> None:
        if self.most is not None and (lack := max(self._missing(), self._lacks_disk())) > 0:
            if is_guess:
                self._evict_guesses(lack, self._wrong_guesses(time.time()))
                if max(self._missing(), self._lacks_disk()) > 0:
                    raise NoSpaceError(f"{name} has no room but that of what was used", hint=_HINT)
            else:
                self._evict(name)
        with self._guard:
            need = self._to_come()
        space.check(need, self._cache.layout.cache_dir)

    def _to_come(self) -> int:
        """To be called with the guard held."""
        held = self._cache.staging.held
        sizes = self._reserved.items()
        return sum(max(0, size - held(digest)) if size >= SMALL else size for digest, size in sizes)

    def _missing(self) -> int:
        """Bytes by which the cache may be too large, when all that is reserved has come."""
        if self.most is None:
            return 0
        if self._base is None:
            self._count()
        with self._guard:
            return (self._base or 0) + self._grown + sum(self._reserved.values()) - self.most

    def _lacks_disk(self) -> int:
        """Bytes that the disk lacks for all that is reserved."""
        with self._guard:
            need = self._to_come()
        return need + space.RESERVE - space.space(self._cache.layout.cache_dir).free

    def _count(self) -> _Count:
        """Count the bytes that the cache has."""
        staging = self._cache.staging
        with self._guard:
            self._grown = 0
            reserved = dict(self._reserved)
        census = census_.take(self._cache.layout)
        # Only now: what is placed meanwhile is not to count twice.
        parts = sum(staging.held(digest) for digest, _ in staging.parts() if digest not in reserved)
        blobs = [repo.blobs.get(digest.hex) for repo in census.repos for digest in reserved]
        placed = {blob.inode: blob.found.st_size for blob in blobs if blob is not None}
        cached = sum(census.sizes().values())
        self._base = cached - sum(placed.values()) + parts
        return _Count(cached, self._base - cached + sum(reserved.values()))

    def _evict(self, name: str) -> None:
        since, least, why = self._refused
        if since and time.monotonic() - since < _AGAIN and max(self._missing(), self._lacks_disk()) >= least:
            # A census for each of these would be a way to keep the disk busy.
            raise NoSpaceError(f"{name} {why}", hint=_HINT)
        count = self._count()
        missing = max(count.total - (self.most or 0), self._lacks_disk())
        for digest in self._abandoned() if missing > 0 else ():
            held = self._cache.staging.held(digest)
            if missing > 0 and self._cache.staging.remove(digest):
                missing, count = missing - held, replace(count, beside=count.beside - held)
        if missing > 0:
            self._evict_revisions(count, missing, name)
            self._count()

    def _going(self, now: float) -> dict[Revision, float]:
        """The revisions that may go, each with its last use in the order of going."""
        in_use, uses = self._in_use(), self._cache.blobs.on_demand.uses()
        only = {key: use for key, use in uses.items() if key not in in_use and now - use >= self._settled}
        foreseen = {key for key in only if key[0] in self.foreseen}
        spare = {key for key in only if key[0] in self.spare}
        return order(only, foreseen, {key: self.likely.get(key[0], 0.0) for key in only}, spare)

    def _wrong_guesses(self, now: float) -> dict[Revision, float]:
        """The guesses that may go for another one."""
        return wrong(self._going(now))

    def _evict_guesses(self, missing: int, only: Mapping[Revision, float]) -> int:
        """Let go of as many of these as are needed. Returns the bytes that are missing then."""
        if not only:
            return missing
        count = self._count()
        missing -= self._remove(Rules(time.time(), keep_size=max(0, count.cached - missing), only=only, grace=0))
        self._count()
        return missing

    def _evict_revisions(self, count: _Count, missing: int, name: str) -> None:
        now = time.time()
        only = self._going(now)
        if first := wrong(only):
            missing = self._evict_guesses(missing, first)
            if missing <= 0:
                return
            count = self._count()
            only = {key: use for key, use in only.items() if key not in first}
        low = min(count.cached - missing, self._low(only, count, now))
        rules = Rules(now, keep_size=max(0, low), only=only, grace=0)
        could = collect(rules, self._cache, act=False).bytes_freed
        if could < missing:
            why = (
                f"needs more room than there is (serve.max_size is {format_size(self.most or 0)}), and only"
                f" {format_size(could)} may go: what was pulled or pinned, or was read in the last"
                f" {self._settled:.0f} s, stays"
            )
            self._refused = (time.monotonic(), missing, why)
            raise NoSpaceError(f"{name} {why}", hint=_HINT)
        freed = self._remove(rules)
        for folder, commit in only:  # also those that a removal had reached which was killed
            if not (self._cache.layout.cache_dir / folder / "snapshots" / commit).exists():
                self._cache.blobs.on_demand.drop(folder, commit)
        if freed < missing:
            raise NoSpaceError(f"{name} has no room: programs began to read what was to go", hint=_HINT)

    def _low(self, only: Mapping[Revision, float], count: _Count, now: float) -> int:
        """The bytes of the cache that an eviction goes down to where it needs no more: by a forecast without all that
        is spare, else so far that the next request needs none."""
        if not self.likely:
            return int((self.most or 0) * _LOW) - count.beside
        rules = Rules(now, keep_size=0, only=going_too(only), grace=0)
        return count.cached - collect(rules, self._cache, act=False).bytes_freed

    def evict(self, target: Target) -> int:
        """Remove a repo or a revision, by whomever it came. Returns the bytes that this frees.

        Raises NotFoundError when nothing of it is in the cache, UnsafeError when it is pinned, TemporaryError when
        somebody reads it.
        """
        rules = Rules(time.time(), targets=(target,))
        chosen = {(item.folder, item.commit) for item in collect(rules, self._cache, act=False).garbage}
        if chosen & self._in_use():
            raise TemporaryError(f"{target} is being read, or is arriving", hint="try again when that has ended")
        return self._remove(rules)

    def _remove(self, rules: Rules) -> int:
        removed = collect(rules, self._cache, act=True)
        for item in removed.garbage:
            repo = parse_folder(item.folder)
            if item.kind is Kind.REVISION and item.commit is not None and repo is not None:
                # Only now: a revision that is half removed is still on the list.
                self._cache.blobs.on_demand.drop(item.folder, item.commit)
                self._gone(item.folder, item.commit)
                self._emit(Evicted(str(Target(repo, item.commit)), item.frees))
        return removed.bytes_freed

    def _abandoned(self) -> list[Digest]:
        """Parts that nobody goes on with, the oldest first."""
        with self._guard:
            reserved = frozenset(self._reserved)
        found = [(age, digest) for digest, age in self._cache.staging.parts()]
        old = [(age, digest) for age, digest in found if age >= ABANDONED and digest not in reserved]
        return [digest for _, digest in sorted(old, key=lambda one: -one[0])]
