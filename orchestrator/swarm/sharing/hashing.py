"""Hashes of pieces of files that are open: one reader, one buffer."""

from __future__ import annotations

from orchestrator.core.extents import Range
from orchestrator.platform.places import read_into
from orchestrator.proof.pieces import PIECE, piece_hash


class SpanHasher:
    """Hashes one piece after the other, for one thread."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(PIECE))

    def hash(self, file: int, span: Range) -> bytes:
        """The hash of these bytes of a file, at most those of a piece. Raises OSError, also where it is shorter."""
        start, end = span
        view, done = self._buffer[: end - start], 0
        while done < len(view):
            count = read_into(file, view[done:], start + done)
            if not count:
                raise OSError("the file is shorter than what arrived")
            done += count
        return piece_hash(view)
