"""Requests to Hub-like sites: bounded in time and size, retried, redirects by hand, the token only where it may go.

`Net` is shared by all threads of a run. It keeps connections open, but no cookies, and reads no `~/.netrc`. Statuses
that `net.statuses` does not retry are answers, not errors: what a 404 means is for the caller to say.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlunsplit

from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from orchestrator import __version__
from orchestrator.core.exponential import backoff
from orchestrator.core.proxies import Proxies, Proxy, parse_proxy
from orchestrator.errors import GlmAriaError, ProtocolError, ProxyRefusedError, SourcesDownError, TemporaryError
from orchestrator.net.addresses import MAX_REDIRECTS, is_loopback, next_hop, redact, split
from orchestrator.net.answers import CHUNK, Answer, Limits, Stream, chunks_of, put_back, too_slow
from orchestrator.net.credentials import Credentials
from orchestrator.net.dns import Lookup, looking_up
from orchestrator.net.failures import FOREIGN, at_the_proxy, translate
from orchestrator.net.handshake import Handshake, shake_hands
from orchestrator.net.retry import asked_wait
from orchestrator.net.statuses import Then, meaning

__all__ = ["USER_AGENT", "Limits", "Net"]

USER_AGENT = f"glm-aria/{__version__}"
_ERROR_BODY = 64 * 1024
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_NO_RETRIES = Retry(0, read=False)
_MOST_POOLS = 16
_Way = tuple[str, str, Proxy | None]
"""Scheme, host and port as the address has them, and the proxy: requests with an equal way share connections."""
# What a proxy says, too, when it cannot reach the site.
_GATEWAY = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class _Url:
    """All that the adapter of requests looks at in a request to find its pool."""

    url: str


class _Adapter(HTTPAdapter):
    """The pools of requests, with its certificates and proxies. Logs in at a proxy with UTF-8, as aria2 does; requests
    knows latin-1 only."""

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        known = parse_proxy(proxy)
        login = known and known.authorization
        return {"Proxy-Authorization": login} if login else {}


class Net:
    """One user's way to the sites. Thread-safe; reads no environment.

    `proxies` says through which proxy each site is asked; a request for an address that another site led to names that
    site as `home`. `ca_bundle` is a file (or folder, as OpenSSL has them) of certificates instead of the built-in ones.
    `lookup` finds the addresses of a host, instead of the system. `sleep` may be a wait that a signal ends early;
    `clock` is monotonic seconds, `now` unix seconds.
    """

    def __init__(  # noqa: PLR0913 - clocks and chance are given by tests
        self,
        credentials: Credentials | None = None,
        *,
        limits: Limits | None = None,
        proxies: Proxies | None = None,
        ca_bundle: Path | None = None,
        lookup: Lookup | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        roll: Callable[[], float] = random.random,
    ) -> None:
        self.credentials = credentials or Credentials()
        self.limits = limits or Limits()
        self.now = now
        self._sleep, self._clock, self._roll = sleep, clock, roll
        self._proxies, self._lookup = proxies or Proxies(), lookup
        self._verify: str | bool = str(ca_bundle) if ca_bundle else True
        self._adapter = _adapter(lookup)
        self._pools: dict[_Way, HTTPConnectionPool] = {}

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._pools.clear()
        self._adapter.close()

    def as_somebody(self, token: str | None) -> Net:
        """The same way to the sites for somebody else, over the same connections. Raises ConfigError for a token that
        cannot be sent."""
        other = copy.copy(self)
        other.credentials = Credentials(token, self.credentials.hosts)
        return other

    def reconnect(self) -> None:
        """Use no connection that is open now for another request: those under way go on, and the others are closed."""
        self._adapter, self._pools = _adapter(self._lookup), {}

    def get_json(self, url: str, *, attempts: int | None = None) -> Answer:
        """GET an API address, following redirects; `answer.value` is its JSON. Idempotent, retried.

        Raises SourcesDownError, TemporaryError, TrustError or ProtocolError, as the table in `net.failures` says.
        """

        def read(deadline: float) -> Answer:
            final, response = self._open("GET", url, deadline, {"Accept-Encoding": "gzip, deflate"}, url)
            try:
                return self._read(final, response, deadline)
            finally:
                put_back(response)

        return self._retried(read, attempts, url)

    def head(self, url: str, *, home: str | None = None) -> Answer:
        """HEAD one address without following a redirect. Retried; errors as in `get_json`."""

        def read(deadline: float) -> Answer:
            response = self._send("HEAD", url, deadline, {"Accept-Encoding": "identity"}, home or url)
            _hang_up(response)
            return Answer(url, response.status, response.headers)

        return self._retried(read, None, home or url)

    def ask(self, url: str, body: bytes | None = None) -> Answer:
        """GET one address, or POST JSON to it, without following a redirect. Retried; errors as in `get_json`."""

        def read(deadline: float) -> Answer:
            response = self._send("GET" if body is None else "POST", url, deadline, {}, url, body=body)
            try:
                return self._read(url, response, deadline)
            finally:
                put_back(response)

        return self._retried(read, None, url)

    def stream(self, url: str, *, byte_range: tuple[int, int] | None = None, home: str | None = None) -> Stream:
        """GET a file's bytes as they are, following redirects. Retried until the headers are there, not later.

        `byte_range` asks for the bytes from the first number up to, not including, the second. Any status is handed
        out; the caller looks at it. Errors as in `get_json`.
        """
        headers = {"Accept-Encoding": "identity"}
        if byte_range:
            headers["Range"] = f"bytes={byte_range[0]}-{byte_range[1] - 1}"
        opened: list[BaseHTTPResponse] = []

        def read(deadline: float) -> Answer:
            final, response = self._open("GET", url, deadline, headers, home or url)
            answer = Answer(final, response.status, response.headers)
            if meaning(answer.status).then is Then.RETRY:
                _hang_up(response)
            else:
                opened.append(response)
            return answer

        answer = self._retried(read, None, home or url)
        return Stream(answer.url, opened[0], self.limits, self._clock)

    def way_to(self, url: str) -> dict[str, str]:
        """The variables by which a program on libcurl takes the same way to `url`: proxy and certificates."""
        proxy = self._route(url, url)
        way = {"http_proxy": proxy.url, "https_proxy": proxy.url} if proxy else {"no_proxy": "*"}
        if isinstance(self._verify, bool):
            return way
        return way | {"GIT_SSL_CAPATH" if Path(self._verify).is_dir() else "GIT_SSL_CAINFO": self._verify}

    def proxy_for(self, url: str) -> str | None:
        """The proxy that stands between, as it may be shown; None for a direct way."""
        proxy = self._route(url, url)
        return redact(proxy.url) if proxy else None

    def shake_hands(self, url: str) -> Handshake | None:
        """Time the connection to a server. None where a proxy stands between: it is the proxy that connects."""
        if self._route(url, url):
            return None
        return shake_hands(url, self.limits.connect, self._verify, self._lookup)

    def _retried(self, read: Callable[[float], Answer], attempts: int | None, home: str) -> Answer:
        """Call `read` until it gives an answer that is not busy, within the limits."""
        deadline = self._clock() + self.limits.deadline
        most = attempts or self.limits.attempts
        for attempt in range(1, most + 1):
            wait = None
            try:
                answer = read(deadline)
            except ProxyRefusedError:
                raise
            except (SourcesDownError, TemporaryError) as error:
                failure: GlmAriaError = error
                if isinstance(error, SourcesDownError):
                    most = min(most, max(attempt, self.limits.unreachable))
            else:
                if meaning(answer.status).then is not Then.RETRY:
                    return answer
                wait = asked_wait(answer.headers, self.now())
                failure = _busy(answer, wait, self._route(answer.url, home))
            wait = backoff(attempt, _FIRST_WAIT, _LONGEST_WAIT, self._roll()) if wait is None else wait
            if attempt == most or self._clock() + wait >= deadline:
                break
            self._sleep(wait)
        raise failure

    def _open(
        self, method: str, url: str, deadline: float, headers: Mapping[str, str], home: str
    ) -> tuple[str, BaseHTTPResponse]:
        """Send, and follow redirects: each one must pass the rules of `next_hop` and of the token again."""
        for _ in range(MAX_REDIRECTS + 1):
            response = self._send(method, url, deadline, headers, home)
            location = response.headers.get("Location")
            if meaning(response.status).then is not Then.FOLLOW or not location:
                return url, response
            _hang_up(response)
            url = next_hop(url, location)
        raise ProtocolError(f"{split(url).netloc} redirects in a loop ({redact(url)})", source=split(url).netloc)

    def _send(
        self,
        method: str,
        url: str,
        deadline: float,
        headers: Mapping[str, str],
        home: str,
        *,
        body: bytes | None = None,
    ) -> BaseHTTPResponse:
        proxy = self._route(url, home)
        left = deadline - self._clock()
        if left <= 0:
            raise too_slow(url)
        sent = {"User-Agent": USER_AGENT, "Accept": "*/*", **headers, **self.credentials.headers_for(url)}
        if body is not None:
            sent["Content-Type"] = "application/json"
        try:
            response = self._ask(method, url, sent, proxy, left, body=body)
        except FOREIGN as error:
            raise translate(error, url, proxy) from error
        if proxy and response.status == 407:
            _hang_up(response)
            raise at_the_proxy(proxy, url, 407)
        return response

    def _ask(
        self, method: str, url: str, headers: dict[str, str], proxy: Proxy | None, left: float, *, body: bytes | None
    ) -> BaseHTTPResponse:
        """One request and its answer, whose body is still to come.

        Straight to the pools of urllib3: all that the session of requests adds is cookies, redirects and hooks, none of
        which has a use here, for as much time again (0.6 instead of 0.3 ms a request).
        """
        parts = split(url)
        pool = self._pool(url, (parts.scheme, parts.netloc, proxy))
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        if proxy and parts.scheme == "http":
            target, headers = url, headers | self._adapter.proxy_headers(proxy.url)
        timeout = Timeout(connect=min(self.limits.connect, left), read=min(self.limits.read, left))
        return pool.urlopen(
            method,
            target,
            body=body,
            headers=headers,
            redirect=False,
            retries=_NO_RETRIES,
            assert_same_host=False,
            timeout=timeout,
            preload_content=False,
            decode_content=False,
        )

    def _pool(self, url: str, way: _Way) -> HTTPConnectionPool:
        """The kept connections of a way. Those that are forgotten here end with the last request that has them."""
        known = self._pools.get(way)
        if known is None:
            proxy = way[2]
            named = {"http": proxy.url, "https": proxy.url} if proxy else {}
            found = self._adapter.get_connection_with_tls_context(cast(Any, _Url(url)), self._verify, proxies=named)
            known = cast(HTTPConnectionPool, found)
            if len(self._pools) >= _MOST_POOLS:
                self._pools.clear()
            self._pools[way] = known
        return known

    def _read(self, url: str, response: BaseHTTPResponse, deadline: float) -> Answer:
        most = self.limits.body if response.status < 400 else _ERROR_BODY
        body, begun = bytearray(), self._clock()
        for chunk in chunks_of(response, url, decode=True):
            body += chunk
            if len(body) > most and response.status < 400:
                raise ProtocolError(f"{redact(url)} answered with more than {most} bytes", source=split(url).netloc)
            if len(body) > most:
                break
            seconds = (now := self._clock()) - begun
            if now > deadline or (seconds > self.limits.read and len(body) < self.limits.slowest * seconds):
                raise too_slow(url)
        return Answer(url, response.status, response.headers, bytes(body), self.limits)

    def _route(self, url: str, home: str) -> Proxy | None:
        """No proxy for this machine: it would be shown what plain http carries there."""
        return None if is_loopback(split(url).hostname or "") else self._proxies.route(url, home)


def _adapter(lookup: Lookup | None) -> HTTPAdapter:
    made = _Adapter(pool_connections=_MOST_POOLS, pool_maxsize=256)
    return made if lookup is None else looking_up(made, lookup)


def _hang_up(response: BaseHTTPResponse) -> None:
    """Be done with an answer whose body nobody wants: read a short one, so that the connection can be used again."""
    with suppress(*FOREIGN):
        for _ in range(3):
            if not response.read1(CHUNK, decode_content=False):
                break
    put_back(response)


def _busy(answer: Answer, wait: float | None, proxy: Proxy | None) -> TemporaryError:
    if answer.status == 429:
        seconds = f" for {wait:.0f} s" if wait else ""
        words = f"{answer.host} asks us to slow down{seconds} (HTTP 429)"
        hint = "run the same command again later; with a token (hf auth login) the quota is larger"
    elif proxy and answer.status in _GATEWAY and answer.url.startswith("http:"):
        # Through a tunnel it would be the site's own. Here nobody can tell whose word it is.
        words = f"HTTP {answer.status} came through the proxy {proxy.place}, from it or from {answer.place}"
        hint = "run the same command again later; if it stays so, take another proxy (glm-aria config show)"
    else:
        words = f"{answer.place} answered HTTP {answer.status}"
        hint = "run the same command again later; arrived bytes are kept"
    return TemporaryError(words, hint=hint, source=answer.host)
