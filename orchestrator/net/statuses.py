"""Meaning of HTTP statuses: the one table, used by all that judge a status.

A site that has an error protocol of its own (`X-Error-Code` of the Hub, `Code` of ModelScope) is asked that first, by
its catalog; this table is for what the number alone says (RFC 9110, section 15; RFC 6585; RFC 8470; 520 to 530 are
Cloudflare's).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.errors import GlmAriaError, NotAllowedError, NotFoundError, ProtocolError, TemporaryError


class Then(StrEnum):
    """The action for an answer.

    TAKE: it is what was asked for. FOLLOW: it says where that is. RETRY: ask the same server again, after the time that
    it asks for, else after a random one. ELSEWHERE: this server will say the same again. For a file's bytes another
    source may say better; where there is no other, as for a listing, that is the end.
    """

    TAKE = "take"
    FOLLOW = "follow"
    RETRY = "retry"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row. `error` is what an answer that cannot be taken becomes."""

    then: Then
    error: type[GlmAriaError] = ProtocolError


_TAKE, _FOLLOW = Meaning(Then.TAKE), Meaning(Then.FOLLOW)
_RETRY = Meaning(Then.RETRY, TemporaryError)
_ABSENT = Meaning(Then.ELSEWHERE, NotFoundError)
_DENIED = Meaning(Then.ELSEWHERE, NotAllowedError)
_ODD = Meaning(Then.ELSEWHERE, ProtocolError)

TABLE: dict[int, Meaning] = {
    200: _TAKE,
    **dict.fromkeys((301, 302, 303, 307, 308), _FOLLOW),
    401: _DENIED,
    403: _DENIED,
    404: _ABSENT,
    408: _RETRY,  # request timeout
    410: _ABSENT,
    421: _RETRY,  # misdirected: another connection may do
    425: _RETRY,  # too early
    429: _RETRY,
    451: _DENIED,  # for legal reasons
    500: _RETRY,
    502: _RETRY,
    503: _RETRY,
    504: _RETRY,
    **dict.fromkeys((520, 521, 522, 523, 524, 527, 529, 530), _RETRY),
}


def meaning(status: int) -> Meaning:
    """The row of a status; what has none is not a part of the protocol."""
    return TABLE.get(status, _ODD)
