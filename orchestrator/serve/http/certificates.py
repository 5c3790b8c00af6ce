"""The certificate of the server, from files that another program renews."""

from __future__ import annotations

import ssl
from pathlib import Path
from shlex import quote

from orchestrator.disk.access import others_who_may_read, others_who_may_write
from orchestrator.errors import ConfigError
from orchestrator.events import Emit
from orchestrator.net.renewed import Renewed


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
        try:
            self._certificate.stat()  # its error has the name of the file
            reason = others_who_may_write(self._key.stat(), self._key) or others_who_may_read(self._key)
            if reason:
                raise ConfigError(
                    f"the key {self._key} is not used: {reason}",
                    hint=f"chmod 600 {quote(str(self._key))}; or name a copy that you alone can read",
                )
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.set_alpn_protocols(["http/1.1"])
            # A key with a password has none here; without this, OpenSSL asks the terminal.
            context.load_cert_chain(self._certificate, self._key, password="")
        except OSError as error:
            why = error.reason if isinstance(error, ssl.SSLError) and error.reason else error.strerror
            why = f"{why}: {error.filename}" if error.filename else why
            raise ConfigError(
                f"the certificate {self._certificate} with the key {self._key} cannot be used: {why}",
                hint="--cert is a PEM file with the whole chain, --key one with its key, without a password",
            ) from error
        return context
