"""Certificates in files that other programs renew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from orchestrator.disk.file_stat import Identity
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice

T = TypeVar("T")


class Renewed(Generic[T]):
    """The result of `load` for what these files hold now, or for the last content that could be used.

    Raises what `load` does in the beginning; later it is a warning.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[], T], emit: Emit) -> None:
        self._paths = tuple(paths)
        self._load = load
        self._emit = emit
        self._seen = self._look()
        self._last = load()

    def current(self) -> T:
        """The one for the next connection."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._last = self._load()
            except GlmAriaError as error:
                self._emit(Notice("certificate-unusable", f"the certificate from before is used: {error.message}"))
        return self._last

    def _look(self) -> tuple[Identity | None, ...]:
        return tuple(map(Identity.at, self._paths))
