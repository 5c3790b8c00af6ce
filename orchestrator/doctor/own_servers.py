"""Servers of this user that run, and the one that programs are told to ask: what is seen of them, and findings."""

from __future__ import annotations

import http.client
import ipaddress
import json
import math
import shlex
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from orchestrator.core.addresses import is_this_machine
from orchestrator.doctor.findings import Finding
from orchestrator.servers import RunningServer, connect, running_servers

_PATIENCE = 2.5
_LONGEST = 1 << 16


@dataclass(frozen=True, slots=True)
class SeenServer:
    """A server that runs. `error` says why it did not answer; `troubles` are its checks that failed, each with a
    reason."""

    url: str
    pid: int
    cache_dir: str
    error: str | None = None
    is_ready: bool = True
    troubles: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class NamedEndpoint:
    """The address that HF_ENDPOINT tells programs to ask. `error` says why nobody answers there; `proxy` is the one
    through which they ask."""

    url: str
    error: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class OwnServers:
    """The servers, the endpoint if one near here is named, and the cache and the root of the settings."""

    running: tuple[SeenServer, ...] = ()
    endpoint: NamedEndpoint | None = None
    cache_dir: str = ""
    root: str = ""


def look(runtimes: Iterable[Path], endpoint: str | None, cache_dir: Path, root: str) -> OwnServers:
    """Ask each of the servers, and see who listens at the endpoint, where that is near."""
    running = tuple(map(_ask, running_servers(runtimes)))
    return OwnServers(running, _endpoint(endpoint) if endpoint else None, str(cache_dir), root)


def findings_of(seen: OwnServers) -> Iterator[Finding]:
    """All that is odd about them; without a server and an endpoint nothing."""
    for rule in _RULES:
        yield from rule(seen)


def _ask(server: RunningServer) -> SeenServer:
    connection = connect(server, _PATIENCE)
    path = f"{urlsplit(server.url).path}/readyz"
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {server.token}"})
        told = json.loads(connection.getresponse().read(_LONGEST))
        checks = [(str(check["name"]), str(check["message"])) for check in told["checks"] if not check["is_ok"]]
        is_ready = told["status"] == "ready"
    except (OSError, http.client.HTTPException) as error:
        why = f"it does not answer ({type(error).__name__})"
        return SeenServer(server.url, server.pid, str(server.cache_dir), why, is_ready=False)
    except (ValueError, KeyError, TypeError, RecursionError):
        why = "it does not answer as a server of this version does"
        return SeenServer(server.url, server.pid, str(server.cache_dir), why, is_ready=False)
    finally:
        connection.close()
    return SeenServer(server.url, server.pid, str(server.cache_dir), None, is_ready, tuple(checks))


def _endpoint(url: str) -> NamedEndpoint | None:
    """The endpoint, where it is on this machine or in its network; the others are sources that are measured anyway."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    if not _is_near(host):
        return None
    proxies = getproxies()
    proxy = None if proxy_bypass(host) else proxies.get(parts.scheme) or proxies.get("all")
    try:
        socket.create_connection((host, port), _PATIENCE).close()
    except OSError as error:
        return NamedEndpoint(url, error.strerror or "no answer", proxy)
    return NamedEndpoint(url, None, proxy)


def _is_near(host: str) -> bool:
    try:
        return is_this_machine(host) or ipaddress.ip_address(host).is_private
    except ValueError:
        return False


# -- rules -------------------------------------------------------------------------------------------------------------


def _dead_endpoint(seen: OwnServers) -> Iterator[Finding]:
    if seen.endpoint is None or seen.endpoint.error is None:
        return
    others = [server.url for server in seen.running if server.is_ready]
    command = f"export HF_ENDPOINT={shlex.quote(others[0])}" if others else "unset HF_ENDPOINT"
    yield Finding("endpoint-dead", f"HF_ENDPOINT is {seen.endpoint.url}, and nobody listens there",
                  seen.endpoint.error, math.inf, command)  # fmt: skip


def _endpoint_by_proxy(seen: OwnServers) -> Iterator[Finding]:
    if seen.endpoint is not None and seen.endpoint.proxy is not None:
        host = urlsplit(seen.endpoint.url).hostname or ""
        yield Finding("endpoint-by-proxy",
                      f"programs ask {seen.endpoint.url} through the proxy, which is to reach other networks",
                      "not in NO_PROXY", math.inf,
                      f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}{host}"')  # fmt: skip


def _not_ready(seen: OwnServers) -> Iterator[Finding]:
    for server in seen.running:
        if server.error is not None:
            yield Finding("server-silent", f"your server at {server.url} runs as {server.pid}, and {server.error}",
                          "no answer", math.inf, f"kill {server.pid}")  # fmt: skip
        for name, message in server.troubles:
            code = "server-stale" if name == "root" else "server-not-ready"
            words = (
                f"your server at {server.url} does not reach its root, and serves what it has: {message}"
                if name == "root"
                else f"your server at {server.url} cannot fetch anything: {message or name}"
            )
            yield Finding(code, words, f"{name}: not well", 0.0 if name == "root" else math.inf)


def _asks_itself(seen: OwnServers) -> Iterator[Finding]:
    if any(_is_same(server.url, seen.root) for server in seen.running):
        yield Finding("root-is-own-server",
                      f"your own server at {seen.root} is the root here: what it fetches could come from all sources",
                      "the root is your own server", 0.0, "export GLM_ARIA_ROOT=https://huggingface.co")  # fmt: skip


def _unused(seen: OwnServers) -> Iterator[Finding]:
    ready = [server.url for server in seen.running if server.is_ready]
    if ready and seen.endpoint is None:
        yield Finding("server-unused", f"your server at {ready[0]} runs, and nothing here tells programs to ask it",
                      "HF_ENDPOINT names none", 0.0, f"export HF_ENDPOINT={shlex.quote(ready[0])}")  # fmt: skip


def _other_cache(seen: OwnServers) -> Iterator[Finding]:
    for server in seen.running:
        if server.cache_dir != seen.cache_dir:
            yield Finding("server-other-cache",
                          f"your server at {server.url} has a cache of its own, so a model may be here twice",
                          f"{server.cache_dir} beside {seen.cache_dir}", 0.0,
                          f"export HF_HUB_CACHE={shlex.quote(server.cache_dir)}")  # fmt: skip


def _is_same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/").replace("//localhost:", "//127.0.0.1:")


_RULES: Sequence[Callable[[OwnServers], Iterator[Finding]]] = (
    _dead_endpoint,
    _endpoint_by_proxy,
    _not_ready,
    _asks_itself,
    _unused,
    _other_cache,
)
