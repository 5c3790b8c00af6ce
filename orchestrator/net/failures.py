"""The only place that reads exceptions of requests and urllib3, and the table of what they mean here.

A test holds the table against both libraries: a class that a new version adds must be given a row.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import requests.exceptions as rq
import urllib3.exceptions as u3

from orchestrator.core.network.proxies import Proxy
from orchestrator.errors import (
    GlmAriaError,
    ProtocolError,
    ProxyError,
    ProxyRefusedError,
    SourcesDownError,
    TemporaryError,
    TrustError,
)
from orchestrator.net.addresses import redact


@dataclass(frozen=True, slots=True)
class Translation:
    """The translation of a foreign exception: our class, a message, and a hint."""

    error: type[GlmAriaError]
    words: str
    hint: str | None = None


_AGAIN = "run the same command again; arrived bytes are kept"
_REACH = "check the network, the name and the proxy settings (glm-aria config show)"
_DOWN = Translation(SourcesDownError, "cannot be reached", _REACH)
_BROKEN = Translation(TemporaryError, "broke the connection", _AGAIN)
_SLOW = Translation(TemporaryError, "did not answer in time", _AGAIN)
# A plain OSError says less than what wraps it, so it decides only when it stands alone.
_BARE = Translation(TemporaryError, "broke the connection", _AGAIN)
_ODD = Translation(ProtocolError, "sent an invalid HTTP answer")
_ADDRESS = Translation(ProtocolError, "was named by an address that cannot be requested")
_TLS = Translation(
    TrustError,
    "could not prove its identity (TLS)",
    "if it has a certificate of your company (its own, or a proxy's), set tls.ca_bundle or REQUESTS_CA_BUNDLE to the "
    "authority's; else check the clock, and the name in the address",
)

MEANINGS: dict[type[BaseException], Translation] = {
    # requests
    rq.SSLError: _TLS,
    rq.ProxyError: Translation(SourcesDownError, "cannot be reached through the proxy", _REACH),
    rq.ConnectTimeout: Translation(SourcesDownError, "did not accept a connection in time", _REACH),
    rq.ReadTimeout: _SLOW,
    rq.Timeout: _SLOW,
    rq.ConnectionError: _BROKEN,
    rq.ChunkedEncodingError: _BROKEN,
    rq.RetryError: _BROKEN,
    rq.ContentDecodingError: Translation(ProtocolError, "sent a body whose compression is broken"),
    rq.JSONDecodeError: Translation(ProtocolError, "sent something that is not JSON"),
    rq.InvalidJSONError: Translation(ProtocolError, "sent something that is not JSON"),
    rq.TooManyRedirects: Translation(ProtocolError, "redirects in a loop"),
    rq.HTTPError: _ODD,
    rq.InvalidHeader: _ODD,
    rq.StreamConsumedError: _ODD,
    rq.UnrewindableBodyError: _ODD,
    rq.URLRequired: _ADDRESS,
    rq.MissingSchema: _ADDRESS,
    rq.InvalidSchema: _ADDRESS,
    rq.InvalidURL: _ADDRESS,
    rq.InvalidProxyURL: Translation(SourcesDownError, "cannot be reached: the proxy's address is wrong", _REACH),
    rq.RequestException: _ODD,
    # urllib3, inside the above or from reading a body
    u3.SSLError: _TLS,
    u3.ProxyError: Translation(SourcesDownError, "cannot be reached through the proxy", _REACH),
    u3.ProxySchemeUnknown: Translation(SourcesDownError, "cannot be reached: the proxy's address is wrong", _REACH),
    # Temporary: a name server that fails for a moment says the same as one that does not know the name.
    u3.NameResolutionError: Translation(TemporaryError, "is not a name that can be looked up", _REACH),
    u3.NewConnectionError: _DOWN,
    u3.ConnectTimeoutError: Translation(SourcesDownError, "did not accept a connection in time", _REACH),
    u3.ReadTimeoutError: _SLOW,
    u3.TimeoutError: _SLOW,
    u3.ProtocolError: _BROKEN,
    u3.IncompleteRead: Translation(TemporaryError, "sent less than it announced", _AGAIN),
    u3.InvalidChunkLength: _BROKEN,
    u3.ResponseNotChunked: _ODD,
    u3.BodyNotHttplibCompatible: _ODD,
    u3.DecodeError: Translation(ProtocolError, "sent a body whose compression is broken"),
    u3.ResponseError: _ODD,
    u3.InvalidHeader: _ODD,
    u3.HeaderParsingError: _ODD,
    u3.UnrewindableBodyError: _ODD,
    u3.LocationValueError: _ADDRESS,
    u3.LocationParseError: _ADDRESS,
    u3.URLSchemeUnknown: _ADDRESS,
    u3.MaxRetryError: _BROKEN,
    u3.HostChangedError: _ODD,
    u3.TimeoutStateError: _ODD,
    u3.RequestError: _BROKEN,
    u3.PoolError: _BROKEN,
    u3.EmptyPoolError: _BROKEN,
    u3.FullPoolError: _BROKEN,
    u3.ClosedPoolError: _BROKEN,
    u3.HTTPError: _ODD,
    # Python's own: a server that hangs up during the handshake says nothing about its certificate
    ssl.SSLEOFError: _BROKEN,
    ssl.SSLZeroReturnError: _BROKEN,
    OSError: _BARE,
}

# As http.client and urllib3 word it when CONNECT is not answered with 200.
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3})")

FOREIGN = (rq.RequestException, u3.HTTPError, OSError)


def translate(error: BaseException, url: str, proxy: Proxy | None = None) -> GlmAriaError:
    """Our error for a foreign one that came up while talking to `url`: the row of the innermost cause that has one.

    `proxy` is what was asked to lead there; what fails at it is not blamed on the site.
    """
    rows = [row for cause in _causes(error) if (row := _row(cause)) is not None]
    telling = [row for row in rows if row is not _BARE] or rows or [_ODD]
    meaning = telling[-1]
    host = _site(url)
    if proxy is not None and meaning in (MEANINGS[rq.ProxyError], MEANINGS[u3.ProxyError]):
        status = _TUNNEL.search(str(error))
        return at_the_proxy(proxy, url, int(status[1])) if status else _not_there(proxy, url)
    if proxy is not None:
        host += f", through the proxy {proxy.place},"
    return meaning.error(f"{host} {meaning.words} ({redact(url)})", hint=meaning.hint, source=_site(url))


def at_the_proxy(proxy: Proxy, url: str, status: int) -> GlmAriaError:
    """The error for a proxy that answers `status` to the wish to be led to `url`."""
    name = f"the proxy {proxy.place}"
    if status == 407:
        said = "does not take the login that it is given" if proxy.authorization else "asks for a login"
        hint = (
            "give it as http://USER:PASSWORD@HOST:PORT, with @ : / % in the password written %40 %3A %2F %25, "
            f"in your own settings file or GLM_ARIA_PROXY{_set_by(proxy)}"
        )
        return ProxyRefusedError(
            f"{name} {said} (HTTP 407); {_site(url)} was not reached", hint=hint, source=_site(url)
        )
    if status < 500 and status not in (408, 429):
        return ProxyRefusedError(
            f"{name} refuses to connect to {_site(url)} (HTTP {status})",
            hint=f"ask its administrator, or bypass it: --proxy, no_proxy{_set_by(proxy)}",
            source=_site(url),
        )
    return ProxyError(
        f"{name} could not reach {_site(url)} (HTTP {status})",
        hint=f"run it again later, or use another proxy{_set_by(proxy)}",
        source=_site(url),
    )


def _not_there(proxy: Proxy, url: str) -> GlmAriaError:
    return ProxyError(
        f"the proxy {proxy.place} cannot be reached; {_site(url)} was not contacted",
        hint=f"check that it runs, and its address{_set_by(proxy)}; --proxy none connects directly",
        source=_site(url),
    )


def _set_by(proxy: Proxy) -> str:
    return f" (it is set by {proxy.origin})" if proxy.origin else ""


def _site(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


class blaming:  # noqa: N801 - reads as a statement: `with blaming(source, file):`
    """Errors that leave the block name `source` (as the user knows it) and `file`, so that the caller can drop it.

    A class, as `on_disk` is: there are two for each small file.
    """

    __slots__ = ("_file", "_source")

    def __init__(self, source: str, file: str | None = None) -> None:
        self._source = source
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, GlmAriaError):
            error.source = self._source
            error.file = error.file or self._file


def _row(error: BaseException) -> Translation | None:
    return next((MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps, outermost first: both libraries keep it in `reason` or in their arguments."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        if isinstance(seen, u3.ProxyError):
            return  # what it wraps would blame the site behind the proxy
        wrapped = (getattr(seen, "reason", None), *seen.args)
        seen = next((item for item in wrapped if isinstance(item, BaseException) and item is not seen), None)
