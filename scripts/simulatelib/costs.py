"""What things cost in the simulator: every constant that was measured, in one place, each with where it was measured.

`scripts/simulate fit FILE...` fits those of `FITTED` to what `scripts/bench-fleet` told on
stderr of runs with real nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

FITTED = ("request_s", "check_s", "news_s", "start_s", "finish_s")


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds and numbers; rates are fractions of a line's.

    - `goodput`: what of a line is left for bodies; TCP, IP and Ethernet headers of full segments take the rest (1448 of
      1514 bytes).
    - `request_s`: from the choice of a range until its bytes flow: the turn of the feeder, aria2c, the question (first
      value by the prototype with 4 and 8 nodes of 2026-11-25).
    - `check_s`: from a piece's last byte until it can be given: the feeder's look at the journal, every 0.1 s, and its
      hash at 1 GB/s and more (same prototype).
    - `news_s`: at most so long until those who ask hear of a piece: `/have` answers at least 0.1 s apart.
    - `start_s`: until a node asks for its first range; nodes begin within twice that.
    - `finish_s`: from the last byte until a node has proven the blob and placed it.
    """

    goodput: float = 0.95
    request_s: float = 0.05
    check_s: float = 0.15
    news_s: float = 0.3
    start_s: float = 0.3
    finish_s: float = 0.3
    beat_s: float = 1.0
    """A node reports once in so long, or less often: see `beats_per_s`."""
    beats_per_s: float = 4000.0
    """Reports that schedulers want to hear in a second; in larger fleets nodes report less often."""
    nodes_per_scheduler: int = 1000
    exchange_ops: int = 8
    """Operations of Redis for an exchange of a scheduler and the board, counted in `swarm/board/redis.py`, and the same
    for each shelf that it writes to: that of the fleet, and those of blobs."""
    shelf_ops: int = 4
    tick_s: float = 0.25
    """A scheduler plans so often, and when work ends, but not twice within `least_tick_s`."""
    least_tick_s: float = 0.05
    down_streams: int = 16
    """Ranges that a node gets from peers at once: what the engine begins with (`transfer/limits.py`)."""
    per_peer: int = 2
    """Connections of a node to one peer (`swarm/peers/locator.py`)."""
    per_origin: int = 4
    """Connections of a node to an origin."""
    uploads: int = 16
    """Bodies that a node sends at once; it refuses more."""
    copies: int = 2
    copy_s: float = 10.0
    """Of them with the same piece, that begin within so many seconds (`serve/peer/turns.py`)."""
    busy_s: float = 1.0
    """Seconds that a refusal takes (the peer waits for a slot before it refuses)."""
    rest_s: float = 0.5
    """Seconds that a node leaves a peer alone after its refusal."""
    run: int = 4
    """Pieces that a node asks a peer for at once, at most."""
