"""Commands to a server that runs: which one is meant, and how it is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.app.compose import known_state
from orchestrator.core.text import printable
from orchestrator.disk.private import runtime_folders
from orchestrator.errors import (
    GlmAriaError,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    SourcesDownError,
    TemporaryError,
    UnsafeError,
    UsageError,
)
from orchestrator.servers import RunningServer, connect, running_servers
from orchestrator.settings import Settings
from orchestrator.settings.values import secret
from orchestrator.system.listeners import Holder, holder
from orchestrator.system.small_files import SETTINGS_BYTES, read_named

_SILENCE = 60.0
"""Seconds without a word after which a server counts as gone; it sends one twice a second while it works."""
_LONGEST = 1 << 20

_ERRORS: Mapping[int, type[GlmAriaError]] = {
    400: UsageError,
    401: NotAllowedError,
    403: NotAllowedError,
    404: NotFoundError,
    409: UnsafeError,
    429: TemporaryError,
    503: SourcesDownError,
    507: NoSpaceError,
}


def find_server(
    settings: Settings, url: str | None, token_file: Path | None, *, is_cache_named: bool = False
) -> RunningServer:
    """The server that is meant: the one at `url`, or that of this user on this cache; if there is none, the only one,
    unless the user named the cache.

    Raises UsageError when that is none, or not one.
    """
    running = running_servers(runtime_folders(lambda: known_state(settings)))
    if url is not None:
        url = url.rstrip("/")
        mine = server_at(url, running)
        token = _read_token(token_file) if token_file else settings.serve_token
        if mine is not None and token is None:
            return mine
        if token is None:
            raise UsageError(
                f"{url} is not a server that you run on this machine, and obeys who has a token of an admin only",
                hint="set GLM_ARIA_SERVE_TOKEN, or --server-token-file FILE",
            )
        return RunningServer(url, 0, "", settings.cache_dir, token)
    on_this_cache = [server for server in running if server.cache_dir == settings.cache_dir]
    found = on_this_cache or list(running)
    if found and is_cache_named and not on_this_cache:
        raise UsageError(
            f"no `glm-aria serve` of yours has the cache {str(settings.cache_dir)!r}",
            hint="; ".join(f"one has {str(server.cache_dir)!r}: --server {server.url}" for server in found),
        )
    if not found:
        raise UsageError(
            "no `glm-aria serve` of yours runs on this machine",
            hint="start one: glm-aria serve; or name one: --server URL",
        )
    if len(found) > 1:
        each = ", ".join(f"{server.url} with {server.cache_dir}" for server in found)
        raise UsageError(f"several servers of yours run: {each}", hint=f"name one: --server {found[0].url}")
    return found[0]


def server_at(url: str, running: Sequence[RunningServer]) -> RunningServer | None:
    """The server that `url` leads to; None for one of somebody else's."""
    url = url.rstrip("/")
    return next((server for server in running if url in (server.url, server.near)), None) or _all_round(url, running)


def _all_round(url: str, running: Sequence[RunningServer]) -> RunningServer | None:
    """The server that `url` calls by a name of loopback, where it told us an address that other machines reach, too.

    Only one that listens on all addresses gets what is sent to its port of 127.0.0.1.
    """
    try:
        parts = urlsplit(url)
        if parts.hostname not in ("127.0.0.1", "localhost"):
            return None
        return next((server for server in running if _has_port(server, parts.port, parts.path)), None)
    except ValueError:  # no port
        return None


def _has_port(server: RunningServer, port: int | None, path: str) -> bool:
    parts = urlsplit(server.url)
    return port is not None and (parts.port, parts.path) == (port, path) and holder(server.pid, port) is Holder.OURS


def command(server: RunningServer, call: str, asked: Mapping[str, Any]) -> Generator[Mapping[str, Any], None, None]:
    """Have a server do something; the JSON objects that it answers with. Leaving early tells it to stop.

    Raises the error that a refusal stands for, SourcesDownError when the server does not answer, ProtocolError.
    """
    parts = urlsplit(server.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{server.url!r} is no address of a server", hint="for example --server http://127.0.0.1:8090")
    connection = connect(server, _SILENCE)
    try:
        headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
        connection.request("POST", f"{parts.path}/api/admin/{call}", json.dumps(asked), headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise _refusal(server, answer.status, answer.read(_LONGEST))
        while line := answer.readline(_LONGEST):
            told = _object(line, server)
            if isinstance(status := told.get("status"), int):
                raise _refusal(server, status, line)
            yield told
    except (OSError, http.client.HTTPException) as error:
        raise SourcesDownError(
            f"the server at {server.url} does not answer ({type(error).__name__})", hint="is it running? glm-aria serve"
        ) from error
    finally:
        connection.close()


def _read_token(path: Path) -> str:
    try:
        return secret(read_named(path, SETTINGS_BYTES).decode("utf-8-sig"), path)
    except (OSError, ValueError) as error:
        raise UsageError(f"the server's token cannot be read from {path}: {error}") from error


def _refusal(server: RunningServer, status: int, body: bytes) -> GlmAriaError:
    try:
        words = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        words = f"HTTP {status}"
    return _ERRORS.get(status, ProtocolError)(f"{server.url}: {printable(words)}")


def _object(line: bytes, server: RunningServer) -> Mapping[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProtocolError(f"{server.url} does not answer as a glm-aria does", hint="is it another server?")
    return value
