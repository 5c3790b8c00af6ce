"""TLS for gRPC, by files that other programs renew; what a server bears with; and the channel of who calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from orchestrator.errors import ConfigError
from orchestrator.events import Emit
from orchestrator.net.renewed import Renewed, server_context

MOST_MESSAGE = 64 << 10
"""Bytes of a message that is taken; and of one that is sent, where a service names no other."""
_MOST_TAKEN = ("grpc.max_receive_message_length", MOST_MESSAGE)
_MOST_SENT = "grpc.max_send_message_length"
_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
)
SERVER_OPTIONS = (
    _MOST_TAKEN,
    *_KEEPALIVE,
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.max_metadata_size", 8 << 10),
    # Who connects and says nothing is sent away, and who has no call.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 30_000),
    ("grpc.max_concurrent_streams", 64),
    # Else a second server takes half of the calls of the first.
    ("grpc.so_reuseport", 0),
)
_CLIENT_OPTIONS = (
    _MOST_TAKEN,
    (_MOST_SENT, MOST_MESSAGE),
    *_KEEPALIVE,
    # Schedulers are tried one after the other by us: a pause of minutes would keep a node away from one that is back.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.enable_http_proxy", 0),
    # Lines of one process are connections of their own.
    ("grpc.use_local_subchannel_pool", 1),
)
_HINT = "both are PEM files: the whole chain, and a key without a password"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: a chain of certificates with its key, and the `authority` by which the other side is proven. A server
    with an authority lets in only who shows a certificate of it."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """The authority, the key and the certificate, as the files have them now. Raises ConfigError."""
        if self.key is not None and self.certificate is not None:
            server_context(self.certificate, self.key, _HINT)  # gRPC says nothing of what is wrong with them
        return _content(self.authority), _content(self.key), _content(self.certificate)


def server_options(most_connections: int, most_sent: int) -> tuple[tuple[str, int], ...]:
    """Options of a server that has at most so many connections, and sends messages of at most so many bytes. Further
    connections are closed at once: without a descriptor, nobody else could be let in any more."""
    return (*SERVER_OPTIONS, (_MOST_SENT, most_sent), ("grpc.max_allowed_incoming_connections", most_connections))


def server_credentials(files: TlsFiles, emit: Emit) -> grpc.ServerCredentials | None:
    """The credentials of a server; None without a certificate. Raises ConfigError."""
    if files.certificate is None:
        return None

    def load() -> grpc.ServerCertificateConfiguration:
        authority, key, chain = files.read()
        return grpc.ssl_server_certificate_configuration([(key or b"", chain or b"")], root_certificates=authority)

    paths = filter(None, (files.certificate, files.key, files.authority))
    renewed = Renewed(tuple(paths), load, emit)
    # New connections get what the files hold then.
    return grpc.dynamic_ssl_server_credentials(
        renewed.current(), renewed.current, require_client_authentication=files.authority is not None
    )


def channel_to(address: str, files: TlsFiles) -> grpc.aio.Channel:
    """A channel to a server: over TLS where its authority is known. Raises ConfigError."""
    if files.authority is None:
        return grpc.aio.insecure_channel(address, options=_CLIENT_OPTIONS)
    authority, key, chain = files.read()
    return grpc.aio.secure_channel(
        address, grpc.ssl_channel_credentials(authority, key, chain), options=_CLIENT_OPTIONS
    )


def _content(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="it is a PEM file") from error
