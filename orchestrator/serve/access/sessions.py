"""Sessions of browsers: a cookie stands for the token that somebody entered, until the browser or the server ends."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable

from orchestrator.serve.access.callers import Caller
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.recent import Recent

COOKIE = "glm_aria_session"
# As it was given out. http.cookies takes a tenth of a second for a value of many backslashes.
_SESSION = re.compile(rf"(?:^|;)[ \t]*{COOKIE}=([A-Za-z0-9_-]{{1,64}})[ \t]*(?:;|$)")
_SECONDS = 12 * 3600.0
_MOST = 256

Identify = Callable[[str, str], Caller | None]
"""A call that tells whose a token is that came from this address; None where it is nobody's. Raises Refused."""


class Sessions:
    """Tokens by the cookies that were given out for them, in memory alone. `identify` tells whose they are; `clock` is
    monotonic seconds."""

    def __init__(self, identify: Identify, clock: Callable[[], float] = time.monotonic) -> None:
        self.identify = identify
        self._clock = clock
        self._known: Recent[bytes, tuple[float, str]] = Recent(_MOST)

    def begin(self, token: str) -> str:
        """The value of a cookie that stands for this token."""
        value = secrets.token_urlsafe(32)
        self._known.keep(_key(value), (self._clock() + _SECONDS, token))
        return value

    def caller_of(self, request: Request) -> Caller | None:
        """The caller for whom the browser of a request stands; None without a session. Raises Refused."""
        cookie = request.headers.get("cookie", "")
        token = self.token_of(cookie)
        if token is None:
            return None
        # Asked each time: the token may be revoked by now.
        found = self.identify(token, request.client)
        if found is None:
            self.end(cookie)
        return found

    def token_of(self, header: str) -> str | None:
        """The token for which the Cookie header of a request stands."""
        key = _key(_value_in(header))
        end, token = self._known.get(key) or (0.0, None)
        if token is not None and self._clock() >= end:
            self._known.drop(key)
            return None
        return token

    def end(self, header: str) -> None:
        """Forget the cookie of a request."""
        self._known.drop(_key(_value_in(header)))


def set_cookie(value: str, path: str, *, is_secure: bool) -> str:
    """The Set-Cookie header of a session: no script reads it, and no page of another site has it sent."""
    return f"{COOKIE}={value}; Path={path or '/'}; HttpOnly; SameSite=Strict{'; Secure' if is_secure else ''}"


def _value_in(header: str) -> str:
    found = _SESSION.search(header)
    return found[1] if found else ""


def _key(value: str) -> bytes:
    # What is compared is no secret: how long it takes tells nothing.
    return hashlib.sha256(value.encode()).digest()
