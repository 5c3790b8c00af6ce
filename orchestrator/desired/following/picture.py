"""From what is known of a node to the values of a plan."""

from __future__ import annotations

import time
from dataclasses import dataclass

from orchestrator.core.refs import Target
from orchestrator.desired.following.aim import Aim
from orchestrator.desired.following.work import Lacking
from orchestrator.desired.plan import Actual, Desired, KeptSet, Step, plan
from orchestrator.desired.sets import StoredSet
from orchestrator.lists.lockfile import LockedModel


@dataclass(frozen=True, slots=True)
class Picture:
    """The sets on the disk, that of readers among them, what the desired one and that of readers lack, and when readers
    got theirs, in unix seconds."""

    kept: tuple[StoredSet, ...]
    current: StoredSet | None
    lacking: Lacking | None
    lost: Lacking | None
    flipped: float | None


def steps(aim: Aim, found: Picture, minute: int, *, is_full: bool) -> tuple[Step, ...]:
    """The steps that are due now. On a disk that `is_full` no set stays that readers have left."""
    now, desired = time.time(), aim.set
    since = now if found.flipped is None else found.flipped
    kept = tuple(
        KeptSet(one.digest, one.models.blobs, None, frozenset(found.lost or ()))
        if one is found.current
        else KeptSet(one.digest, one.models.blobs, aim.memory.left.get(one.digest, since))
        for one in found.kept
    )
    wish = None
    if desired is not None:
        wish = Desired(desired.digest, frozenset(one.name for one in desired.models), desired.blobs)
    actual = Actual(kept, frozenset(found.lacking or ()), minute)
    return plan(wish, actual, now, aim.budget, 0.0 if is_full else aim.grace)


def target_of(model: LockedModel) -> Target:
    """A locked model in the cache."""
    return Target(model.ref.repo, model.commit)
