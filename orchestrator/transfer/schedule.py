"""Schedule of ranges: arithmetic on ranges and rates, so that a test can check it without a daemon.

Ranges are given out from the front, so that the file grows nearly in order and hashing keeps up. Each is what its
connection can fetch in a part of the time that is left for the whole file (two thirds where a request is dear, a fifth
where the source is near); the last ones, in all of it: so all end at about the same time. When nothing is left to give
out, an idle connection takes over the tail of the span that would finish last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.aria2.control import BLOCK, FINE_PIECE, PIECE
from orchestrator.core.extents import Range
from orchestrator.proof import pieces
from orchestrator.transfer.spans import Span

_GOLDEN = 0.618034
_LONGEST = 256 << 20  # of a span: how far behind the file's end its gapless prefix may be
_MUCH_SOONER = 0.6
_SHORTEST = 1.5  # seconds of a span while much is left: what is cut finer costs requests
_LEAST = 2 * BLOCK  # bytes of a range
_TURNS = 3  # times what a request costs: ranges that take less are not worth it
_OVERDUE, _OVERDUE_SECONDS = 4, 1.0  # times what a connection needs to begin, and no less than this
_COARSE = 8 * PIECE  # from this length on, a rounding to whole pieces does not matter
_RUN_SECONDS, _LONGEST_RUN = 1.0, 16 << 20
FIRST = 2 << 20
"""Bytes: what a connection is given until its speed is known."""


@dataclass(frozen=True, slots=True)
class Rhythm:
    """The share of the time left that a span takes, from `least` to `least + more`, and from when on all of it."""

    least: float
    more: float
    last_seconds: float


_FAR = Rhythm(0.45, 0.4, 1.0)
_NEAR = Rhythm(0.15, 0.1, 0.3)
_NEAR_ANSWER = 0.025  # seconds


def length(left: int, each: float, all_rates: float, *, number: int, answer: float, turn: float, most: int) -> int:
    """Bytes for a connection that brings `each` bytes per second, where `left` bytes are to come at `all_rates`.

    It differs from span to span (`number` counts them): aria2 syncs the file whenever one ends, and if all ended
    together, all connections would wait for all syncs. `answer` are the seconds until an answer begins: a source is
    near when these are few, and not when the round trip is short and it thinks for long. `turn` are those that a
    request costs. There may be `most` connections to a far source soon, each then slower than now, so none gets more
    than half of its share of what is left.
    """
    rhythm = _NEAR if answer < _NEAR_ANSWER else _FAR
    seconds = left / max(all_rates, each, 1.0)
    share = rhythm.least + rhythm.more * (number * _GOLDEN % 1) if seconds > rhythm.last_seconds else 1.0
    wanted = each * min(seconds, max(seconds * share, turn))
    if rhythm is _FAR and share < 1:
        wanted = min(wanted, max(left / (2 * most), each * _SHORTEST))
    return int(wanted)


def least(each: float, turn: float) -> int:
    """Bytes: fewer are not worth a request, for a connection that brings `each` bytes per second and begins the next
    range in `turn` seconds. It is less than a piece only where that takes long.
    """
    return max(_LEAST, min(PIECE, int(_TURNS * turn * each)))


def carve(missing: Sequence[Range], wanted: int, *, least: int) -> Range:
    """The next range, of about `wanted` bytes, and no fewer than `least`. `missing` is not empty."""
    start, end = missing[0]
    wanted = max(least, min(_LONGEST, wanted))
    step = PIECE if least >= PIECE else _step(wanted)
    stop = -(-(start + wanted) // step) * step
    return (start, end) if end - stop < least else (start, stop)


def run(free: Sequence[Range], at: int, each: float) -> Range:
    """The range from `at` in `free` on, for a connection that brings `each` bytes per second: whole pieces of what is
    passed on, so that one source sent all of each, and no more than come in about a second."""
    start, end = next((max(start, at), end) for start, end in free if at < end)
    wanted = max(pieces.PIECE, min(_LONGEST_RUN, int(each * _RUN_SECONDS)))
    return start, min(end, -(-(start + wanted) // pieces.PIECE) * pieces.PIECE)


def _step(length: int) -> int:
    """Bytes: a range of about this length ends at a multiple of them. With short steps aria2 has more to keep."""
    if length >= _COARSE:
        return PIECE
    return FINE_PIECE if length >= 2 * FINE_PIECE else BLOCK


def slowest(spans: Iterable[Span], setup: float, now: float) -> Span | None:
    """The span that would be the last to finish, if it takes long enough for help that needs `setup` seconds."""
    # One that has sent nothing yet is about to, unless it is overdue.
    able = [
        span
        for span in spans
        if not span.is_leaving
        and span.width == 1
        and (span.rate or now - span.begun > max(_OVERDUE * setup, _OVERDUE_SECONDS))
    ]
    last = max(able, key=lambda span: span.seconds_left, default=None)
    return last if last and last.seconds_left > setup else None


def tail(span: Span, each: float, setup: float) -> Range | None:
    """The tail of a span for another connection of the same source, which brings `each` bytes per second.

    It begins at the boundary of a piece near which both end together. Where that is no gain, it is all that is left,
    if the other is sooner done with that; else None.
    """
    kept = span.rate * (setup * each + span.left) / (each + span.rate)
    step = _step(int(span.left - kept))
    cut = -(-int(span.position + kept) // step) * step
    if cut < span.end and cut - span.position < span.rate * (setup + span.left / each):
        return cut, span.end
    return (span.position, span.end) if is_better_done_by(span, each, setup) else None


def is_better_done_by(span: Span, each: float, setup: float) -> bool:
    """True when another source that brings `each` bytes per second should fetch what is left of a span."""
    return setup + span.left / each < _MUCH_SOONER * span.seconds_left
