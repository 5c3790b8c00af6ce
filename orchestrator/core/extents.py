"""Arrived bytes of a blob, and the source of each: disjoint byte ranges in order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter, itemgetter

Range = tuple[int, int]
"""Bytes from the first number up to, not including, the second."""

Ranges = tuple[Range, ...]
"""Ranges in order that neither overlap nor are empty."""

_END = attrgetter("end")


@dataclass(frozen=True, slots=True)
class Extent:
    """The bytes `start` up to `end` came from `source`."""

    start: int
    end: int
    source: str


@dataclass(frozen=True, slots=True)
class Extents:
    """Extents in order that do not overlap; neighbours of one source are one extent. Made by `of` and `put`."""

    items: tuple[Extent, ...] = ()

    @classmethod
    def of(cls, extents: Iterable[Extent]) -> Extents:
        """Put together; where two overlap, the one that begins first counts."""
        kept: list[Extent] = []
        for item in sorted(extents, key=lambda extent: (extent.start, extent.end)):
            last = kept[-1] if kept else None
            start = max(item.start, last.end) if last else max(item.start, 0)
            if start >= item.end:
                continue
            if last and last.end == start and last.source == item.source:
                kept[-1] = Extent(last.start, item.end, last.source)
            else:
                kept.append(Extent(start, item.end, item.source))
        return cls(tuple(kept))

    def put(self, fresh: Iterable[Extent]) -> Extents:
        """These, and of `fresh` what was not here yet: what arrived first counts."""
        items = list(self.items)
        is_same = True
        for item in fresh:
            for start, end in tuple(_gaps(items, item.start, item.end)):
                _insert(items, Extent(start, end, item.source))
                is_same = False
        return self if is_same else Extents(tuple(items))

    def of_sources(self, sources: Iterable[str]) -> Extents:
        """The extents that these sources sent."""
        kept = frozenset(sources)
        return Extents(tuple(item for item in self.items if item.source in kept))

    def minus(self, ranges: Ranges) -> Extents:
        """The extents outside of `ranges`."""
        return Extents(
            tuple(
                Extent(start, end, item.source)
                for item in self.items
                for start, end in subtract([(item.start, item.end)], ranges)
            )
        )

    def missing(self, size: int) -> Ranges:
        """The ranges of a blob of `size` bytes that are not here, in order."""
        return tuple(_gaps(self.items, 0, size))

    def aligned(self, size: int, *, block: int, piece: int) -> Extents:
        """The extents cut so that each begins at a piece's boundary and ends at a block's, or at the end of the blob.

        aria2 continues at a block's boundary, and goes on to a piece's: it must not run into what is here already.
        """
        runs: list[Range] = []
        for item in self.items:
            if runs and runs[-1][1] == item.start:
                runs[-1] = (runs[-1][0], item.end)
            else:
                runs.append((item.start, item.end))
        whole = [(-(-start // piece) * piece, end if end == size else end // block * block) for start, end in runs]
        return Extents(
            tuple(
                Extent(start, end, item.source)
                for item in self.items
                for start, end in clip(whole, item.start, item.end)
            )
        )

    @property
    def total(self) -> int:
        """The number of bytes that are here."""
        return sum(item.end - item.start for item in self.items)

    @property
    def prefix(self) -> int:
        """The number of bytes from the start without a gap."""
        end = 0
        for item in self.items:
            if item.start != end:
                break
            end = item.end
        return end

    def reach(self, start: int) -> int:
        """The end of the bytes that are here from `start` on without a gap; `start` itself where there are none."""
        at = start
        for item in self.items:
            if item.start <= at < item.end:
                at = item.end
            elif item.start > at:
                break
        return at

    @property
    def by_source(self) -> dict[str, int]:
        """Bytes that each source sent."""
        sums: dict[str, int] = {}
        for item in self.items:
            sums[item.source] = sums.get(item.source, 0) + item.end - item.start
        return sums


def total(ranges: Iterable[Range]) -> int:
    """Bytes of ranges that do not overlap."""
    return sum(end - start for start, end in ranges)


def clip(ranges: Iterable[Range], start: int, end: int) -> Iterator[Range]:
    """The parts of `ranges` between `start` and `end`."""
    for first, last in ranges:
        if max(first, start) < min(last, end):
            yield max(first, start), min(last, end)


def intersect(left: Iterable[Range], right: Iterable[Range]) -> Iterator[Range]:
    """The parts of `left` that are in `right`, too; both in order."""
    ours, theirs = iter(left), iter(right)
    mine, other = next(ours, None), next(theirs, None)
    while mine and other:
        if max(mine[0], other[0]) < min(mine[1], other[1]):
            yield max(mine[0], other[0]), min(mine[1], other[1])
        if mine[1] <= other[1]:
            mine = next(ours, None)
        else:
            other = next(theirs, None)


def covers(ranges: Sequence[Range], wanted: Iterable[Range]) -> bool:
    """True when all of `wanted` is in `ranges`, which are in order."""
    for start, end in wanted:
        at, index = start, bisect_right(ranges, start, key=itemgetter(1))
        while at < end:
            if index == len(ranges) or ranges[index][0] > at:
                return False
            at, index = ranges[index][1], index + 1
    return True


def union(ranges: Iterable[Range]) -> Ranges:
    """All of `ranges`, which may overlap and come in any order."""
    found: list[Range] = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return tuple(found)


def outward(ranges: Iterable[Range], size: int, unit: int) -> Ranges:
    """The least ranges around `ranges` that begin and end at boundaries of `unit`, or at the end of a blob of `size`
    bytes."""
    return union((start // unit * unit, min(size, -(-end // unit) * unit)) for start, end in ranges)


def inward(ranges: Iterable[Range], size: int, unit: int) -> Ranges:
    """The largest ranges within `ranges` that begin and end at boundaries of `unit`, or at the end of a blob of `size`
    bytes."""
    cut = ((-(-start // unit) * unit, size if end >= size else end // unit * unit) for start, end in ranges)
    return tuple((start, end) for start, end in cut if start < end)


def subtract(ranges: Iterable[Range], taken: Iterable[Range]) -> Iterator[Range]:
    """The parts of `ranges`, which are in order, outside of `taken`, which may be in any order."""
    others = iter(union(taken))
    other = next(others, None)
    for start, end in ranges:
        at = start
        while other and other[0] < end:
            if other[0] > at:
                yield at, other[0]
            at = max(at, other[1])
            if at >= end:
                break
            other = next(others, None)
        if at < end:
            yield at, end


def _gaps(items: Sequence[Extent], start: int, end: int) -> Iterator[Range]:
    """The ranges between `start` and `end` that are in none of `items`."""
    at = start
    for index in range(bisect_right(items, start, key=_END), len(items)):
        if items[index].start >= end:
            break
        if items[index].start > at:
            yield at, items[index].start
        at = items[index].end
    if at < end:
        yield at, end


def _insert(items: list[Extent], new: Extent) -> None:
    """Put an extent where nothing is yet, as one with neighbours of its source."""
    first = last = bisect_right(items, new.start, key=_END)
    start, end = new.start, new.end
    if first and (items[first - 1].end, items[first - 1].source) == (start, new.source):
        first, start = first - 1, items[first - 1].start
    if last < len(items) and (items[last].start, items[last].source) == (end, new.source):
        last, end = last + 1, items[last].end
    items[first:last] = [Extent(start, end, new.source)]
