"""A fleet as a server shows it: its nodes, what they are at, and who sends to whom. Plain values, and what is made of
them; who knows the fleet gives them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator.core.text import printable

OUTSIDE, OTHERS = "", "*"
"""Stand in a map of senders for all that is no node, and for the nodes that have no place of their own."""
_MOST_PLACES = 16
"""Nodes with a place of their own in the map: more are not readable."""
_MOST_NODES = 200


@dataclass(frozen=True, slots=True)
class SeenNode:
    """A node, in a zone, or SITE/ZONE. It fetches `leases` for all with `rate` bytes per second, and has `held` bytes
    of what the tasks list. `silent` is how many seconds ago it gave a sign of life."""

    name: str
    state: str
    zone: str
    address: str
    rate: int
    leases: int
    held: int
    silent: float


@dataclass(frozen=True, slots=True)
class SeenShare:
    """The part of a node in a task: `done` bytes are there, `outside` came from outside of the fleet, and `senders` has
    the bytes of each peer."""

    phase: str
    done: int
    outside: int
    senders: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SeenTask:
    """A task. `egress` are the bytes that came from outside of the fleet for it; `shares` has the nodes that are at it,
    and may be empty for one that is old."""

    id: str
    name: str
    state: str
    size: int
    egress: int
    is_closed: bool
    shares: Mapping[str, SeenShare]


@dataclass(frozen=True, slots=True)
class SeenFleet:
    """A fleet, with all that its scheduler tells, the newest task last. `states` has the number of nodes in each state
    that there is. `error` says why it tells nothing now."""

    nodes: Sequence[SeenNode] = ()
    tasks: Sequence[SeenTask] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    error: str = ""

    @property
    def ratio(self) -> float | None:
        """The bytes that came from outside for each byte of what the tasks list; None where nothing came yet."""
        begun = [task for task in self.tasks if task.egress]
        size = sum(task.size for task in begun)
        return sum(task.egress for task in begun) / size if size else None


SeeFleet = Callable[[], SeenFleet]
"""A call that asks how a fleet is. It blocks, for some seconds at most, and raises nothing."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task on the page: how many nodes are in each phase, and the bytes that all of them have and are to have."""

    id: str
    name: str
    state: str
    phases: Mapping[str, int]
    done: int
    total: int
    size: int
    egress: int


@dataclass(frozen=True, slots=True)
class FlowMap:
    """Bytes by who sent them to whom: `flows` has a row for each of the `senders`, which has a number for each of the
    `receivers`."""

    senders: Sequence[str]
    receivers: Sequence[str]
    flows: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class FleetRows:
    """A fleet on the page; `more` are the nodes that have no row."""

    nodes: Sequence[SeenNode]
    more: int
    tasks: Sequence[TaskRow]
    map: FlowMap
    error: str


def rows_of(seen: SeenFleet, *, is_whole: bool) -> FleetRows:
    """The rows of a fleet. Without `is_whole` a task of gated or private files has no name."""
    tasks = [_task_row(task, is_whole=is_whole) for task in reversed(seen.tasks)]
    return FleetRows(seen.nodes[:_MOST_NODES], len(seen.nodes[_MOST_NODES:]), tasks, flow_map(seen.tasks), seen.error)


def _task_row(task: SeenTask, *, is_whole: bool) -> TaskRow:
    shares = task.shares.values()
    return TaskRow(
        id=task.id,
        name=printable(task.name) if is_whole or not task.is_closed else "",
        state=task.state,
        phases=Counter(share.phase for share in shares),
        done=sum(min(share.done, task.size) for share in shares),
        total=task.size * len(task.shares),
        size=task.size,
        egress=task.egress,
    )


def flow_map(tasks: Iterable[SeenTask], most: int = _MOST_PLACES) -> FlowMap:
    """The map of these tasks. Those nodes have a place of their own through which the most bytes go."""
    sent: defaultdict[tuple[str, str], int] = defaultdict(int)
    for task in tasks:
        for node, share in task.shares.items():
            sent[OUTSIDE, node] += share.outside
            for sender, count in share.senders.items():
                sent[sender, node] += count
    through: Counter[str] = Counter()
    for (sender, node), count in sent.items():
        through.update({sender: count, node: count})
    del through[OUTSIDE]
    busiest = sorted(through, key=lambda node: (-through[node], node))
    placed = frozenset(busiest if len(busiest) <= most else busiest[: most - 1])
    flows: defaultdict[tuple[str, str], int] = defaultdict(int)
    for (sender, node), count in sent.items():
        named = sender if sender in placed or sender == OUTSIDE else OTHERS
        flows[named, node if node in placed else OTHERS] += count
    others = [OTHERS] if len(placed) < len(busiest) else []
    senders, receivers = [OUTSIDE, *sorted(placed), *others], [*sorted(placed), *others]
    if not placed:
        return FlowMap((), (), ())
    return FlowMap(senders, receivers, [[flows[sender, node] for node in receivers] for sender in senders])
