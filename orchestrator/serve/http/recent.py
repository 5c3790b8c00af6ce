"""Values that were used lately, up to a bound: what is kept in memory for many clients. Nothing is locked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_VALUES = 10_000


class Recent(Generic[K, V]):
    """Values by key, of which the longest unused give way to a new one.

    `most` bounds the sum of their weights; each weighs 1 unless `weigh` tells. What weighs more than that is not kept,
    nor are more than `MOST_VALUES`, however light: their keys have a weight that nobody tells. `gone` hears
    which keys gave way.
    """

    def __init__(
        self, most: int, weigh: Callable[[V], int] = lambda _: 1, gone: Callable[[K], object] = lambda _: None
    ) -> None:
        self._most = most
        self._weigh = weigh
        self._gone = gone
        self._weight = 0
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value of a key, which is used by that."""
        if (value := self._known.get(key)) is not None:
            self._known.move_to_end(key)
        return value

    def keep(self, key: K, value: V) -> None:
        """Keep a value, in the place of the one before."""
        self.drop(key)
        weight = self._weigh(value)
        if weight > self._most:
            return
        self._known[key] = value
        self._weight += weight
        while self._weight > self._most or len(self._known) > MOST_VALUES:
            oldest, value = self._known.popitem(last=False)
            self._weight -= self._weigh(value)
            self._gone(oldest)

    def drop(self, key: K) -> None:
        """Forget the value of a key, if there is one."""
        if (value := self._known.pop(key, None)) is not None:
            self._weight -= self._weigh(value)

    def items(self) -> tuple[tuple[K, V], ...]:
        """All keys with their values, the longest unused first."""
        return tuple(self._known.items())
