"""Is a blob at rest what its name says? Read whole by its digest, or fast by its pieces; rot is named by its ranges."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.files import Digest
from orchestrator.errors import CannotCreateError, NoSpaceError
from orchestrator.proof.hashing import OnBytes, read_pieces, read_whole
from orchestrator.proof.pieces import Pieces, PieceStore, Range, joined


@dataclass(frozen=True, slots=True)
class Checkup:
    """The result of reading a blob.

    `ranges` are wrong, in bytes; none means that it is right. `is_fast`: its pieces were compared, which finds rot and
    proves nothing else. `pieces` are those that the blob ought to have, when they are known.
    """

    ranges: tuple[Range, ...]
    found: os.stat_result
    is_fast: bool
    pieces: Pieces | None


def check(  # noqa: PLR0913 - three switches and two hooks
    path: Path,
    digest: Digest,
    size: int | None,
    known: PieceStore,
    *,
    fast: bool = False,
    durable: bool = False,
    stop: threading.Event | None = None,
    on_bytes: OnBytes | None = None,
) -> Checkup:
    """Read the regular file `path`, which ought to have `digest`, and `size` bytes where that is known.

    With `fast`, and where its pieces are known, only these are compared. A blob whose digest is right gets piece hashes
    that it lacks; with `durable` it is also fsynced. Raises Interrupted when `stop` is set, DiskIOError when the file
    cannot be read.
    """
    pieces = known.load(digest)
    if pieces and size is not None and pieces.size != size:
        pieces = None
    if fast and pieces:
        seen, found = read_pieces(path, pieces.size, stop=stop, on_bytes=on_bytes)
        return Checkup(_wrong(pieces, seen, found.st_size), found, True, pieces)
    length = size if size is not None else pieces.size if pieces else None
    read = read_whole(path, digest.algorithm, size=length, durable=durable, stop=stop, on_bytes=on_bytes)
    actual = read.found.st_size
    if read.digest == digest and (length is None or actual == length):
        if read.pieces:
            # A cache that is read-only can be verified, too.
            with contextlib.suppress(CannotCreateError, NoSpaceError):
                known.save(digest, read.pieces)
        return Checkup((), read.found, False, read.pieces)
    ranges = _wrong(pieces, read.pieces, actual) if pieces and read.pieces else ()
    # Pieces that know of no difference were not those of this digest: all of it is suspect.
    whole = ((0, max(actual, length or 0)),)
    return Checkup(ranges or whole, read.found, False, pieces if ranges else None)


def _wrong(right: Pieces, seen: Pieces, actual: int) -> tuple[Range, ...]:
    """The ranges where a blob of `actual` bytes differs from its pieces; excess bytes count as a range, too."""
    ranges = right.differing(seen)
    surplus = ((right.size, actual),) if actual > right.size else ()
    return joined(iter((*ranges, *surplus)))
