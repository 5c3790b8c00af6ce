"""A board in a Redis (7 or later), for several schedulers.

    glm:{<fleet>}:born           milliseconds of the server's clock when the board began: all else is younger
    glm:{<fleet>}:log            a stream; an entry for each exchange that changed something, `<born>-0`, `<born>-1`, …:
                                 `by`, who put it, and then a field for each register, "<shelf> <name>"
    glm:{<fleet>}:recent         there is one while something changed in the last seconds
    glm:{<fleet>}:shelves        a zset: the shelves there are, by the unix second after which they are forgotten
    glm:{<fleet>}:shelf:<shelf>  a hash of registers: 32 hex digits of the version, 16 bytes of seal, and the value
    glm:{<name>}:at              the name of the fleet that is called so, too: it changes its key; and seals of that

The braces keep all of a fleet on one node of a Redis cluster. The numbers of the log have no gap, so that a reader sees
when it misses something; another birth says that everything was lost.

Others may write in the same Redis. A seal is the first 16 bytes of HMAC-SHA256(key of the fleet,
"board/1|FLEET|SHELF|VERSION|length of NAME|NAME|VALUE"), and what has none is left out: only who has the key decides
anything. An old register that somebody puts back loses by its version to who knows a newer one. What is left to others
is to remove or to block what is there: that stops a fleet, and tells it nothing.

A fleet has a name by each of its keys. While a key is changed some schedulers know the one, some the other: those that
know both put up where the board is, and all keep the oldest one until it was silent for a day.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from orchestrator.errors import TemporaryError
from orchestrator.net.redis_line import redis_line
from orchestrator.swarm.board.interface import CHANGES, LIFE, QUIET, BoardAnswer, Mark, Register
from orchestrator.swarm.tickets import FleetKeys

PATIENCE = 1.0
"""Seconds that one answer may take."""
_BATCH = 1000
"""Registers in one call of the script: Lua takes some thousands of arguments."""
_BATCH_BYTES = 4 << 20
_ENTRIES = 256
_MOST_SHELVES = 20_000
_MOST_SHELF = 64 << 20
_KEYS = ("born", "log", "shelves", "recent")
_MARK = re.compile(rb"(\d{1,18})-(\d{1,18})")
_VERSION = re.compile(rb"([0-9a-f]{16})([0-9a-f]{16})")
_SEAL = 16
_MOST_KEYS = 8
_LOOK = 60.0
"""Seconds between two looks by which name the fleet has its board."""
_HEAD = 32 + _SEAL

# Keys: born, log, shelves, recent, and each shelf. Values: who, LIFE, CHANGES, QUIET, then for each shelf its name, how
# many registers it gets, and their names and cells. Returns "1" for each that was taken, else "0".
_PUT = """
local born = redis.call('GET', KEYS[1])
local now = redis.call('TIME')
if not born then
  born = string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
end
redis.call('SET', KEYS[1], born, 'EX', ARGV[2])
local entry, won, at = {'by', ARGV[1]}, {}, 5
for k = 5, #KEYS do
  local shelf, count = ARGV[at], tonumber(ARGV[at + 1])
  local names, set, gone = {}, {}, {}
  for i = 1, count do names[i] = ARGV[at + 2 * i] end
  local held = redis.call('HMGET', KEYS[k], unpack(names))
  for i = 1, count do
    local name, cell = names[i], ARGV[at + 2 * i + 1]
    if held[i] and string.sub(held[i], 1, 32) >= string.sub(cell, 1, 32) then
      won[#won + 1] = '0'
    else
      if #cell > 48 then set[#set + 1] = name; set[#set + 1] = cell else gone[#gone + 1] = name end
      entry[#entry + 1] = shelf .. ' ' .. name
      entry[#entry + 1] = cell
      won[#won + 1] = '1'
    end
  end
  if #gone > 0 then redis.call('HDEL', KEYS[k], unpack(gone)) end
  if #set > 0 then
    redis.call('HSET', KEYS[k], unpack(set))
    redis.call('EXPIRE', KEYS[k], ARGV[2])
    redis.call('ZADD', KEYS[3], now[1] + ARGV[2], shelf)
  end
  at = at + 2 + 2 * count
end
if #entry > 2 then
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], born .. '-*', unpack(entry))
  redis.call('EXPIRE', KEYS[2], ARGV[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now[1])
  redis.call('EXPIRE', KEYS[3], ARGV[2])
  redis.call('SET', KEYS[4], '1', 'EX', ARGV[4])
end
return table.concat(won)
"""


class RedisBoard:
    """See `interface.FleetBoard`. `url` may hold a password and is never shown; `fleet` is of letters and digits, and
    what it says is sealed with the first of its `keys`, and believed with any. `aliases` are its names by other keys.

    Raises ConfigError where the client library is missing or the address is none.
    """

    def __init__(self, url: str, fleet: str, keys: FleetKeys, aliases: Sequence[str] = ()) -> None:
        self._line = redis_line(url, setting="fleet.redis", extra="fleet", patience=PATIENCE)
        self._client = self._line.client
        self._names = (fleet, *aliases)
        self._seals = _Seals(fleet, keys)
        self._looked = float("-inf")
        self._me = os.urandom(8).hex().encode()
        self._guard = threading.Lock()
        self._is_unsure = False

    def exchange(self, puts: Sequence[Register], after: Mark | None) -> BoardAnswer:
        """See `interface.FleetBoard`."""
        with self._guard:
            try:
                answer = self._exchange(puts, after)
            except self._line.errors as error:
                self._is_unsure = True
                # Only the kind of error: its text may quote what was sent.
                raise TemporaryError(
                    f"the Redis of the fleet at {self._line.place} does not answer as one ({type(error).__name__})",
                    hint="check that it runs, is version 7 or later, and that its address and password are right",
                ) from None
            self._is_unsure = False
            return answer

    def close(self) -> None:
        """Hang up."""
        with self._guard:
            self._line.close()

    def _exchange(self, puts: Sequence[Register], after: Mark | None) -> BoardAnswer:
        if time.monotonic() - self._looked >= _LOOK:
            self._find()
        # By shelf, since the script works by shelf.
        order = sorted(range(len(puts)), key=lambda index: puts[index].shelf)
        batches = list(_batches([puts[index] for index in order]))
        with self._client.pipeline(transaction=False) as line:
            line.exists(self._prefix + "recent")
            for batch in batches:
                self._put(line, batch)
            line.get(self._prefix + "born")
            if after is None:
                self._ask_end(line)
            else:
                line.xread({self._prefix + "log": f"{after[0]}-{after[1]}"}, count=_ENTRIES)
            recent, *answers = line.execute()
        is_quiet = recent == 0
        taken = "".join(map(_flags, answers[: len(batches)], batches))
        won = tuple(flag == "1" for _, flag in sorted(zip(order, taken, strict=True)))
        born, first, *more = answers[len(batches) :]
        if after is None:
            return self._whole(won, first, more[0], is_quiet=is_quiet)
        entries = _entries(first[0][1] if first else [])
        numbers = [mark for mark, _ in entries]
        # Another birth, a gap, or numbers below ours: what we have seen is no longer all of it.
        if (
            int(born or 0) != after[0]
            or numbers != [(after[0], after[1] + 1 + index) for index in range(len(numbers))]
            or (not numbers and any(won))
        ):
            with self._client.pipeline(transaction=False) as line:
                self._ask_end(line)
                return self._whole(won, *line.execute(), is_quiet=is_quiet)
        news = [
            register
            for _, fields in entries
            if self._is_unsure or fields.get(b"by") != self._me
            for register in self._seals.registers(fields)
        ]
        return BoardAnswer(won, tuple(news), numbers[-1] if numbers else after, is_quiet=is_quiet)

    def _put(self, line: Any, batch: Sequence[Register]) -> None:
        keys, words = [self._prefix + key for key in _KEYS], [self._me, LIFE, CHANGES, round(QUIET)]
        for shelf, registers in groupby(batch, lambda put: put.shelf):
            cells = [word for put in registers for word in (put.name, self._seals.cell(put))]
            keys.append(f"{self._prefix}shelf:{shelf}")
            words += [shelf, len(cells) // 2, *cells]
        line.eval(_PUT, len(keys), *keys, *words)

    def _ask_end(self, line: Any) -> None:
        """Ask where the log ends, before the shelves are read: what comes between is read twice, and not missed."""
        line.xrevrange(self._prefix + "log", count=1)
        line.zrevrange(self._prefix + "shelves", 0, _MOST_SHELVES - 1)

    def _whole(self, won: tuple[bool, ...], last: Any, names: Any, *, is_quiet: bool) -> BoardAnswer:
        shelves = [name.decode("ascii", "replace") for name in names]
        keys = [f"{self._prefix}shelf:{shelf}" for shelf in shelves]
        with self._client.pipeline(transaction=False) as line:
            for key in keys:
                line.memory_usage(key)
            sizes = line.execute(raise_on_error=False)
        found: list[Register] = []
        left_out: list[str] = []
        for shelf, key, size in zip(shelves, keys, sizes, strict=True):
            if isinstance(size, int) and size <= _MOST_SHELF:
                cells = self._client.hgetall(key)
                found += filter(None, (self._seals.register(shelf, name, cell) for name, cell in cells.items()))
            elif isinstance(size, int):
                left_out.append(shelf)
        mark = _entries(last)[0][0] if last else (0, 0)
        return BoardAnswer(won, tuple(found), mark, True, is_quiet, tuple(left_out))

    @property
    def _prefix(self) -> str:
        return _prefix_of(self._seals.fleet)

    def _find(self) -> None:
        """Take the oldest board that the fleet has by any name, and put up for its other names where that is."""
        signs = [_prefix_of(name) + "at" for name in self._names]
        names = dict.fromkeys(self._names)
        for name, sign in zip(self._names, self._asked(signs), strict=True):
            if isinstance(sign, bytes) and (other := self._seals.other_name(name, sign)):
                names[other] = None
        born = self._asked([_prefix_of(name) + "born" for name in names])
        ages = {name: int(value) for name, value in zip(names, born, strict=True) if value}
        chosen = min(ages, key=lambda name: ages[name]) if ages else self._names[0]
        self._seals = replace(self._seals, fleet=chosen)
        with self._client.pipeline(transaction=False) as line:
            for name, sign in zip(self._names, signs, strict=True):
                if name != chosen:
                    line.set(sign, self._seals.sign(name, chosen), ex=LIFE)
            line.execute()
        self._looked = time.monotonic()

    def _asked(self, keys: Sequence[str]) -> Any:
        with self._client.pipeline(transaction=False) as line:
            for key in keys:
                line.get(key)
            return line.execute()


def _prefix_of(name: str) -> str:
    return f"glm:{{{name}}}:"


def _batches(puts: Sequence[Register]) -> Iterator[Sequence[Register]]:
    start = size = 0
    for index, put in enumerate(puts):
        if index > start and (index - start >= _BATCH or size + len(put.value) > _BATCH_BYTES):
            yield puts[start:index]
            start, size = index, 0
        size += len(put.value)
    if start < len(puts):
        yield puts[start:]


def _flags(answer: Any, batch: Sequence[Register]) -> str:
    """The flag that the script gives for each register. Raises ValueError."""
    flags: str = answer.decode("ascii")
    if len(flags) != len(batch):
        raise ValueError("no answer of our script")
    return flags


def _entries(found: Any) -> list[tuple[Mark, Mapping[bytes, bytes]]]:
    """The entries of the log by their marks. Raises ValueError, AttributeError."""
    entries: list[tuple[Mark, Mapping[bytes, bytes]]] = []
    for name, fields in found:
        match = _MARK.fullmatch(name)
        if match is None:
            raise ValueError("no number of a change")
        entries.append(((int(match[1]), int(match[2])), fields))
    return entries


@dataclass(frozen=True, slots=True)
class _Seals:
    """Registers as cells of a hash, and back."""

    fleet: str
    keys: FleetKeys

    def cell(self, put: Register) -> bytes:
        """The cell of a register."""
        seal = self._seal(self.keys.keys[0], put)
        return b"%016x%016x%b%b" % (*put.version, seal, put.value)

    def sign(self, name: str, fleet: str) -> bytes:
        """The word that what is called by this name is that fleet."""
        return " ".join([fleet, *(_sign(key, name, fleet) for key in self.keys.keys)]).encode()

    def other_name(self, name: str, sign: bytes) -> str | None:
        """The fleet that a sign for this name tells; None where nobody with a key of this fleet put it up."""
        fleet, *shown = sign.decode("ascii", "replace").split(" ")
        known = [_sign(key, name, fleet).encode() for key in self.keys.keys]
        return (
            fleet
            if any(hmac.compare_digest(own, one.encode()) for own in known for one in shown[:_MOST_KEYS])
            else None
        )

    def registers(self, fields: Mapping[bytes, bytes]) -> Iterator[Register]:
        """The registers that an entry of the log has."""
        for field, cell in fields.items():
            shelf, space, name = field.partition(b" ")
            if space and (register := self.register(shelf.decode("ascii", "replace"), name, cell)):
                yield register

    def register(self, shelf: str, name: bytes, cell: bytes) -> Register | None:
        """The register of a cell; None for what is none, or was written by who has no key of the fleet."""
        match = _VERSION.match(cell)
        if match is None or len(cell) < _HEAD:
            return None
        try:
            found = Register(shelf, name.decode(), (int(match[1], 16), int(match[2], 16)), cell[_HEAD:])
        except ValueError:
            return None
        shown = cell[_HEAD - _SEAL : _HEAD]
        return found if any(hmac.compare_digest(self._seal(key, found), shown) for key in self.keys.keys) else None

    def _seal(self, key: bytes, put: Register) -> bytes:
        name = put.name.encode()
        about = b"board/1|%b|%b|%016x%016x|%d|%b|%b" % (
            self.fleet.encode(), put.shelf.encode(), *put.version, len(name), name, put.value
        )  # fmt: skip
        return hmac.digest(key, about, "sha256")[:_SEAL]


def _sign(key: bytes, name: str, fleet: str) -> str:
    return hmac.digest(key, f"board-at/1|{name}|{fleet}".encode(), "sha256")[:_SEAL].hex()
