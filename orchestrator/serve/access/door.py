"""The door of the server: requests that nobody may make are refused, and the callers of the others get their rights."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused


@dataclass(frozen=True, slots=True)
class Caller:
    """Rights of the one who asks."""

    reads_restricted: bool = False
    may_command: bool = False


class Door:
    """Lets requests in. With `is_own` the only clients are programs of the operator's: they alone know the prefix, and
    may have closed repos. Who has the `admin_token` may command the server."""

    def __init__(self, *, is_own: bool = False, admin_token: str = "") -> None:
        self._is_own = is_own
        self._admin = f"Bearer {admin_token}".encode() if admin_token else None

    def admit(self, request: Request) -> Caller:
        """Tell the caller of a request. Raises Refused."""
        if self._is_own and not request.is_below:
            raise Refused(404, "there is nothing at this address")
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A page somewhere would have the browser of a user fill this disk.
            raise Refused(403, "pages of other sites get nothing here")
        given = request.headers.get("authorization", "").encode("latin-1", "replace")
        may_command = self._admin is not None and hmac.compare_digest(given, self._admin)
        return Caller(reads_restricted=self._is_own, may_command=may_command)
