"""Requests that do not get what they asked for, and errors as such."""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.core.text import redacted
from orchestrator.errors import (
    DaemonError,
    GlmAriaError,
    Interrupted,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    SourcesDownError,
    TemporaryError,
)

_PLACE = re.compile(r"""(?P<quote>['"])/(?:(?!(?P=quote)).)*/(?P<name>(?:(?!(?P=quote)).)*)(?P=quote)""", re.DOTALL)
"""An absolute path in quotes, as messages have those of files."""


class Refused(Exception):  # noqa: N818 - an answer, no fault
    """A request that gets a status, and a code of the Hub's where it has one, instead of what it asked for.

    `is_plain`: the message is a text of its own, the only form in which git shows it.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        is_plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})
        self.is_plain = is_plain


def as_text(refused: Refused) -> str:
    """The message of a refusal as a header may hold it."""
    return redacted(refused.message).encode("ascii", "backslashreplace")[:500].decode("ascii")


def nothing_here() -> Refused:
    """Tell a client that its address is none of ours."""
    return Refused(404, "there is nothing at this address")


def reads_only() -> Refused:
    """Tell a client that would write."""
    return Refused(405, "nothing can be uploaded to this server: it only reads", headers={"Allow": "GET, HEAD"})


def takes_only(methods: str) -> Refused:
    """Tell a client which methods its address takes."""
    return Refused(405, f"this address takes {methods} only", headers={"Allow": methods})


def busy(message: str, seconds: int) -> Refused:
    """Tell a client to ask again, as huggingface_hub reads it."""
    return Refused(429, message, headers={"Retry-After": str(seconds), "RateLimit": f'"api";r=0;t={seconds}'})


def told(error: GlmAriaError) -> str:
    """The message of an error for a client: files of this server by their names, without the folders above them."""
    return _PLACE.sub(r"\g<quote>\g<name>\g<quote>", error.message)


def refusal_of(error: GlmAriaError) -> Refused:
    """An error in the Hub's words. Its hint is for the operator, and stays here."""
    message = told(error)
    match error:
        case NotFoundError():
            return Refused(404, message, "RepoNotFound")
        case NotAllowedError():
            return Refused(403, message, "GatedRepo")
        case SourcesDownError():
            return Refused(503, message, headers={"Retry-After": "10"})
        case TemporaryError() | DaemonError() | Interrupted():  # a daemon is started again for who asks again
            return busy(message, 5)
        case NoSpaceError():
            return Refused(507, message)
    return Refused(502, message)
