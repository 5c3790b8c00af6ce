"""The door of the server: requests that nobody may make are refused, and the callers of the others get their rights."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.serve.http.answers import Request
from orchestrator.serve.http.refusals import Refused


@dataclass(frozen=True, slots=True)
class Caller:
    """Rights of the one who asks."""

    reads_restricted: bool = False


class Door:
    """Lets requests in. With `is_own` the only clients are programs of the operator's: they alone know the prefix, and
    may have closed repos."""

    def __init__(self, *, is_own: bool = False) -> None:
        self._is_own = is_own

    def admit(self, request: Request) -> Caller:
        """Tell the caller of a request. Raises Refused."""
        if self._is_own and not request.is_below:
            raise Refused(404, "there is nothing at this address")
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A page somewhere would have the browser of a user fill this disk.
            raise Refused(403, "pages of other sites get nothing here")
        return Caller(reads_restricted=self._is_own)
