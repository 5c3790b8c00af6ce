"""One kept connection to aria2's RPC, under aria2p's client.

aria2p opens a connection for every call (2.7 ms instead of 0.2 ms). What carries the calls is the standard library's
HTTP client: requests takes three times its CPU time for each, and asks aria2 to compress what it answers.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import aria2p
from urllib3.util.wait import wait_for_read

from orchestrator.aria2.endpoint import Endpoint
from orchestrator.errors import DaemonError
from orchestrator.system.certificates import context_of
from orchestrator.system.failures import shown
from orchestrator.system.listeners import Listener


class KeepAliveClient(aria2p.Client):
    """aria2p's client on one connection; the address may have any path.

    It raises what `http.client` and `ssl` raise, and ValueError for what is not JSON. Proxies, redirects and netrc play
    no part: the secret is in each call.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        parts = urlsplit(endpoint.url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        super().__init__(f"{parts.scheme}://{parts.hostname}", port, endpoint.secret, timeout)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": "application/json", **_login(parts)}
        self._connection = _connection(endpoint, parts.hostname or "", port, timeout)

    def post(self, payload: str) -> Any:
        """The answer to a call. The connection is made again where the other end has closed it meanwhile."""
        connection = self._connection
        if connection.sock is not None and wait_for_read(connection.sock, timeout=0):
            connection.close()
        try:
            connection.request("POST", self._target, payload.encode(), self._headers)
            return json.loads(connection.getresponse().read())
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self._connection.close()


class _ProvenConnection(http.client.HTTPConnection):
    """Says nothing over a connection before its other end is proven to be that process.

    A daemon of ours may end, and its port be taken, between any two connections. It binds its port once, so a
    connection that was made while it was seen to listen, before and after, is one to it.
    """

    def __init__(self, host: str, port: int, timeout: float, listener: Listener) -> None:
        super().__init__(host, port, timeout=timeout)
        self._listener = listener

    def connect(self) -> None:
        self._prove()
        super().connect()
        self._prove()

    def _prove(self) -> None:
        if not self._listener.is_proven:
            raise DaemonError(
                f"aria2c no longer listens on port {self._listener.port} of 127.0.0.1; nothing was sent there",
                hint="run the same command again",
            )


def _connection(endpoint: Endpoint, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
    if endpoint.listener is not None:
        return _ProvenConnection(host, port, timeout, endpoint.listener)
    if urlsplit(endpoint.url).scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=_context(endpoint))
    return http.client.HTTPConnection(host, port, timeout=timeout)


def usual_bundle() -> Path:
    """The file of the certificates that Python believes where nothing else is said."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return Path(DEFAULT_CA_BUNDLE_PATH)


def _context(endpoint: Endpoint) -> ssl.SSLContext:
    bundle = str(endpoint.ca_bundle or usual_bundle())
    try:
        return context_of(bundle)
    except OSError as error:
        raise DaemonError(
            f"the certificates in {shown(bundle)!r} cannot be read: {error.strerror or error}",
            hint="name the file of the CA: export GLM_ARIA_CA_BUNDLE=FILE, or tls.ca_bundle in your settings",
        ) from error


def _login(parts: SplitResult) -> dict[str, str]:
    """The header for a name and password in the address, which `rpc-user` and `rpc-passwd` of aria2 ask for."""
    if parts.username is None:
        return {}
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}
