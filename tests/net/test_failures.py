"""The table of foreign exceptions covers both libraries, and says what it should."""

from __future__ import annotations

import inspect
import ssl
from types import ModuleType

import pytest
import requests.exceptions
import urllib3.exceptions
from urllib3.connectionpool import HTTPConnectionPool

from orchestrator.errors import GlmAriaError, ProtocolError, SourcesDownError, TemporaryError, TrustError
from orchestrator.net.failures import MEANINGS, translate

URL = "https://hub.example/api?sig=SECRET"
POOL = HTTPConnectionPool("hub.example")
u3 = urllib3.exceptions


def _classes(module: ModuleType, base: type[BaseException]) -> list[type[BaseException]]:
    found = [value for _, value in inspect.getmembers(module, inspect.isclass) if value.__module__ == module.__name__]
    return [kind for kind in found if issubclass(kind, base) and not issubclass(kind, Warning)]


@pytest.mark.parametrize(
    "kind",
    _classes(requests.exceptions, requests.exceptions.RequestException) + _classes(u3, u3.HTTPError),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_every_class_has_a_row(kind: type[BaseException]) -> None:
    assert kind in MEANINGS, "a new exception of a library: decide in net/failures.py what it means"


def _wrapped(reason: Exception) -> requests.exceptions.ConnectionError:
    return requests.exceptions.ConnectionError(u3.MaxRetryError(POOL, "/api", reason))


REFUSED = u3.NewConnectionError(POOL, "refused")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (_wrapped(REFUSED), SourcesDownError),
        (_wrapped(u3.ConnectTimeoutError(POOL, "slow")), SourcesDownError),
        (_wrapped(u3.NameResolutionError("hub.example", POOL, OSError("no"))), TemporaryError),  # type: ignore[arg-type]
        (_wrapped(u3.ProtocolError("aborted", ConnectionResetError(104, "reset"))), TemporaryError),
        (requests.exceptions.ReadTimeout(u3.ReadTimeoutError(POOL, "/", "slow")), TemporaryError),
        (
            requests.exceptions.SSLError(u3.MaxRetryError(POOL, "/", u3.SSLError(ssl.SSLCertVerificationError("bad")))),
            TrustError,
        ),
        (
            requests.exceptions.SSLError(u3.MaxRetryError(POOL, "/", u3.SSLError(ssl.SSLEOFError(8, "EOF")))),
            TemporaryError,
        ),
        (requests.exceptions.ProxyError(u3.MaxRetryError(POOL, "/", u3.ProxyError("no", REFUSED))), SourcesDownError),
        (u3.ProtocolError("short", u3.IncompleteRead(1, 2)), TemporaryError),
        (u3.DecodeError("bad gzip"), ProtocolError),
        (requests.exceptions.InvalidURL("no"), ProtocolError),
        (ConnectionResetError(104, "reset"), TemporaryError),
        (requests.exceptions.ConnectionError("anything"), TemporaryError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_a_failure_of_the_library_is_one_of_ours(error: Exception, kind: type[GlmAriaError]) -> None:
    ours = translate(error, URL)
    assert type(ours) is kind
    assert "hub.example" in ours.message
    assert "SECRET" not in f"{ours.message} {ours.hint}"


def test_a_proxy_is_named_as_the_cause() -> None:
    error = requests.exceptions.ProxyError(u3.MaxRetryError(POOL, "/", u3.ProxyError("no", REFUSED)))
    assert "proxy" in translate(error, URL).message
