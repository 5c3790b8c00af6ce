"""Rows 1 to 20: bytes that are wrong, late or missing. One good source is enough; without one nothing is placed."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from random import Random
from typing import Any

import pytest

from orchestrator.transfer.spans import SMALL
from tests.faults.table import Arm, Case, Listing, Place, Turn, Victim, turns
from tests.faults.world import NAME, World, files
from tests.hub.content import MIB
from tests.hub.faults import Fault
from tests.hub.repos import Repo
from tests.hub.shaping import Shape

STEP = 64 << 10


def all_over(kind: str) -> Arm:
    """The fault at a random place of every 64 KiB: which ranges a source is asked for is chance."""

    def arm(random: Random, victim: Victim) -> Sequence[Fault]:
        starts = range(0, victim.size, STEP)
        places = [start + random.randrange(min(STEP, victim.size - start)) for start in starts]
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
    Case(1, "bit flip", all_over("bit_flip"), 65),
    Case(2, "same-size substitution", always("substitute"), 65),
    Case(3, "truncated, right Content-Length", beyond("truncated"), 75),
    Case(4, "truncated, no Content-Length", always("truncated_unframed"), 65),
    Case(5, "one byte extra", always("extra_byte"), 65),
    Case(6, "captive portal", always("html_portal"), 65, at_resolve=True),
    Case(7, "LFS pointer instead of the blob", always("lfs_pointer"), 65, lfs_only=True),
    Case(8, "Range ignored", always("range_ignored"), 0),
    Case(9, "wrong Content-Range", always("wrong_content_range"), 76, lfs_only=True, least=SMALL),
    Case(13, "unexpected gzip", always("gzip"), 76),
    Case(14, "429", some_limit, 75, at_resolve=True),
    Case(15, "500, 502, 503", some_status, 75, at_resolve=True),
    Case(16, "RST in the body", beyond("reset"), 75),
    Case(17, "DNS failure", no_such_host, 75, at_resolve=True),
    Case(18, "drip of 10 B/s", always("drip"), 75, deadline_s=150),
    Case(19, "endless stream", always("endless"), 65, most=SMALL),
    # Asked for in ranges, and each cut at its end: the bytes up to there are right.
    Case(19, "endless stream in ranges", always("endless"), 0, least=SMALL),
    Case(20, "redirect loop", always("redirect_loop"), 76, at_resolve=True),
)


LISTING = "/api/models/*"
LISTINGS = {
    "3 truncated": Listing(lambda random: Fault("truncated", LISTING, until=random.randrange(200), listings=True), 75),
    "6 captive portal": Listing(lambda _: Fault("html_portal", LISTING), 76),
    "14 429": Listing(lambda random: Fault("rate_limited", LISTING, retry_after_s=random.choice([100, 3600])), 75),
    "15 5xx": Listing(lambda random: Fault("status", LISTING, status=random.choice([500, 502, 503, 504])), 75),
    "16 RST": Listing(lambda random: Fault("reset", LISTING, until=random.randrange(200), listings=True), 75),
    "17 DNS failure": Listing(lambda _: Fault("redirect", LISTING, location="http://no-such-host.invalid/x"), 75),
    "18 drip of 10 B/s": Listing(lambda _: Fault("drip", LISTING, listings=True), 75),
    "19 endless stream": Listing(lambda _: Fault("endless", LISTING, listings=True), 76),
    "20 redirect loop": Listing(lambda _: Fault("redirect_loop", LISTING), 76),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    torture = metafunc.config.option.torture
    if "turn" in metafunc.fixturenames:
        drawn = [(case, turn) for case in TABLE for turn in turns(case, torture=torture)]
        names = [f"{case.row} {case.name}{turn.suffix}" for case, turn in drawn]
        metafunc.parametrize(("case", "turn"), drawn, ids=names)


@pytest.mark.sampled(6)
def test_a_source_that_sends_wrong_bytes(world: World, case: Case, turn: Turn) -> None:
    place = turn.place or world.random.choice(case.places)
    victim = world.victim(lfs_only=case.lfs_only, least=case.least, most=case.most)
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


@pytest.mark.variants("name", LISTINGS)
def test_a_root_whose_listing_does_not_arrive(world: World, name: str) -> None:
    listing = LISTINGS[name]
    words = world.add_mirrors("near")
    world.hub.fault(listing.fault(world.random))
    world.deadline_s = 110
    world.ended(world.pull(*words), listing.code, world.host, "no-such-host.invalid")
    world.check_nothing_placed()


# -- rows that need more than a fault


@pytest.mark.variants("place", [Place.ALONE, Place.ROOT])
def test_10_content_that_changes_during_resume(world: World, place: Place) -> None:
    victim = Victim("model-1.safetensors", 9 * MIB, is_lfs=True)
    world.hub.faces["cdn"].shape = Shape(total_rate=4 * MIB)
    running = world.machine.start_pull(NAME)
    assert world.hub.log.wait_for(lambda log: log.bytes_sent(face="cdn", file=victim.path) > 4 * MIB)
    running.signal(world.random.choice([signal.SIGINT, signal.SIGKILL]))
    running.end(10)
    assert world.machine.aria2_ended()
    world.hub.faces["cdn"].shape = Shape()
    world.hub.fault(Fault("substitute", victim.path), face="cdn")
    words = world.add_mirrors("near") if place is Place.ROOT else []
    world.ended(world.pull(*words), 65 if place is Place.ALONE else 0, victim.path)
    world.hub.clear_faults()
    world.ended(world.pull(), 0)


def test_11_one_lying_mirror_of_three(world: World) -> None:
    victim = Victim("model-1.safetensors", 9 * MIB, is_lfs=True)
    words = world.add_mirrors("one", "two", "three")
    liar = world.random.choice(list(world.mirrors))
    world.hub.fault(*all_over("bit_flip")(world.random, victim), face=liar)
    world.begin()
    with ExitStack() as held:
        # Which sources a short pull makes use of is chance: the others wait until the liar has lied.
        for face in {"cdn", *world.mirrors} - {liar}:
            held.enter_context(world.hub.held(face))
        running = world.machine.start_pull(NAME, *words)
        assert world.hub.log.wait_for(lambda log: log.bytes_sent(face=liar, file=victim.path) > 2 * MIB, 30)
    done = world.ended(world.watch(running), 0)
    (warning,) = done.document["warnings"]
    assert (warning["code"], warning["file"]) == ("mirror-lied", victim.path)
    assert warning["mirror"] == world.mirrors[liar].url.removeprefix("http://")


def test_12_a_mirror_whose_size_is_off_by_5(world: World) -> None:
    # A small one is asked of the root alone as long as that has it.
    victim = world.victim(lfs_only=True, least=SMALL)
    data = files()[victim.path]
    other = Repo("model", NAME, {**files(), victim.path: world.random.choice([data[:-5], data + b"12345"])})
    other.commits[world.repo.head] = other.commits[other.head]
    mirror = world.hub.mirror("off", repos=[other])
    done = world.ended(world.pull("--mirror", mirror.url), 0)
    assert done.warnings == ["mirror-differs"]
    assert done.document["warnings"][0]["mirror"] == mirror.url.removeprefix("http://")
    assert world.hub.log.bytes_sent(face="off", file=victim.path) == 0


ASKED_TO_WAIT = {
    "listing": ("hub", "/api/models/*"),
    "resolve": ("hub", "model-1.safetensors"),
    "small file": ("hub", "tokenizer.json"),
    "cdn": ("cdn", "sub/small.bin"),
}


@pytest.mark.variants("where", ASKED_TO_WAIT)
def test_14_a_wait_that_is_asked_for_is_kept(world: World, where: str) -> None:
    face, path = ASKED_TO_WAIT[where]
    world.hub.fault(Fault("rate_limited", path, times=1, retry_after_s=2), face=face)
    world.ended(world.pull(), 0)
    named: dict[str, Any] = {"path": path} if path.startswith("/") else {"file": path}
    refused, again = world.hub.log.requests(face=face, **named)[:2]
    assert (refused.status, again.status == 429) == (429, False)
    assert again.start - refused.start >= 2
