"""What fails while machines fetch together: the others go on, the origin sends little more, all is right.

Each row asserts bytes that the origin sent, digests, litter and exit codes. The long form has 8 nodes and three seeds
for each row, and holds the times as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fleet.lab import Node
from tests.fleet.trial import LONG, MIB, PORT, Trial
from tests.hub.faults import Fault

pytestmark = pytest.mark.sampled(1)

SLACK = 0.1
"""Of the size: what the origin may send beyond what a row names."""


def at(led: Trial) -> float:
    """When something fails: the share of the model that the origin has sent."""
    return led.draw.uniform(0.2, 0.7)


def test_nothing_fails(led: Trial) -> None:
    led.start_all()
    led.ends(egress=1 + SLACK, ratio=1.4, from_peers=1 - (1 + SLACK) / len(led.nodes))


def test_a_node_is_killed(led: Trial) -> None:
    led.start_all()
    led.reaches(at(led))
    led.kill(led.draw.choice(led.nodes))
    # What it alone had is fetched again: much, where a model has few units.
    of_few = 0 if led.scale is LONG else 1 / len(led.nodes)
    led.ends(egress=1 + SLACK + of_few, ratio=1.3)


def test_the_last_holder_of_a_unit_dies(led: Trial) -> None:
    victim = led.draw.choice(led.nodes)
    victim.shape(led.scale.origin_rate / len(led.nodes) / 4)  # so what it has comes to others late
    led.start_all()
    led.reaches(at(led))
    led.kill(victim)
    led.ends(egress=1 + SLACK + 1 / len(led.nodes), ratio=1.4)


def test_a_node_is_slow(led: Trial) -> None:
    slow = led.draw.choice(led.nodes)
    slow.shape(led.scale.rate / 10)
    led.start_all()
    led.ends(egress=1 + SLACK, ratio=1.2, slow=[slow])


def test_a_peer_alters_bytes(led: Trial) -> None:
    liar = led.draw.choice(led.nodes)
    led.start(liar, module="tests.fleet.liar")
    led.start_all(but=[liar])
    # What it alone had when its first reader found it out is fetched again: much, where a model has few units.
    of_few = 0 if led.scale is LONG else SLACK
    ended = led.ends(egress=1 + SLACK + of_few, ratio=1.6, spared=[liar])
    told = {name: {each["code"] for each in one.document["warnings"]} for name, one in ended.items()}
    if "node-accused" in told.pop(liar.name):  # somebody took a piece of it
        assert all("peer-altered" in codes for codes in told.values())


def test_a_peer_forges_bytes_and_hashes(led: Trial) -> None:
    forger = led.draw.choice(led.nodes)
    led.start(forger, module="tests.fleet.forger")
    led.start_all(but=[forger])
    # One of the others fetches again what it has not from the root itself, and the rest of them mend theirs from that.
    led.ends(egress=2, spared=[forger])


def test_a_mirror_lies(led: Trial) -> None:
    mirror = led.hub.mirror("mirror", faults=[Fault("substitute", "*.safetensors")])
    led.words = ("--mirror", mirror.url)
    led.start_all()
    ended = led.ends(egress=2, is_exact=True)
    assert all(mirror.url.partition("://")[2] in one.stderr for one in ended.values())


def test_the_switch_parts(led: Trial) -> None:
    half = len(led.nodes) // 2
    led.start_all()
    led.reaches(at(led) / 2)
    led.lab.part(led.nodes[:half], led.nodes[half:])
    led.ends(egress=2 * 1.05)


def test_the_origin_answers_429(led: Trial) -> None:
    led.start_all()
    led.reaches(at(led))
    for face in ("hub", "cdn"):
        led.hub.fault(Fault("rate_limited", times=len(led.nodes), retry_after_s=2), face=face)
    # Who waits longer than others wait for it is taken for gone by them.
    led.ends(egress=1 + SLACK + 1 / len(led.nodes))


def test_a_disk_is_full(led: Trial) -> None:
    poor = led.draw.choice(led.nodes)
    with small_disk(poor, led.scale.mebibytes * MIB * 2 // 3):
        led.start_all()
        ended = led.ends(egress=1 + SLACK + 1 / len(led.nodes), ratio=1.4, spared=[poor])
    assert ended[poor.name].code == 79


def test_a_node_starts_again(led: Trial) -> None:
    led.start_all()
    led.reaches(at(led))
    # One that knows has to be left.
    victim = led.draw.choice([node for node in led.nodes if not knows(node)] or led.nodes)
    led.kill(victim)
    led.ends(egress=1 + SLACK + 1 / len(led.nodes), ratio=1.5)
    before, (came, _) = led.egress(), victim.wire()
    with led.serving(next(node for node in led.nodes if node is not victim and knows(node))):
        led.start(victim)
        led.ends(egress=before + 0.01, is_exact=True, is_late=True)
    if led.scale is LONG:  # in a short one the journal may not have been written yet
        assert victim.wire()[0] - came < 0.95 * led.scale.mebibytes * MIB, "its part and journal count"


def test_a_stranger_asks(led: Trial) -> None:
    stranger, *others = led.nodes
    led.start_all(but=[stranger])
    led.reaches(0.3)
    file = next(file for file in led.repo.commits[led.repo.head].files.values() if file.sha256)
    for path in ("have", "about", f"sha256:{file.sha256}", f"sha256:{file.sha256}/pieces", "other"):
        for ticket in ("", "?n=node-1&e=9999999999&t=AAAAAAAAAAAAAAAAAAAAAA"):
            url = f"http://{others[0].address}:{PORT}/peer/v1/{path}{ticket}"
            said = stranger.run("curl", "-s", "-w", "%{http_code}", url)
            assert said == "403", (path, ticket)
    led.ends(egress=1 + SLACK)


def test_a_node_comes_late(led: Trial) -> None:
    *others, late = led.nodes
    led.start_all(but=[late])
    led.ends(egress=1 + SLACK, ratio=1.4)
    before = led.egress()
    late.shape(led.scale.origin_rate)  # so that what takes the time is its line
    with led.serving(next(filter(knows, others))):
        led.start(late)
        led.ends(egress=before + 0.01, ratio=1.2, from_peers=0.99, is_exact=True, is_late=True)


def knows(node: Node) -> bool:
    """True for a node that listed the model by itself, and so knows that it is open: with a scheduler, one does it for
    all, and before it begins; without, each once it is done."""
    return any((node.folder / "hf" / "glm-aria" / "repos").glob("*/*.json"))


@contextmanager
def small_disk(node: Node, size: int) -> Iterator[None]:
    """Put a node's caches on a disk of so many bytes."""
    place = node.folder / "hf"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
