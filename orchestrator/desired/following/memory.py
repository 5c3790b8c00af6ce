"""Memory of a follower between two runs: the last good state of each source, the locks that it made, and times.

One file, 0600, replaced by rename. Without it nothing is lost but time: the sets on the disk say what they are.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from orchestrator.core.refs import Target
from orchestrator.desired.sources.interface import ReadState, read_again
from orchestrator.disk.locks import own_lock
from orchestrator.disk.state_file import read_state, write_state
from orchestrator.errors import GlmAriaError, TemporaryError
from orchestrator.lists.lockfile import Lock, LockedModel, parse_lock, render_lock


@dataclass(frozen=True, slots=True)
class Memory:
    """`states` by the key of the source; `serials` of signed ones by its address, of any signer; `locks` by the words
    of a wish; `left` when readers left a set, in unix seconds; `pins` are those that the follower made, `brought` the
    revisions that nobody had pulled by name."""

    generation: int = 0
    wish: str = ""
    states: Mapping[str, ReadState] = field(default_factory=dict)
    locks: Mapping[str, LockedModel] = field(default_factory=dict)
    left: Mapping[str, float] = field(default_factory=dict)
    pins: tuple[str, ...] = ()
    brought: tuple[str, ...] = ()
    published: str = ""
    verified: float = 0.0
    drift: int = 0
    flips: int = 0
    serials: Mapping[str, int] = field(default_factory=dict)

    def holding(self, pins: Iterable[Target], brought: Iterable[Target]) -> Memory:
        """The memory of a follower that also made these pins, and brought these revisions."""
        return replace(
            self,
            pins=tuple(dict.fromkeys((*self.pins, *map(str, pins)))),
            brought=tuple(dict.fromkeys((*self.brought, *map(str, brought)))),
        )

    def flipped(self, old: str | None, new: str, now: float) -> Memory:
        """The memory once readers got the set of the digest `new` in the place of `old`."""
        left = dict(self.left) if old is None else {**self.left, old: now}
        left.pop(new, None)
        return replace(self, left=left, flips=self.flips + 1)


class MemoryFile:
    """The memory of the follower of one set."""

    def __init__(self, state_dir: Path, folder: Path) -> None:
        name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        self._stage = state_dir / "stage"
        self._file = state_dir / "desired" / f"{name}.json"
        self._lock = self._file.with_suffix(".lock")
        self._set = folder

    def load(self) -> Memory:
        """The memory that was saved last; nothing where that cannot be read."""
        return read_state(self._file, _memory) or Memory()

    def save(self, memory: Memory) -> None:
        """Replace it, in one step. Raises per `system.failures`."""
        states = {
            address: {"revision": state.revision, "top": state.top, "texts": dict(state.texts)}
            for address, state in memory.states.items()
        }
        data = {
            "generation": memory.generation,
            "wish": memory.wish,
            "states": states,
            "locks": {words: render_lock(Lock((model,))) for words, model in memory.locks.items()},
            "left": dict(memory.left),
            "pins": memory.pins,
            "brought": memory.brought,
            "published": memory.published,
            "verified": memory.verified,
            "drift": memory.drift,
            "flips": memory.flips,
            "serials": dict(memory.serials),
        }
        write_state(self._file, self._stage, data)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the one follower of this set. Raises TemporaryError while another one lives."""
        with own_lock(self._lock) as is_alone:
            if not is_alone:
                raise TemporaryError(
                    f"another process keeps the set {self._set}",
                    hint="end it, or give this one another name: --set NAME",
                )
            yield


def _memory(data: dict[str, Any]) -> Memory:
    states: dict[str, ReadState] = {}
    for address, kept in data["states"].items():
        with contextlib.suppress(GlmAriaError):  # it is asked for again, then
            states[str(address)] = read_again(str(kept["revision"]), str(kept["top"]), dict(kept["texts"]))
    locks = {str(words): parse_lock(text, "the lock").models[0] for words, text in data["locks"].items()}
    return Memory(
        int(data["generation"]),
        str(data["wish"]),
        states,
        locks,
        {str(digest): float(when) for digest, when in data["left"].items()},
        tuple(map(str, data["pins"])),
        tuple(map(str, data["brought"])),
        str(data["published"]),
        float(data["verified"]),
        int(data["drift"]),
        int(data["flips"]),
        {str(address): int(serial) for address, serial in data.get("serials", {}).items()},
    )
