"""What aria2's error codes mean to us: one table, from the manual's "EXIT STATUS", the only reader of those numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

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
    SourcesDownError,
    TemporaryError,
)


class Then(StrEnum):
    """What to do after an error: ask again (with fresh links), or give the job up."""

    RETRY = "retry"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row: the error class, what to do, and words for a person."""

    error: type[GlmAriaError]
    then: Then
    words: str


_R, _S = Then.RETRY, Then.STOP
TABLE: dict[int, Meaning] = {
    1: Meaning(TemporaryError, _R, "an unknown error in aria2"),
    2: Meaning(TemporaryError, _R, "the server was silent for too long"),
    3: Meaning(NotFoundError, _R, "the server does not have the file"),
    4: Meaning(NotFoundError, _R, "the server does not have the file"),
    5: Meaning(TemporaryError, _R, "the server was too slow"),
    6: Meaning(TemporaryError, _R, "the connection broke"),
    7: Meaning(TemporaryError, _R, "aria2 was stopped before it was done"),
    8: Meaning(ProtocolError, _R, "the server does not resume"),
    9: Meaning(NoSpaceError, _S, "the disk is full"),
    10: Meaning(DiskIOError, _R, "the part does not fit its control file"),
    11: Meaning(DaemonError, _R, "aria2 is fetching the same file already"),
    12: Meaning(DaemonError, _R, "aria2 is fetching the same torrent already"),
    13: Meaning(DiskIOError, _R, "the part exists already"),
    14: Meaning(DiskIOError, _R, "the part could not be renamed"),
    15: Meaning(CannotCreateError, _S, "the part could not be opened"),
    16: Meaning(CannotCreateError, _S, "the part could not be created"),
    17: Meaning(DiskIOError, _S, "reading or writing the part failed"),
    18: Meaning(CannotCreateError, _S, "the staging folder could not be created"),
    19: Meaning(SourcesDownError, _R, "the server's name could not be resolved"),
    20: Meaning(ProtocolError, _S, "aria2 took the file for a metalink"),
    21: Meaning(ProtocolError, _R, "an FTP command failed"),
    22: Meaning(TemporaryError, _R, "the server answered with an error"),
    23: Meaning(ProtocolError, _R, "too many redirects"),
    24: Meaning(NotAllowedError, _R, "the server asked for a login"),
    25: Meaning(ProtocolError, _S, "aria2 took the file for a torrent"),
    26: Meaning(ProtocolError, _S, "aria2 took the file for a torrent"),
    27: Meaning(ProtocolError, _S, "aria2 took the file for a magnet link"),
    28: Meaning(DaemonError, _S, "aria2 refused an option"),
    29: Meaning(TemporaryError, _R, "the server is overloaded"),
    30: Meaning(DaemonError, _S, "aria2 did not understand the request"),
    31: Meaning(DaemonError, _S, "aria2 was stopped"),
    32: Meaning(IntegrityError, _R, "the checksum did not match"),
}
UNKNOWN = Meaning(TemporaryError, _R, "an error that this version of glm-aria does not know")


def meaning(code: int) -> Meaning:
    """The row for an `errorCode` of `aria2.tellStatus`."""
    return TABLE.get(code, UNKNOWN)
