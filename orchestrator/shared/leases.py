"""Leases: through Redis, one writer of a blob among all nodes of a shared cache.

For each digest there are two keys, both with the holder's name and its fencing token (`INCR` of one counter):

    …:lease:<hex>   exists while somebody writes the blob; its time to live is renewed by a thread of the holder
    …:last:<hex>    who had it last, for a day; the name is taken out when the lease is given back

So a new holder sees whether the one before gave the lease back. If that one may still be alive (a stopped process,
a node that lost its network), its part must not be continued: it may still write there. And a holder whose lease ran
out learns, by its token, that somebody else has had it since.

The token is looked at right before a blob is renamed into place. Correctness does not rest on it: what is placed has
been proven, and equal bytes may be placed twice.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from orchestrator.cache.claims import Grant
from orchestrator.core.files import Digest
from orchestrator.platform.host import host_name
from orchestrator.shared.redis import SharedRedis
from orchestrator.system import processes
from orchestrator.system.threads import try_start

LIFE = 15.0
"""Seconds that a lease lives without being renewed."""
_PAUSE = 0.25
"""Seconds between two questions for a lease that another one holds."""
_MEMORY = 86400

_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and string.match(held, '|(.*)$') ~= ARGV[1] then return {0, ''} end
local last = redis.call('GET', KEYS[2])
local token = redis.call('INCR', KEYS[3])
local value = token .. '|' .. ARGV[1]
redis.call('SET', KEYS[1], value, 'PX', ARGV[2])
redis.call('SET', KEYS[2], value, 'EX', ARGV[3])
return {token, last and string.match(last, '|(.*)$') or ''}
"""
_KEEP = """
local held = redis.call('GET', KEYS[1])
if held == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) return 1 end
if held then return 0 end
local last = redis.call('GET', KEYS[2])
if last and last ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
return 1
"""
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
local last = redis.call('GET', KEYS[2])
if last and last ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], string.match(ARGV[1], '^(.-)|') .. '|', 'EX', ARGV[2])
return 1
"""


class Leases:
    """The `Owners` of one process. Where Redis does not answer, everything is granted. Thread-safe."""

    def __init__(self, line: SharedRedis, *, life: float = LIFE) -> None:
        self._line = line
        self._life = round(life * 1000)
        host, pid, started = processes.me()
        self.owner = f"{host} {pid} {started or '-'} {os.urandom(8).hex()}"
        self._held: dict[str, str] = {}
        self._lost: set[str] = set()
        self._refused: dict[str, float] = {}
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, digest: Digest) -> Grant:
        """See `cache.claims.Owners`."""
        now = time.monotonic()
        if now - self._refused.get(digest.hex, -_PAUSE) < _PAUSE:
            return Grant.NO
        answer = self._line.ask(lambda redis: self._eval(redis, _TAKE, digest, self.owner, self._life, _MEMORY))
        match answer:
            case [int(token), str(last)]:
                pass
            case _:  # none, or one of no shape that our script gives: then file locks alone decide
                return Grant.YES
        if not token:
            self._refused[digest.hex] = now
            return Grant.NO
        with self._guard:
            self._refused.pop(digest.hex, None)
            self._lost.discard(digest.hex)
            self._held[digest.hex] = f"{token}|{self.owner}"
            if self._thread is None:
                thread = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._thread = thread if try_start(thread) else None
        return Grant.NEW_PART if last and last != self.owner and _may_live(last) else Grant.YES

    def is_ours(self, digest: Digest) -> bool:
        """See `cache.claims.Owners`."""
        with self._guard:
            value = self._held.get(digest.hex)
            if digest.hex in self._lost:
                return False
        if value is None:
            return True
        return self._keep(digest, value)

    def give_back(self, digest: Digest) -> None:
        """See `cache.claims.Owners`."""
        with self._guard:
            value = self._held.pop(digest.hex, None)
        if value is not None:
            was_ours = self._line.ask(lambda redis: self._eval(redis, _GIVE_BACK, digest, value, _MEMORY))
            if was_ours == 0:
                with self._guard:
                    self._lost.add(digest.hex)

    def close(self) -> None:
        """Give all of them back."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(self._life / 1000)
        for hex_ in tuple(self._held):
            self.give_back(Digest.parse(("sha256:" if len(hex_) == 64 else "git-sha1:") + hex_))

    def _renew(self) -> None:
        while not self._ended.wait(self._life / 3000):
            with self._guard:
                held = tuple(self._held.items())
            for hex_, value in held:
                with contextlib.suppress(KeyError):
                    self._keep(Digest.parse(("sha256:" if len(hex_) == 64 else "git-sha1:") + hex_), value)

    def _keep(self, digest: Digest, value: str) -> bool:
        kept = self._line.ask(lambda redis: self._eval(redis, _KEEP, digest, value, self._life, _MEMORY))
        if kept == 0:
            with self._guard:
                if self._held.get(digest.hex) == value:
                    self._lost.add(digest.hex)
            return False
        return True

    def _eval(self, redis: Any, script: str, digest: Digest, *arguments: object) -> Any:
        prefix = self._line.prefix
        keys = (f"{prefix}:lease:{digest.hex}", f"{prefix}:last:{digest.hex}", f"{prefix}:fence")
        return redis.eval(script, len(keys), *keys, *arguments)


def _may_live(owner: str) -> bool:
    """Could this holder, which never gave its lease back, still write? Known only of this host's processes."""
    try:
        host, pid, started, _ = owner.split(" ")
        return host != host_name() or processes.lives(pid, "" if started == "-" else started)
    except ValueError:
        return True
