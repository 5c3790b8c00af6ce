"""Interim answers: what tells a client that waits for its headers that the server is alive.

HTTP lets a server send any number of 1xx answers before the final one (RFC 9110, section 15.2). To a client each of
them is a line on its connection, so its timeout begins again, and that is all.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import h11
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.serve.http.kernel import KernelProtocol

_NAME = "glm_aria.interim"

Interim = Callable[[int], None]
"""A call that sends an interim answer of this status."""


def interim_in(scope: Scope) -> Interim | None:
    """The call that sends interim answers to this request; None where the client's HTTP has none."""
    return cast(Interim | None, scope.get("extensions", {}).get(_NAME))


class PatientProtocol(KernelProtocol):
    """A connection with interim answers as an extension of the scope."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.app = cast(Any, self._extended(cast(ASGIApp, self.app)))

    def _extended(self, app: ASGIApp) -> ASGIApp:
        async def call(scope: Scope, receive: Receive, send: Send) -> None:
            if scope.get("http_version") == "1.1":
                scope["extensions"] = {**scope.get("extensions", {}), _NAME: self._send_interim}
            self.offer_to_send_files(scope)
            await app(scope, receive, send)

        return call

    def _send_interim(self, status: int) -> None:
        if self.conn.our_state is h11.SEND_RESPONSE and not self.transport.is_closing():
            reason = HTTPStatus(status).phrase.encode()
            event = h11.InformationalResponse(status_code=status, headers=[], reason=reason)
            self.transport.write(self.conn.send(event))
