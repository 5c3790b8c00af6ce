"""The Redis through which the nodes of one shared cache agree: a line to it that may be cut at any time.

Nothing that is right depends on it. Where it does not answer, `ask` says None, the user is told once, and it is left
alone for a while; what it would have decided is then decided by file locks alone.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.disk.atomic import scratch
from orchestrator.errors import TemporaryError
from orchestrator.events import Emit, Notice
from orchestrator.net.redis_line import redis_line
from orchestrator.system.failures import on_disk
from orchestrator.system.small_files import REF_BYTES, read_small

PATIENCE = 2.0
"""Seconds that one answer may take."""
REST = 10.0
"""Seconds for which a Redis that did not answer is not asked again."""

Answer = TypeVar("Answer")


class SharedRedis:
    """The line of one process. `url` may hold a password and is never shown; `scope` names the cache. Thread-safe.

    Raises ConfigError where the client library is missing or the address is none.
    """

    def __init__(self, url: str, emit: Emit, scope: str = "") -> None:
        self._line = redis_line(url, setting="shared.redis", extra="shared", patience=PATIENCE, is_text=True)
        self._emit = emit
        self._answered = False
        self._down_until = 0.0
        self._is_told = False
        self._guard = threading.Lock()
        self.scope = scope

    @property
    def prefix(self) -> str:
        """The prefix of all keys of this cache; the braces keep them on one node of a Redis cluster."""
        return f"glm-aria:{{{self.scope}}}"

    def ask(self, question: Callable[[Any], Answer]) -> Answer | None:
        """The result of `question` to the client; None if Redis does not answer. Blocks for `PATIENCE` at most."""
        if time.monotonic() < self._down_until:
            return None
        try:
            answer = question(self._line.client)
        except self._line.errors as error:
            self._down_until = time.monotonic() + REST
            self._tell(error)
            return None
        self._answered = True
        return answer

    def demand(self, question: Callable[[Any], Answer]) -> Answer:
        """As `ask`, for who cannot go on without an answer. Raises TemporaryError."""
        try:
            return question(self._line.client)
        except self._line.errors as error:
            raise TemporaryError(
                f"the shared Redis at {self._line.place} does not answer ({type(error).__name__})",
                hint="check that it runs, and the setting shared.redis: glm-aria config show",
            ) from None

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def _tell(self, error: BaseException) -> None:
        with self._guard:
            if self._is_told:
                return
            self._is_told = True
        # Only the kind of error: its text may quote what was sent.
        place, kind = self._line.place, type(error).__name__
        if self._answered:
            message = f"the shared Redis at {place} was lost ({kind}); going on with file locks alone"
            self._emit(Notice("redis-lost", message))
        else:
            message = f"the shared Redis at {place} does not answer ({kind}); file locks alone coordinate the nodes"
            self._emit(Notice("redis-down", message))


def scope_of(state_dir: Path) -> str:
    """A name for this cache that is the same on all nodes, wherever each of them has mounted it.

    Kept in `shared.id`, made once: the link fails for all but the first. Raises per `system.failures`.
    """
    file = state_dir / "shared.id"
    with on_disk("create", file):
        if not file.exists():
            temporary = scratch(state_dir / "stage")
            try:
                temporary.write_text(os.urandom(8).hex(), "ascii")
                temporary.chmod(0o600)
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, file)
            finally:
                temporary.unlink(missing_ok=True)
        name = read_small(file, REF_BYTES).decode("ascii", "replace").strip()
        return name if name.isalnum() else "none"
