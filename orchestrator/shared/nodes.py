"""Uses of a shared cache by node: each run tells Redis, for `cache ls --nodes`.

…:use                    a hash: "<node> <model>" -> unix seconds of its last use there
…:run:<node>:<random>    JSON, the models that a run is fetching; gone soon after the run, however that ends
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from orchestrator.events import Event, ModelPhase, Phase
from orchestrator.platform.host import host_name
from orchestrator.shared.redis import SharedRedis
from orchestrator.system.threads import try_start

_LIFE = 30
_MOST_NODES = 10_000
_YEAR_10000 = 253_402_300_800.0


@dataclass(frozen=True, slots=True)
class NodeUse:
    """A model on a node: its last use in unix seconds, None for none so far, and whether it is being fetched there."""

    node: str
    model: str
    last_use: float | None
    is_fetching: bool


class Nodes:
    """The announcements of this process. Feed it the events of a run."""

    def __init__(self, line: SharedRedis) -> None:
        self._line = line
        self._node = host_name()
        self._key = f"{line.prefix}:run:{self._node}:{os.urandom(8).hex()}"
        self._fetching: set[str] = set()
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def observe(self, event: Event) -> None:
        """Take an event; what is no phase of a model is nothing to tell."""
        if not isinstance(event, ModelPhase):
            return
        with self._guard:
            if event.phase is Phase.FETCHING:
                self._fetching.add(event.model)
            elif event.phase in (Phase.DONE, Phase.FAILED):
                self._fetching.discard(event.model)
            else:
                return
        if event.phase is Phase.DONE:
            self._line.ask(
                lambda redis: redis.hset(
                    f"{self._line.prefix}:use", f"{self._node} {event.model}", f"{time.time():.3f}"
                )
            )
        self._tell()
        if self._thread is None and self._fetching:
            thread = threading.Thread(target=self._repeat, name="nodes", daemon=True)
            self._thread = thread if try_start(thread) else None

    def close(self) -> None:
        """The run has ended."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_LIFE)
            self._line.ask(lambda redis: redis.delete(self._key))

    def _repeat(self) -> None:
        while not self._ended.wait(_LIFE / 3):
            self._tell()

    def _tell(self) -> None:
        with self._guard:
            models = sorted(self._fetching)
        if models:
            self._line.ask(lambda redis: redis.set(self._key, json.dumps(models), ex=_LIFE))
        elif self._thread is not None:
            self._line.ask(lambda redis: redis.delete(self._key))


def uses(line: SharedRedis) -> tuple[NodeUse, ...]:
    """The announcements of all nodes, sorted by node and model. Raises TemporaryError when Redis does not answer."""
    prefix = f"{line.prefix}:run:"
    last = line.demand(lambda redis: redis.hgetall(f"{line.prefix}:use"))
    fetching: set[tuple[str, str]] = set()
    for key in line.demand(lambda redis: _keys(redis, f"{_escaped(prefix)}*")):
        told = line.demand(lambda redis, key=key: redis.get(key))  # type: ignore[misc]
        node = str(key).removeprefix(prefix).rpartition(":")[0]
        fetching |= {(node, model) for model in _models(told)}
    seen: dict[tuple[str, str], float | None] = dict.fromkeys(fetching)
    for field, moment in last.items() if isinstance(last, dict) else ():
        if isinstance(field, str):
            node, _, model = field.partition(" ")
            seen[node, model] = _seconds(moment)
    return tuple(
        NodeUse(node, model, moment, (node, model) in fetching)
        for (node, model), moment in sorted(seen.items(), key=lambda item: item[0])
    )


def _keys(redis: Any, pattern: str) -> list[str]:
    """The keys like that. Not `scan_iter`: a server that never says that it is done would be asked for ever."""
    cursor, found = 0, []
    for _ in range(_MOST_NODES):
        cursor, keys = redis.scan(cursor, match=pattern, count=1000)
        found += keys
        if not cursor or len(found) > _MOST_NODES:
            break
    return found[:_MOST_NODES]


def _models(told: object) -> list[str]:
    try:
        found = json.loads(told) if isinstance(told, str) else []
        return [model for model in found if isinstance(model, str)] if isinstance(found, list) else []
    except (ValueError, RecursionError):
        return []


def _seconds(text: object) -> float | None:
    """Unix seconds that a calendar has; None for anything else that a hash may hold."""
    try:
        moment = float(str(text))
    except ValueError:
        return None
    return moment if math.isfinite(moment) and 0 <= moment < _YEAR_10000 else None


def _escaped(text: str) -> str:
    """For Redis' glob patterns."""
    return "".join(f"\\{character}" if character in "*?[]\\" else character for character in text)
