"""The certificate of the server, from files that another program renews."""

from __future__ import annotations

import ssl
from pathlib import Path

from orchestrator.events import Emit
from orchestrator.net.renewed import Renewed, server_context

_HINT = "--cert is a PEM file with the whole chain, --key one with its key, without a password"


class ServerCertificate:
    """A chain of certificates and its key. New connections get what the files hold now, open ones go on.

    Raises ConfigError where they cannot be used. Later, the last ones that could be used stay.
    """

    def __init__(self, certificate: Path, key: Path, emit: Emit) -> None:
        self._certificate = certificate
        self._key = key
        self._renewed = Renewed((certificate, key), self._load, emit)
        self.context = self._renewed.current()
        # Called at the beginning of each handshake.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        current = self._renewed.current()
        if current is not self.context:
            connection.context = current

    def _load(self) -> ssl.SSLContext:
        context = server_context(self._certificate, self._key, _HINT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        return context
