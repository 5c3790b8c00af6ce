"""The door of the server: requests that nobody may make are refused, and the callers of the others get their rights."""

from __future__ import annotations

import hmac

from orchestrator.serve.access.rights import ANYBODY, OPERATOR, Caller
from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused


class Door:
    """Lets requests in. With `is_own` the only clients are programs of the operator's: they alone know the prefix, and
    may have closed repos. Who shows the `admin_token` has the operator's rights."""

    def __init__(self, *, is_own: bool = False, admin_token: str = "") -> None:
        self._is_own = is_own
        self._admin_token = admin_token.encode()

    def admit(self, request: Request) -> Caller:
        """Tell the caller of a request. Raises Refused."""
        if self._is_own and not request.is_below:
            raise Refused(404, "there is nothing at this address")
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A page somewhere would have the browser of a user fill this disk.
            raise Refused(403, "pages of other sites get nothing here")
        token = request.headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1", "replace")
        is_admin = self._admin_token and hmac.compare_digest(token, self._admin_token)
        return OPERATOR if self._is_own or is_admin else ANYBODY
