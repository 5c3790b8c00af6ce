"""Causes and remedies of failed downloads: one table of aria2's codes, beside that of HTTP statuses.

The codes are those of the manual's "EXIT STATUS". Two of them say too little: 22 (an HTTP status) and 8 (a range that
was not the one asked for); there aria2's message tells more, and 1 is what it calls all that it has no code for. This
module is the only reader of those numbers and messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.sources import RangeAnswer
from orchestrator.errors import (
    CannotCreateError,
    DaemonError,
    DiskIOError,
    GlmAriaError,
    IntegrityError,
    NoSpaceError,
    NotAllowedError,
    NotFoundError,
    ProtocolError,
    TemporaryError,
)
from orchestrator.net import statuses


class Remedy(StrEnum):
    """The action after an error.

    AGAIN: the same source once more, after a while. RENEW: ask the source for another address first. WAIT: the source
    wants fewer requests; ask it through Python, which reads how long. WHOLE: aria2 cannot take its answers, so take the
    whole file at once, through Python. OTHER: this source is of no use for this file. STOP: no source can help, the
    fault is on this side.
    """

    AGAIN = "again"
    RENEW = "renew"
    WAIT = "wait"
    WHOLE = "whole"
    OTHER = "other"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failed download, one row: error class, remedy, and words for a person."""

    error: type[GlmAriaError]
    remedy: Remedy
    words: str


TABLE: dict[int, Cause] = {
    1: Cause(TemporaryError, Remedy.AGAIN, "the connection failed in a way that aria2 has no name for"),
    2: Cause(TemporaryError, Remedy.AGAIN, "the server was silent for too long"),
    3: Cause(NotFoundError, Remedy.OTHER, "the server does not have the file"),
    4: Cause(NotFoundError, Remedy.OTHER, "the server does not have the file"),
    5: Cause(TemporaryError, Remedy.AGAIN, "the server was too slow"),
    6: Cause(TemporaryError, Remedy.AGAIN, "the connection broke"),
    7: Cause(TemporaryError, Remedy.AGAIN, "aria2 was stopped before it was done"),
    8: Cause(ProtocolError, Remedy.OTHER, "the server sent another range than it was asked for"),
    9: Cause(NoSpaceError, Remedy.STOP, "the disk is full"),
    10: Cause(DiskIOError, Remedy.STOP, "the part does not fit its control file"),
    11: Cause(DaemonError, Remedy.AGAIN, "aria2 is fetching the same file already"),
    12: Cause(DaemonError, Remedy.AGAIN, "aria2 is fetching the same torrent already"),
    13: Cause(DiskIOError, Remedy.AGAIN, "the part exists already"),
    14: Cause(DiskIOError, Remedy.STOP, "the part could not be renamed"),
    15: Cause(CannotCreateError, Remedy.STOP, "the part could not be opened"),
    16: Cause(CannotCreateError, Remedy.STOP, "the part could not be created"),
    17: Cause(DiskIOError, Remedy.STOP, "reading or writing the part failed"),
    18: Cause(CannotCreateError, Remedy.STOP, "the staging folder could not be created"),
    19: Cause(TemporaryError, Remedy.AGAIN, "the server's name could not be resolved"),
    20: Cause(ProtocolError, Remedy.OTHER, "aria2 took the file for a metalink"),
    21: Cause(ProtocolError, Remedy.OTHER, "an FTP command failed"),
    22: Cause(TemporaryError, Remedy.AGAIN, "the server answered with an error"),
    23: Cause(ProtocolError, Remedy.OTHER, "too many redirects"),
    24: Cause(NotAllowedError, Remedy.RENEW, "the server asked for a login"),
    25: Cause(ProtocolError, Remedy.OTHER, "aria2 took the file for a torrent"),
    26: Cause(ProtocolError, Remedy.OTHER, "aria2 took the file for a torrent"),
    27: Cause(ProtocolError, Remedy.OTHER, "aria2 took the file for a magnet link"),
    28: Cause(DaemonError, Remedy.STOP, "aria2 refused an option"),
    29: Cause(TemporaryError, Remedy.WAIT, "the server is overloaded"),
    30: Cause(DaemonError, Remedy.STOP, "aria2 did not understand the request"),
    31: Cause(DaemonError, Remedy.STOP, "aria2 was stopped"),
    32: Cause(IntegrityError, Remedy.OTHER, "the checksum did not match"),
}
UNKNOWN = Cause(TemporaryError, Remedy.AGAIN, "an error that this version of glm-aria does not know")

REFUSED = TABLE[22]
"""An HTTP status, of which aria2 does not tell the number."""

UNTOLD = Cause(DaemonError, Remedy.AGAIN, "aria2 does not tell why")

_GONE = Cause(NotFoundError, Remedy.OTHER, "the server does not have the file")
_REFUSED = Cause(NotAllowedError, Remedy.RENEW, "the server refused the address, which may have expired")
BUSY = Cause(TemporaryError, Remedy.WAIT, "the server asks us to slow down")
_SHORTER = Cause(IntegrityError, Remedy.OTHER, "the server's file is shorter than listed")
_CLIENT_FAULT = Cause(ProtocolError, Remedy.OTHER, "the server did not like the request")
_SERVER_FAULT = Cause(TemporaryError, Remedy.AGAIN, "the server has an internal error")
_ASK_HOW_LONG = frozenset({425, 429, 503, 529})
OTHER_SIZE = Cause(IntegrityError, Remedy.OTHER, "the server's file has another size than listed")
_NO_RANGES = Cause(ProtocolError, Remedy.WHOLE, "the server does not send ranges")

_ENCODED = Cause(ProtocolError, Remedy.OTHER, "the server compresses its answers, which was not requested")
_NO_LENGTH = Cause(ProtocolError, Remedy.WHOLE, "the server does not tell how much it sends")

INSPECT = frozenset({1, 8, 22, 29})
"""Codes of which the reason is known only to who asks the server: for a download of known size, aria2's message is
"No URI available", whatever happened."""

_STATUS = re.compile(r"status[= ](\d{3})")
_RANGE = re.compile(r"Request: \d+-\d+/\d+, Response: (\d+)-(\d+)/(\d+)")


def of_code(code: int, message: str = "", *, size: int = 0) -> Cause:
    """The row for the `errorCode` and `errorMessage` of a download of a file of `size` bytes."""
    status = _STATUS.search(message)
    if status and code in (1, 22, 29):
        return of_status(int(status[1]))
    if code == 8 and (told := _RANGE.search(message)):
        start, end, total = map(int, told.groups())
        if size and total != size:
            return OTHER_SIZE
        return _NO_RANGES if (start, end + 1) == (0, total) else TABLE[8]
    if code == 1 and "Size mismatch" in message:
        return OTHER_SIZE
    return TABLE.get(code, UNKNOWN)


def of_answer(answer: RangeAnswer, size: int, failed: Cause) -> Cause:
    """The row for how a server answers to a question like the one that failed as `failed`."""
    if answer.status >= 400:
        return of_status(answer.status)
    if answer.is_encoded:
        return _ENCODED
    if answer.total not in (None, size):
        return OTHER_SIZE
    if not answer.is_range:
        return _NO_RANGES if answer.status == 200 else TABLE[8]
    if not answer.has_length:
        return _NO_LENGTH
    return TABLE[1] if failed is TABLE[8] else failed


def of_status(status: int) -> Cause:
    """The row for an HTTP status of 400 or more, as `net.statuses` judges it."""
    row = statuses.meaning(status)
    if status == 416:
        return _SHORTER
    if row.then is statuses.Then.RETRY:
        return BUSY if status in _ASK_HOW_LONG else _SERVER_FAULT
    return {NotFoundError: _GONE, NotAllowedError: _REFUSED}.get(row.error, _CLIENT_FAULT)
