"""Leases: which of them stay, and who gets what nobody has and nobody fetches."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from orchestrator.swarm.goods import Good, Key, order, size_of
from orchestrator.swarm.view import FleetView, Lease, NodeState, NodeView, OriginView, Revoke, Work

WINDOW, MOST_LEASES = 2.0, 8
"""Seconds of work that a node has before it, and the most leases of it."""

SILENT_AFTER = 5.0
"""Seconds without a byte after which a lease is free again."""

CONGESTED_AFTER = 3.0
"""Seconds after which a lease is judged by its rate."""

CRAWLS_AFTER, CRAWL = 10.0, 60.0
"""Seconds after which a node crawls, if what is left of its leases would take it longer than that."""

REST, LONGEST_REST = 10.0, 320.0
"""Seconds for which a node gets no leases that others can have, after its first stall and after many."""

SLOW = 4
"""What is slower than the median divided by this counts as slow."""

_MOST_PRIORITY = 10
_NEW = 0.3
"""The weight of the last report in the pace of a node."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptLease:
    """A lease that stays, and of what it is."""

    good: Good
    lease: Lease


@dataclass(frozen=True, slots=True)
class Review:
    """Judged leases: those that stay, those to take away, and the nodes that are too slow for new ones."""

    kept: tuple[KeptLease, ...]
    revoked: tuple[Revoke, ...]
    slow: frozenset[str]


def review(fleet: FleetView, goods: Sequence[Good], trusted: frozenset[str], now: float) -> Review:
    """End leases that bring nothing any more, and those of slow nodes for which idle ones can step in."""
    moved: dict[str, float] = {}
    for good in goods:
        for lease in good.view.leases:
            moved[lease.node] = max(moved.get(lease.node, 0.0), lease.moved)

    def is_silent(lease: Lease, rested: float) -> bool:
        # What waits behind other work of its node is not silent, nor what is of an origin that is left alone.
        return now - max(lease.since, lease.moved if lease.done else moved[lease.node], rested) > SILENT_AFTER

    def is_over(good: Good, lease: Lease) -> bool:
        serves = lease.node in trusted and lease.node in good.view.wanted_by
        return not serves or good.is_of_others(lease) or good.is_elsewhere(lease)

    kept: list[KeptLease] = []
    revoked: list[Revoke] = []
    for good in goods:
        rests_until = _rests_until(fleet, good)
        for lease in good.view.leases:
            # Who has not begun would be refused, too; what is under way may go on.
            if is_over(good, lease) or (now < rests_until and not lease.done):
                revoked.append(Revoke(lease))
            elif is_silent(lease, rests_until):
                revoked.append(Revoke(lease, is_stalled=True))
            elif not good.is_there(lease):
                kept.append(KeptLease(good, lease))
    slow, late = _congested(fleet, goods, kept, trusted, now)
    revoked += [Revoke(each.lease, is_stalled=is_stalled) for each, is_stalled in late.items()]
    return Review(tuple(each for each in kept if each not in late), tuple(revoked), slow)


def _congested(
    fleet: FleetView, goods: Sequence[Good], kept: Sequence[KeptLease], trusted: frozenset[str], now: float
) -> tuple[frozenset[str], dict[KeptLease, bool]]:
    """The nodes that are slow, and so many of their leases as there are idle nodes to take them, for which there is no
    other work; with each whether its node crawls, whatever the others do."""
    ready = [node for name in trusted if (node := fleet.nodes[name]).state == NodeState.READY]
    pace_bar = _bar(node.pace for node in ready if node.pace)
    of: dict[str, list[KeptLease]] = {}
    for each in kept:
        of.setdefault(each.lease.node, []).append(each)
    begun = {each: max(each.lease.since, _rests_until(fleet, each.good)) for each in kept}
    ages = {node: now - min(begun[each] for each in mine) for node, mine in of.items()}
    rates = {node: sum(each.lease.rate for each in of[node]) for node, age in ages.items() if age > CONGESTED_AFTER}
    left = {node: sum(size_of(each.lease.work) - each.lease.done for each in of[node]) for node in rates}
    crawling = {node for node, rate in rates.items() if ages[node] > CRAWLS_AFTER and left[node] > CRAWL * rate}
    # Where all that have leases are slow, by what the others were used to.
    rate_bar = max(_bar(rates.values()), pace_bar)
    late = sorted((rate, node) for node, rate in rates.items() if rate < rate_bar or node in crawling)
    slow = {node.id for node in ready if 0 < node.pace < pace_bar or now < node.rests_until}
    slow |= {node for _, node in late}
    idle = sorted((node for node in ready if node.id not in of and node.id not in slow), key=_fastest) if late else []
    if idle:
        idle = idle[_to_begin(fleet, goods, kept, now, most=len(idle)) :]
    moved: dict[KeptLease, bool] = {}
    for rate, name in late:
        # Of nodes that are all as slow, none takes from another.
        quicker = [node for node in idle if rate < rate_bar or not node.pace or node.pace > SLOW * rate]
        for each in of[name]:
            able = (other for other in quicker if may(other, each.good))
            taker = next((other for other in able if not _ends_first(each.lease, now - begun[each], other)), None)
            if taker is not None:
                idle.remove(taker)
                quicker.remove(taker)
                moved[each] = name in crawling
    return frozenset(slow), moved


def _ends_first(lease: Lease, age: float, taker: NodeView) -> bool:
    """True if the node of a lease, at its pace since it began, would end before another one that has nothing of it yet.
    Packets that were lost let a connection rest for seconds, and then it goes on."""
    size = size_of(lease.work)
    return taker.pace > 0 and (size - lease.done) * age * taker.pace < size * lease.done


def _to_begin(fleet: FleetView, goods: Sequence[Good], kept: Sequence[KeptLease], now: float, *, most: int) -> int:
    """The works that nobody has begun and that an origin would send now, `most` at most: what arrived of a lease is
    fetched once more when another takes it, so a slow node keeps its own until nothing else is left."""
    taken, used = _taken(kept), Counter(each.good.view.host for each in kept)
    found = 0
    for good in goods:
        host = good.view.host
        room = min(most - found, allowed(fleet.origins.get(host), now) - used[host])
        count = sum(1 for _ in islice(good.works(taken.get(good.key, 0)), max(0, room)))
        found += count
        used[host] += count
    return found


def _taken(kept: Iterable[KeptLease]) -> dict[Key, int]:
    """The pieces of each good that leases have, as a mask."""
    taken: dict[Key, int] = {}
    for each in kept:
        taken[each.good.key] = taken.get(each.good.key, 0) | each.good.mask(each.lease.work)
    return taken


def pace_after(pace: float, came: int, seconds: float) -> float:
    """The pace of a node of which so many bytes of leases came in so many seconds."""
    rate = came / seconds
    return pace + _NEW * (rate - pace) if pace and rate else pace or rate


def rest_after(stalls: int) -> float:
    """Seconds for which a node rests after so many stalls, twice as long each time."""
    return min(REST * 2.0 ** (min(stalls, 16) - 1), LONGEST_REST) if stalls else 0.0


def _bar(rates: Iterable[float]) -> float:
    found = sorted(rates)
    return found[len(found) // 2] / SLOW if found else 0.0


def _fastest(node: NodeView) -> tuple[float, int]:
    return -node.pace, order(node.id)


def may(node: NodeView, good: Good) -> bool:
    """True if this node is to get this, has no other work before it, and may share it."""
    is_at_it = node.id in good.view.wanted_by and node.id not in good.view.waiting
    return is_at_it and (node.shares_restricted or not good.view.is_restricted)


def grants(
    fleet: FleetView, goods: Sequence[Good], found: Review, trusted: frozenset[str], now: float
) -> Iterator[Lease]:
    """New leases, to each task in turn by its priority, and each to the node that would be through with it first."""
    names, desk = _names(fleet, goods), _Desk(fleet, found, trusted, now)
    taken, loads = _taken(found.kept), Counter(names[each.good.key] for each in found.kept)
    queues: dict[str, deque[_Queue]] = {}
    of = {good.key: good for good in goods}
    for key, name in names.items():
        good = of[key]
        if good.missing:
            queues.setdefault(name, deque()).append(_Queue(good, good.works(taken.get(key, 0))))
    priorities = {task.id: min(max(task.priority, -_MOST_PRIORITY), _MOST_PRIORITY) for task in fleet.tasks}

    def turn(name: str) -> float:
        return (loads[name] + 1) / 2.0 ** priorities.get(name, 0)

    heap = [(turn(name), rank, name) for rank, name in enumerate(queues)]
    heapq.heapify(heap)
    while heap:
        _, rank, name = heapq.heappop(heap)
        lease = desk.next(queues[name])
        if lease is not None:
            yield lease
            loads[name] += 1
            heapq.heappush(heap, (turn(name), rank, name))


def _names(fleet: FleetView, goods: Sequence[Good]) -> dict[Key, str]:
    """The task of each good: of several that with the highest priority. In the order in which tasks want them: their
    bundles, which nobody can begin without, then their blobs. What is of no task is a task of its own."""
    names: dict[Key, str] = {}
    there = {good.key for good in goods}
    bundles: dict[str, list[Key]] = {}
    for bundle in fleet.bundles:
        bundles.setdefault(bundle.bundle.task, []).append((bundle.bundle.task, bundle.bundle.index))
    for task in sorted(fleet.tasks, key=lambda task: -task.priority):
        for key in (*bundles.get(task.id, ()), *task.digests):
            if key in there:
                names.setdefault(key, task.id)
    for good in goods:
        names.setdefault(good.key, str(good.key[0] if isinstance(good.key, tuple) else good.key))
    return names


@dataclass(frozen=True, slots=True)
class _Queue:
    """A good, and the work of it that is still to be leased."""

    good: Good
    works: Iterator[Work]


class _Desk:
    """The room that nodes and origins still have while leases are given."""

    def __init__(self, fleet: FleetView, found: Review, trusted: frozenset[str], now: float) -> None:
        self._fleet, self._now = fleet, now
        self._used: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._ahead: Counter[str] = Counter()
        for each in found.kept:
            self._take(each.good.view.host, each.lease.node, size_of(each.lease.work) - each.lease.done)
        ready = [node for name in trusted if (node := fleet.nodes[name]).state == NodeState.READY]
        paces = sorted(node.pace for node in ready if node.pace)
        self._usual = paces[len(paces) // 2] if paces else 1.0
        self._quick = [node for node in ready if node.id not in found.slow]
        self._slow = [node for node in ready if node.id in found.slow]
        self._free = [node for node in self._quick if self._has_room(node)]
        self._heaps: dict[Key, list[tuple[float, int, str]]] = {}

    def next(self, queues: deque[_Queue]) -> Lease | None:
        """The next lease of a task, None when it has no work that an origin and a node would take now."""
        while queues:
            good = queues[0].good
            if self._used[good.view.host] < allowed(self._fleet.origins.get(good.view.host), self._now):
                node = self._pick(good)
                work = next(queues[0].works, None) if node else None
                if node and work:
                    self._take(good.view.host, node, size_of(work))
                    return Lease("", work, node, self._now, self._now)
            queues.popleft()
        return None

    def _take(self, host: str, node: str, size: int) -> None:
        self._used[host] += 1
        self._counts[node] += 1
        self._ahead[node] += max(0, size)

    def _pick(self, good: Good) -> str | None:
        """The node that would be through first with a unit of this."""
        heap = self._heaps.get(good.key)
        if heap is None:
            heap = [(self._through(node, good), order(node.id), node.id) for node in self._candidates(good)]
            heapq.heapify(heap)
            self._heaps[good.key] = heap
        while heap:
            due, rank, name = heap[0]
            node = self._fleet.nodes[name]
            if not self._has_room(node):
                heapq.heappop(heap)
            elif self._through(node, good) > due:  # it got more work since
                heapq.heapreplace(heap, (self._through(node, good), rank, name))
            else:
                return name
        return None

    def _candidates(self, good: Good) -> list[NodeView]:
        """The nodes that may get this and have room; slow ones only where there are no others at all."""
        free = [node for node in self._free if may(node, good)]
        if free or any(may(node, good) for node in self._quick):
            return free
        return [node for node in self._slow if may(node, good) and self._has_room(node)]

    def _has_room(self, node: NodeView) -> bool:
        """True if it has no lease, or will be through with what it has before long."""
        count = self._counts[node.id]
        return not count or (count < MOST_LEASES and self._ahead[node.id] < WINDOW * node.pace)

    def _through(self, node: NodeView, good: Good) -> float:
        """Seconds until it would be through with a unit of this."""
        return (self._ahead[node.id] + good.unit) / (node.pace or self._usual)


def allowed(origin: OriginView | None, now: float) -> int:
    """The leases that the fleet may have of an origin at once."""
    known = origin or OriginView()
    return known.connections if now >= known.rests_until else 0


def _rests_until(fleet: FleetView, good: Good) -> float:
    origin = fleet.origins.get(good.view.host)
    return origin.rests_until if origin else 0.0
