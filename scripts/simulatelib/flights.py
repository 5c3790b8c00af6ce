"""Ranges on their way, and how lines share them."""

from __future__ import annotations

import numpy as np

from scripts.simulatelib.pieces import Bools, Floats, Ints

_INTS = ("node", "source", "slot", "piece", "end", "order", "asked", "begins")
WAITS = 10**9
"""When a range begins that waits for its turn."""


class Flights:
    """Ranges as columns. `source` is a node or, beyond those, an origin; `slot` that of the peer at the node, -1 if it
    has left it; `piece` is the one that comes, up to `end`; `got` bytes of it came. `order` is that of a guide, -1 for
    what comes from a peer. Its source was `asked` at a step, and it flows from
    step `begins` on."""

    def __init__(self) -> None:
        self.ints: dict[str, Ints] = {name: np.zeros(0, np.int64) for name in _INTS}
        self.got: Floats = np.zeros(0)
        self.rate: Floats = np.zeros(0)

    def __len__(self) -> int:
        return len(self.got)

    def __getitem__(self, name: str) -> Ints:
        return self.ints[name]

    def add(self, count: int, **columns: Ints | int) -> None:
        """Add so many ranges."""
        for name, column in self.ints.items():
            self.ints[name] = np.concatenate((column, np.broadcast_to(np.asarray(columns[name], np.int64), count)))
        self.got = np.concatenate((self.got, np.zeros(count)))
        self.rate = np.concatenate((self.rate, np.zeros(count)))

    def keep(self, kept: Bools) -> None:
        """Forget all others."""
        if kept.all():
            return
        for name, column in self.ints.items():
            self.ints[name] = column[kept]
        self.got, self.rate = self.got[kept], self.rate[kept]

    def share(self, up: Floats, down: Floats, step: int) -> None:
        """Share the lines: each range gets the same of a line, and what one cannot use the others do."""
        flows = self["begins"] <= step
        source, node = self["source"][flows], self["node"][flows]
        ups, downs = np.bincount(source, minlength=len(up)), np.bincount(node, minlength=len(down))
        rate = np.zeros(len(source))
        left_up, left_down = up.copy(), down.copy()
        for _ in range(4):
            more = np.minimum(
                left_up[source] / np.maximum(ups[source], 1), left_down[node] / np.maximum(downs[node], 1)
            )
            rate += more
            left_up = np.maximum(up - np.bincount(source, rate, len(up)), 0.0)
            left_down = np.maximum(down - np.bincount(node, rate, len(down)), 0.0)
            # Who is at an end of either line gets no more; the others share what is left.
            full = (left_up[source] <= 1e-3 * up[source]) | (left_down[node] <= 1e-3 * down[node])
            ups = np.bincount(source[~full], minlength=len(up))
            downs = np.bincount(node[~full], minlength=len(down))
            if full.all():
                break
            left_up[np.asarray(ups) == 0] = 0.0
        self.rate[:] = 0.0
        self.rate[flows] = rate
