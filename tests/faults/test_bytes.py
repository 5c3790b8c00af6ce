"""Rows 1 to 20: bytes that are wrong, late or missing. One good source is enough; without one nothing is placed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.faults.table import Arm, Case, Place, Turn, Victim, turns
from tests.faults.world import World
from tests.support.content import MIB
from tests.support.faults import Fault


def each_mib(kind: str) -> Arm:
    """The fault at a random place of every MiB: which ranges a source is asked for is chance."""

    def arm(random: Random, victim: Victim) -> Sequence[Fault]:
        starts = range(0, victim.size, MIB)
        places = [start + random.randrange(min(MIB, victim.size - start)) for start in starts]
        return [Fault(kind, victim.path, after_bytes=at) for at in places]

    return arm


def beyond(kind: str) -> Arm:
    """Nothing is ever sent from a random offset of the file on."""
    return lambda random, victim: [Fault(kind, victim.path, until=random.randrange(victim.size))]


def always(kind: str, **options: Any) -> Arm:
    """The fault at every answer for the file."""
    return lambda _, victim: [Fault(kind, victim.path, **options)]


def some_status(random: Random, victim: Victim) -> Sequence[Fault]:
    return [Fault("status", victim.path, status=random.choice([500, 502, 503]))]


def some_limit(random: Random, victim: Victim) -> Sequence[Fault]:
    return [Fault("rate_limited", victim.path, retry_after_s=random.choice([100, 3600]))]


def no_such_host(_: Random, victim: Victim) -> Sequence[Fault]:
    return [Fault("redirect", victim.path, location="http://no-such-host.invalid/file")]


TABLE = (
    Case(1, "bit flip", each_mib("bit_flip"), 65),
    Case(2, "same-size substitution", always("substitute"), 65),
    Case(3, "truncated, right Content-Length", beyond("truncated"), 75),
    Case(4, "truncated, no Content-Length", always("truncated_unframed"), 65),
    Case(5, "one byte extra", always("extra_byte"), 65),
    Case(6, "captive portal", always("html_portal"), 65, at_resolve=True),
    Case(7, "LFS pointer instead of the blob", always("lfs_pointer"), 65, lfs_only=True),
    Case(8, "Range ignored", always("range_ignored"), 0),
    Case(9, "wrong Content-Range", always("wrong_content_range"), 76, lfs_only=True),
    Case(13, "unexpected gzip", always("gzip"), 76),
    Case(14, "429", some_limit, 75, at_resolve=True),
    Case(15, "500, 502, 503", some_status, 75, at_resolve=True),
    Case(16, "RST in the body", beyond("reset"), 75),
    Case(17, "DNS failure", no_such_host, 75, at_resolve=True),
    Case(18, "drip of 10 B/s", always("drip"), 75, deadline_s=150),
    Case(19, "endless stream", always("endless"), 65),
    Case(20, "redirect loop", always("redirect_loop"), 76, at_resolve=True),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        torture = metafunc.config.option.torture
        drawn = [(case, turn) for case in TABLE for turn in turns(case, torture=torture)]
        names = [f"{case.row} {case.name}{turn.suffix}" for case, turn in drawn]
        metafunc.parametrize(("case", "turn"), drawn, ids=names)


def test_a_source_that_sends_wrong_bytes(world: World, case: Case, turn: Turn) -> None:
    place = turn.place or world.random.choice(case.places)
    victim = world.victim(lfs_only=case.lfs_only)
    print(f"{victim.path} from {place.value}")
    words = world.arm(case, place, victim)
    world.deadline_s = case.deadline_s
    done = world.pull(*words)
    world.ended(done, 0 if place.leaves_a_good_source else case.alone, victim.path)


def test_everything_is_found_after_the_fault(world: World) -> None:
    """A run that failed leaves nothing that hinders the next one (row by row would only cost time)."""
    case = world.random.choice([case for case in TABLE if case.row in (1, 2, 4, 5, 6)])
    words = world.arm(case, Place.EVERY, world.victim())
    world.ended(world.pull(*words), case.alone)
    world.hub.clear_faults()
    world.ended(world.pull(*words), 0)
    assert list(world.machine.stage.iterdir()) == []
