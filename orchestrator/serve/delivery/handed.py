"""Notes of what went out before its proof, kept until the proof holds: no client shall join right bytes to wrong ones.

A client that got a part of a file while it arrived may ask for the rest later. That is right as long as the bytes which
it has are those that were proven. They are not when a proof failed, and they may not be when this process ended in the
middle. So a note with the blob's name is written before its first unproven byte goes out, and removed when the blob
is proven without a doubt. For a blob whose note is left, a request for the rest is answered with the whole.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.disk.atomic import write_file
from orchestrator.errors import GlmAriaError
from orchestrator.system import processes

_DAY = 86400.0
"""Seconds for which a doubt, or a note of an earlier process, counts. Clients give up within minutes."""


class Handed:
    """The notes of one cache, in `state_dir/serve`. Thread-safe.

    An epoch of a blob ends when bytes of it that had arrived are taken back (`depot.watch.Watch.epoch`).
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = state_dir / "serve"
        self._stage = state_dir / "stage"
        self._guard = threading.Lock()
        self._since: dict[str, int] = {}
        self._clock = clock
        self._doubted: dict[str, float] = {}
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for note in self._folder.glob("*.early"):
                if (age := processes.age(note)) < _DAY:
                    self._doubted[note.stem] = clock() - age
                else:
                    note.unlink(missing_ok=True)

    def begin(self, digest: Digest, epoch: int) -> bool:
        """Note that unproven bytes of this epoch will go out; False if they must not, since that cannot be noted."""
        with self._guard:
            if self._is_doubted(digest):
                return False
            if digest.hex in self._since:
                return self._since[digest.hex] == epoch
            try:
                write_file(self._note(digest), "", self._stage, mode=0o600)
            except GlmAriaError:
                return False
            self._since[digest.hex] = epoch
            return True

    def is_suspect(self, digest: Digest, epoch: int | None = None) -> bool:
        """True when somebody may have bytes of this blob that are not its own. `epoch` is that of its arrival now."""
        with self._guard:
            if self._is_doubted(digest):
                return True
            return epoch is not None and self._since.get(digest.hex, epoch) != epoch

    def proven(self, digest: Digest, epoch: int) -> None:
        """The blob has its digest, with the bytes of this epoch."""
        with self._guard:
            since = self._since.pop(digest.hex, None)
            if since == epoch:
                with contextlib.suppress(OSError):
                    self._note(digest).unlink(missing_ok=True)
            elif since is not None:
                self._doubted[digest.hex] = self._clock()

    def doubt(self, digest: Digest) -> None:
        """The blob is given up before its proof: when it is fetched again, other bytes may come."""
        with self._guard:
            if self._since.pop(digest.hex, None) is not None:
                self._doubted[digest.hex] = self._clock()

    def _is_doubted(self, digest: Digest) -> bool:
        since = self._doubted.get(digest.hex)
        if since is None or self._clock() - since < _DAY:
            return since is not None
        del self._doubted[digest.hex]
        return False

    def _note(self, digest: Digest) -> Path:
        return self._folder / f"{digest.hex}.early"
