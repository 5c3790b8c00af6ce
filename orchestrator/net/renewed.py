"""Certificates of a server, in files that other programs renew."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Generic, TypeVar

from orchestrator.disk.access import others_who_may_read, others_who_may_write
from orchestrator.disk.file_stat import Identity
from orchestrator.errors import ConfigError, GlmAriaError
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


def server_context(certificate: Path, key: Path, hint: str) -> ssl.SSLContext:
    """A context for a server with this chain of certificates and its key.

    Raises ConfigError for a key that others may read or write, and, with `hint`, for files that cannot be used.
    """
    try:
        certificate.stat()  # its error has the name of the file
        reason = others_who_may_write(key.stat(), key) or others_who_may_read(key)
        if reason:
            raise ConfigError(
                f"the key {key} is not used: {reason}",
                hint=f"chmod 600 {quote(str(key))}; or name a copy that you alone can read",
            )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        # A key with a password has none here; without this, OpenSSL asks the terminal.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:
        why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
        why = f"{why}: {error.filename}" if error.filename else why
        raise ConfigError(
            f"the certificate {certificate} with the key {key} cannot be used: {why}", hint=hint
        ) from error
    return context
