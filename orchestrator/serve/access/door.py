"""The door of the server: requests that nobody may make are refused, and the callers of the others get their rights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from orchestrator.core.addresses import is_this_machine
from orchestrator.serve.access.callers import ANYBODY, NOBODY, OPERATOR, Caller
from orchestrator.serve.access.clients import ClientLimits, Clients, client_of
from orchestrator.serve.access.identities import Identities
from orchestrator.serve.access.keyring import Keyring, ShownTokens, shown
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused, nothing_here

_PAGES = re.compile(rb"/|/-/.*|/(?:metrics|healthz|readyz|favicon\.ico)")
"""Addresses of what people look at: there nothing is fetched."""
_CLOSE = {"Connection": "close"}
"""What is left of the request is not read."""


class Door:
    """Lets requests in. `hosts` are names by which clients may call the server, beside the addresses at which it
    listens. With `is_own` the only clients are programs of the operator's: they alone know the prefix, and may have
    closed repos.

    `keyring` knows the tokens; with `needs_token` nobody has a right without one. With `takes_hub_tokens`, those of the
    Hub's that requests bring are looked at, too. `identities` knows people whom a proxy
    names, who show no token of ours.
    """

    def __init__(
        self,
        limits: ClientLimits,
        keyring: Keyring | None = None,
        *,
        hosts: Iterable[str] = (),
        is_own: bool = False,
        needs_token: bool = False,
        takes_hub_tokens: bool = False,
        identities: Identities | None = None,
    ) -> None:
        self._clients = Clients(limits)
        self._keyring = keyring or Keyring()
        self._hosts = frozenset(name.lower() for name in hosts)
        self._is_own = is_own
        self._without_token = NOBODY if needs_token else ANYBODY
        self._takes_hub_tokens = takes_hub_tokens
        self._identities = identities or Identities()

    def admit(self, request: Request) -> Caller:
        """Tell the caller of a request. Raises Refused; a request without a token gets a caller who may do little."""
        if self._is_own and not request.is_below:
            raise nothing_here()
        refuse_ambiguous(request)
        self._refuse_other_names(request)
        # A page somewhere would have the browser of a user fill this disk.
        site = request.headers.get("sec-fetch-site")
        if site in ("cross-site", "same-site") and not _is_visit(request):
            raise Refused(403, "pages of other sites get nothing here")
        if site is None and not self._is_own and _is_browser(request) and not _PAGES.fullmatch(request.raw_path):
            raise Refused(403, "without TLS a browser does not say which page asks: use a client, or an https address")
        return OPERATOR if self._is_own else self._caller(request)

    def within(self, caller: Caller) -> AbstractContextManager[Callable[[int], float]]:
        """The time of one request, within the limits of the caller: see `Clients.asking`."""
        return self._clients.asking(caller.client)

    def identify(self, token: str, address: str) -> Caller | None:
        """The caller of a token that somebody typed. Raises Refused where this address sends too many wrong ones."""
        return self._keyring.identify(token, client_of(address))

    def caller_of(self, headers: Mapping[str, str], address: str) -> Caller:
        """Tell the caller of a call that is no request, by the token in its headers. Raises Refused."""
        return self._entitled(shown(headers), client_of(address), self._without_token)

    def _caller(self, request: Request) -> Caller:
        named = self._identities.caller_of(request) or self._without_token
        named = replace(named, grants=named.grants or self._without_token.grants)
        return self._entitled(shown(request.headers), client_of(request.client), named)

    def _entitled(self, tokens: ShownTokens, address: str, named: Caller) -> Caller:
        """The caller of these tokens; `named` is the one without a token of ours."""
        caller = self._keyring.caller_of(tokens.own, address) if tokens.own else named
        if caller is OPERATOR:
            return caller
        hub_token = tokens.hub if tokens.hub and self._takes_hub_tokens else None
        return replace(caller, client=caller.client or address, hub_token=hub_token)

    def _refuse_other_names(self, request: Request) -> None:
        if request.host is not None and not self._is_ours(request.host, request.listener):
            # The browser of a user asks a name of an attacker's that leads here (DNS rebinding).
            raise Refused(
                421,
                f"this server is not called {request.host!r}: its operator can say --host {request.host}"
                if request.host
                else "the Host header is no name",
            )

    def _is_ours(self, host: str, listener: str) -> bool:
        if host in self._hosts or (host and host == listener):
            return True
        return is_this_machine(host) and is_this_machine(listener)


def refuse_ambiguous(request: Request) -> None:
    """Raise Refused for what no client of ours sends, and two programs may read in two ways."""
    if not request.raw_path.startswith(b"/"):
        raise Refused(400, "the target of a request begins with a slash here")
    if request.method in ("GET", "HEAD") and request.has_body:
        raise Refused(400, f"a {request.method} has no body here", headers=_CLOSE)
    if {"content-length", "transfer-encoding"} <= request.headers.keys():
        raise Refused(400, "the request names two lengths of its body", headers=_CLOSE)


def _is_browser(request: Request) -> bool:
    """True for a browser: all of them call themselves so, and so does PowerShell, which runs no page."""
    named = request.headers.get("user-agent", "")
    return named.startswith("Mozilla/") and "PowerShell/" not in named


def _is_visit(request: Request) -> bool:
    """True for somebody who follows a link to the page of the server."""
    headers = request.headers
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_link and request.method == "GET" and request.raw_path == b"/"
