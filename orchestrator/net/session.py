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
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlunsplit

from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout

from orchestrator import __version__
from orchestrator.core.exponential import backoff
from orchestrator.core.network.proxies import Proxies, Proxy
from orchestrator.errors import GlmAriaError, ProtocolError, ProxyRefusedError, SourcesDownError, TemporaryError
from orchestrator.net import shapes
from orchestrator.net.addresses import MAX_REDIRECTS, is_loopback, next_hop, redact, split
from orchestrator.net.answers import CHUNK, Answer, Limits, Stream, chunks_of, put_back, too_slow
from orchestrator.net.credentials import Credentials
from orchestrator.net.failures import FOREIGN, at_the_proxy, translate
from orchestrator.net.handshake import Handshake, shake_hands
from orchestrator.net.lookup.dns import Lookup
from orchestrator.net.pools import Pools
from orchestrator.net.retry import BusySites, asked_wait
from orchestrator.net.statuses import Then, meaning

__all__ = ["USER_AGENT", "Limits", "Net"]

USER_AGENT = f"glm-aria/{__version__}"
_ERROR_BODY = 64 * 1024
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 8.0
_NO_RETRIES = Retry(0, read=False)
# What a proxy says, too, when it cannot reach the site.
_MOST_SAID = 500
"""Characters that are passed on of what a busy site says."""
_GATEWAY = frozenset({502, 503, 504})


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
        self.busy = BusySites(clock)
        self._proxies = proxies or Proxies()
        self._ca_bundle, self._lookup = ca_bundle, lookup
        self._pools = Pools(ca_bundle, lookup)

    def __enter__(self) -> Net:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._pools.close()

    def as_somebody(self, token: str | None) -> Net:
        """The same way to the sites for somebody else, over the same connections. Raises ConfigError for a token that
        cannot be sent."""
        return self.carrying(Credentials(token, self.credentials.hosts))

    def carrying(self, credentials: Credentials, *, body: int | None = None) -> Net:
        """The same way to the sites with other credentials, over the same connections; `body` bounds its answers."""
        other = copy.copy(self)
        other.credentials = credentials
        other.limits = self.limits if body is None else replace(self.limits, body=body)
        return other

    def reconnect(self) -> None:
        """Use no connection that is open now for another request: those under way go on, and the others are closed."""
        self._pools.reconnect()

    def get_json(self, url: str, *, attempts: int | None = None) -> Answer:
        """GET an API address, following redirects; `answer.value` is its JSON. Idempotent, retried.

        Raises SourcesDownError, TemporaryError, TrustError or ProtocolError, as the table in `net.failures` says.
        """
        return self.exchange("GET", url, headers={"Accept-Encoding": "gzip, deflate"}, attempts=attempts, follow=True)

    def head(self, url: str, *, home: str | None = None, as_get: bool = False) -> Answer:
        """HEAD one address without following a redirect. Retried; errors as in `get_json`.

        `as_get` asks for the first byte instead: a redirect may be signed for the method that it answers.
        """
        method, more = ("GET", {"Range": "bytes=0-0"}) if as_get else ("HEAD", {})

        def read(deadline: float) -> Answer:
            response = self._send(method, url, deadline, {"Accept-Encoding": "identity", **more}, home or url)
            _hang_up(response)
            return Answer(url, response.status, response.headers)

        return self._retried(read, None, home or url)

    def ask(self, url: str, body: bytes | None = None) -> Answer:
        """GET one address, or POST JSON to it, without following a redirect. Retried; errors as in `get_json`."""
        if body is None:
            return self.exchange("GET", url)
        return self.exchange("POST", url, headers={"Content-Type": "application/json"}, body=body)

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        attempts: int | None = None,
        follow: bool = False,
    ) -> Answer:
        """One request and its whole answer. `follow` its redirects, which only reading may.

        Retried up to `attempts` times, so with 1 unless it may be repeated; errors as in `get_json`.
        """

        def read(deadline: float) -> Answer:
            if follow:
                final, response = self._open(method, url, deadline, headers or {}, url)
            else:
                final, response = url, self._send(method, url, deadline, headers or {}, url, body=body)
            try:
                return self._read(final, response, deadline)
            finally:
                put_back(response)

        return self._retried(read, attempts, url)

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

    def listen(self, url: str, headers: Mapping[str, str]) -> Stream:
        """GET an answer that goes on as long as there is news, once. It may drip, but not be silent for longer than a
        read may take. Any status is handed out; errors as in `get_json`."""
        deadline = self._clock() + self.limits.deadline
        final, response = self._open("GET", url, deadline, headers, url)
        return Stream(final, response, replace(self.limits, slowest=0), self._clock)

    def way_to(self, url: str) -> dict[str, str]:
        """The variables by which a program on libcurl takes the same way to `url`: proxy and certificates."""
        proxy = self._route(url, url)
        way = {"http_proxy": proxy.url, "https_proxy": proxy.url} if proxy else {"no_proxy": "*"}
        bundle = self._ca_bundle
        return way | ({"GIT_SSL_CAPATH" if bundle.is_dir() else "GIT_SSL_CAINFO": str(bundle)} if bundle else {})

    def proxy_for(self, url: str) -> str | None:
        """The proxy that stands between, as it may be shown; None for a direct way."""
        proxy = self._route(url, url)
        return redact(proxy.url) if proxy else None

    def shake_hands(self, url: str) -> Handshake | None:
        """Time the connection to a server. None where a proxy stands between: it is the proxy that connects."""
        if self._route(url, url):
            return None
        return shake_hands(url, self.limits.connect, str(self._ca_bundle or "") or True, self._lookup)

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
                failure = _busy(answer, wait, self._route(answer.url, home), self.busy)
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
        pool = self._pools.of(url, proxy)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        if proxy and parts.scheme == "http":
            target, headers = url, headers | self._pools.login_at(proxy)
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


def _hang_up(response: BaseHTTPResponse) -> None:
    """Be done with an answer whose body nobody wants: read a short one, so that the connection can be used again."""
    with suppress(*FOREIGN):
        for _ in range(3):
            if not response.read1(CHUNK, decode_content=False):
                break
    put_back(response)


def _busy(answer: Answer, wait: float | None, proxy: Proxy | None, busy: BusySites) -> TemporaryError:
    if answer.status == 429:
        busy.note(answer.url, _LONGEST_WAIT if wait is None else wait)
        seconds = f" for {wait:.0f} s" if wait else ""
        words = f"{answer.host} asks us to slow down{seconds} (HTTP 429)"
        hint = "run the same command again later; with a token (hf auth login) the quota is larger"
    elif proxy and answer.status in _GATEWAY and answer.url.startswith("http:"):
        # Through a tunnel it would be the site's own. Here nobody can tell whose word it is.
        words = f"HTTP {answer.status} came through the proxy {proxy.place}, from it or from {answer.place}"
        hint = "run the same command again later; if it stays so, take another proxy (glm-aria config show)"
    else:
        said = shapes.refusal(answer)
        words = f"{answer.place} answered HTTP {answer.status}{f': {said[0][:_MOST_SAID]}' if said else ''}"
        hint = "run the same command again later; arrived bytes are kept"
    return TemporaryError(words, hint=hint, source=answer.host)
