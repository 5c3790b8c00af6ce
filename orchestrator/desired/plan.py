"""desired - actual = plan: what is to be done on this node now. Plain values; no clock, no chance, no I/O.

    fetch -> (all of it is here) -> flip -> (the grace is over) -> prune

Times are unix seconds. A clock that jumps can let a set stay longer, or go sooner, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.desired.wish.document import SetBudget


@dataclass(frozen=True, slots=True)
class Desired:
    """The set that this node shall have: its digest, the names of its models, and its blobs with their bytes."""

    digest: str
    models: frozenset[str]
    blobs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class KeptSet:
    """A set that lies here. `left` is when another one took its place; None for that of readers. `lacking` are its
    models of which something is not here."""

    digest: str
    blobs: Mapping[str, int]
    left: float | None = None
    lacking: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Actual:
    """The state of the node: the sets, the models of the desired set that lack something, and the minute of the day."""

    kept: tuple[KeptSet, ...] = ()
    lacking: frozenset[str] = frozenset()
    minute: int = 0

    @property
    def current(self) -> KeptSet | None:
        """The set of readers."""
        return next((one for one in self.kept if one.left is None), None)


@dataclass(frozen=True, slots=True)
class Repair:
    """Fetch what was lost of the models of the set of readers. It waits for no window."""

    models: frozenset[str]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch these models of the desired set, beside the set of readers."""

    models: frozenset[str]


@dataclass(frozen=True, slots=True)
class FlipSet:
    """Let readers have the desired set, of which all is here."""

    digest: str


@dataclass(frozen=True, slots=True)
class Prune:
    """Let go of a set, and of what no other set needs."""

    digest: str


@dataclass(frozen=True, slots=True)
class Wait:
    """The desired set cannot be fetched now. `needs` are bytes beyond the budget, 0 where a window is closed."""

    needs: int = 0


Step = Repair | Fetch | FlipSet | Prune | Wait


def plan(desired: Desired | None, actual: Actual, now: float, budget: SetBudget, grace: float) -> tuple[Step, ...]:
    """The steps that are due, in their order. An empty plan: all is as desired.

    Sets that readers have left stay for `grace` seconds, and less where the desired one needs their room.
    """
    steps: list[Step] = []
    current = actual.current
    if current is not None and current.lacking:
        steps.append(Repair(current.lacking))
    left = [one for one in actual.kept if one.left is not None and (desired is None or one.digest != desired.digest)]
    gone = [one for one in left if one.left is not None and not now < one.left + grace]
    if desired is None or (current is not None and desired.digest == current.digest):
        return (*steps, *(Prune(one.digest) for one in gone))
    must_stay = {**(current.blobs if current else {}), **desired.blobs}
    room = None if budget.disk is None else budget.disk - sum(must_stay.values())
    if room is not None:
        gone = _making_room(left, gone, must_stay, room)
    steps += [Prune(one.digest) for one in gone]
    if not actual.lacking:
        steps.append(FlipSet(desired.digest))
    elif room is not None and room < 0:
        steps.append(Wait(-room))
    elif not budget.is_open(actual.minute):
        steps.append(Wait())
    else:
        steps.append(Fetch(actual.lacking))
    return tuple(steps)


def _making_room(left: list[KeptSet], gone: list[KeptSet], must_stay: Mapping[str, int], room: int) -> list[KeptSet]:
    """The sets that go: those whose grace is over, and the oldest of the others until the rest fits."""
    going = {one.digest for one in gone}
    stay = sorted((one for one in left if one.digest not in going), key=lambda one: one.left or 0.0, reverse=True)
    while stay:
        extra = {blob: size for one in stay for blob, size in one.blobs.items() if blob not in must_stay}
        if sum(extra.values()) <= room:
            break
        going.add(stay.pop().digest)
    return [one for one in left if one.digest in going]
