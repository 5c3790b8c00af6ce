"""The tokens that a running server knows, and its patience with those that it does not."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from orchestrator.disk.file_stat import Identity
from orchestrator.errors import GlmAriaError
from orchestrator.events import Emit, Notice
from orchestrator.serve.access.callers import Caller
from orchestrator.serve.access.tokens import DAY, TokenFile, TokenGrant, hashed, is_token
from orchestrator.serve.http.recent import Recent
from orchestrator.serve.http.refusals import Refused, busy

_MOST_WRONG = 10
_WINDOW = 60.0
"""Seconds in which an address may send so many wrong tokens."""
_MOST_ADDRESSES = 4096


class ShownTokens(NamedTuple):
    """Tokens in a request: one of this server, and one of the Hub's; empty where it has none."""

    own: str = ""
    hub: str = ""


def shown(headers: Mapping[str, str]) -> ShownTokens:
    """The tokens in a request: `Bearer gla_…`, `Bearer hf_…`, both as `Bearer gla_…+hf_…`, or any of these as the
    password of a Basic login, whatever the user name."""
    scheme, _, text = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(text.strip(), validate=True).decode("latin-1").partition(":")[2]
        except (binascii.Error, ValueError):
            return ShownTokens()
    elif scheme.lower() != "bearer":
        return ShownTokens()
    text = text.strip()
    if not text.startswith("gla_"):
        return ShownTokens(hub=text)
    own, _, hub = text.partition("+")
    return ShownTokens(own, hub)


class WrongTokens:
    """Counts of wrong tokens by address, so that nobody tries many. For the thread of the event loop.

    A right token is never refused for the wrong ones of others at its address: nobody can guess 256 bits, and behind
    one address may be a whole house.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Recent[str, tuple[float, int]] = Recent(_MOST_ADDRESSES)

    def refuse(self, address: str) -> None:
        """Raise Refused (429) where this address has sent too many wrong tokens."""
        since, count = self._counts.get(address) or (0.0, 0)
        left = since + _WINDOW - self._clock()
        if count >= _MOST_WRONG and left > 0:
            raise busy("too many wrong tokens came from your address", max(1, round(left)))

    def note(self, address: str) -> None:
        """Count one."""
        now = self._clock()
        since, count = self._counts.get(address) or (now, 0)
        self._counts.keep(address, (since, count + 1) if now - since < _WINDOW else (now, 1))


class Keyring:
    """The callers of tokens, as the file of them says it now: who changes it need not restart the server.

    `known` are tokens that are not in the file, by hash. `write` runs a call in another thread. For the thread of the
    event loop.
    """

    def __init__(
        self,
        file: TokenFile | None = None,
        known: Mapping[str, Caller] | None = None,
        *,
        wrong: WrongTokens | None = None,
        write: Callable[[Callable[[], None]], object] = lambda _: None,
        emit: Emit = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._known = dict(known or {})
        self._wrong = wrong or WrongTokens()
        self._write = write
        self._emit = emit
        self._now = now
        self._read: Identity | None = None
        self._grants: dict[str, TokenGrant] = {}
        self._used: dict[str, int] = {}

    def identify(self, token: str, address: str) -> Caller | None:
        """The caller of a token; None for one that is unknown, revoked or expired. Raises Refused where an address
        sends too many such."""
        if is_token(token) and (caller := self._find(hashed(token))) is not None:
            return caller
        self._wrong.refuse(address)
        self._wrong.note(address)
        return None

    def caller_of(self, token: str, address: str) -> Caller:
        """The same, for a request: raises Refused for a wrong token, too."""
        caller = self.identify(token, address)
        if caller is None:
            raise Refused(
                401,
                "this server does not know your token: it was revoked, or has expired, or is another server's",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return caller

    def _find(self, token_hash: str) -> Caller | None:
        if (caller := self._known.get(token_hash)) is not None:
            return caller
        self._look()
        grant = self._grants.get(token_hash)
        caller = grant.caller_at(self._now()) if grant else None
        if caller is not None:
            self._note_use(token_hash)
        return caller

    def _look(self) -> None:
        if self._file is None or (identity := self._file.identity()) == self._read:
            return
        self._read = identity
        try:
            self._grants = {grant.hash: grant for grant in self._file.grants()}
        except GlmAriaError as error:
            self._grants = {}
            self._emit(Notice("tokens-unreadable", f"no token is accepted: {error.message}"))

    def _note_use(self, token_hash: str) -> None:
        today = int(self._now()) // DAY * DAY
        if self._used.get(token_hash) == today or self._file is None:
            return
        self._used[token_hash] = today
        file = self._file

        def note() -> None:
            with suppress(GlmAriaError, OSError):
                file.used(token_hash, today)

        self._write(note)
