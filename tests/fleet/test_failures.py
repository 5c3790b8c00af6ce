"""What fails while machines fetch together, without control: others go on, the origin sends little more, all is right.

Each row asserts bytes that the origin sent, digests, litter and exit codes. The long form has 8 nodes and three seeds
for each row, and holds the times as well.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fleet.lab import Node
from tests.fleet.trial import LONG, MIB, PORT, Trial
from tests.hub.faults import Fault

SLACK = 0.1
"""Of the size: what the origin may send beyond what a row names."""


def at(trial: Trial) -> float:
    """When something fails: the share of the model that the origin has sent."""
    return trial.draw.uniform(0.2, 0.7)


def test_nothing_fails(trial: Trial) -> None:
    trial.start_all()
    trial.ends(egress=1 + SLACK, ratio=1.4, from_peers=1 - (1 + SLACK) / len(trial.nodes))


def test_a_node_is_killed(trial: Trial) -> None:
    trial.start_all()
    trial.reaches(at(trial))
    trial.kill(trial.draw.choice(trial.nodes))
    # What it alone had is fetched again.
    trial.ends(egress=1 + SLACK + 1 / len(trial.nodes), ratio=1.4)


def test_the_last_holder_of_a_unit_dies(trial: Trial) -> None:
    victim = trial.draw.choice(trial.nodes)
    victim.shape(trial.scale.origin_rate / len(trial.nodes) / 4)  # so what it has comes to others late
    trial.start_all()
    trial.reaches(at(trial))
    trial.kill(victim)
    trial.ends(egress=1 + SLACK + 1 / len(trial.nodes), ratio=1.4)


def test_a_node_is_slow(trial: Trial) -> None:
    slow = trial.draw.choice(trial.nodes)
    slow.shape(trial.scale.rate / 10)
    trial.start_all()
    trial.ends(egress=1 + SLACK)


def test_a_peer_alters_bytes(trial: Trial) -> None:
    liar = trial.draw.choice(trial.nodes)
    trial.start(liar, module="tests.fleet.liar")
    trial.start_all(but=[liar])
    # What it had is fetched again, and each node finds it out by itself, so not all know at once who does that now.
    ended = trial.ends(egress=1 + SLACK + 2 / len(trial.nodes), ratio=1.6, spared=[liar])
    told = [each["code"] for name, one in ended.items() if name != liar.name for each in one.document["warnings"]]
    assert "peer-altered" in told


def test_a_mirror_lies(trial: Trial) -> None:
    mirror = trial.hub.mirror("mirror", faults=[Fault("substitute", "*.safetensors")])
    trial.words = ("--mirror", mirror.url)
    trial.start_all()
    # The lies, and then the whole of it by each node: without control nobody settles it for the others.
    ended = trial.ends(egress=2 + SLACK + len(trial.nodes))
    assert any(mirror.url.partition("://")[2] in one.stderr for one in ended.values())


def test_the_switch_parts(trial: Trial) -> None:
    half = len(trial.nodes) // 2
    trial.start_all()
    trial.reaches(at(trial) / 2)
    trial.lab.part(trial.nodes[:half], trial.nodes[half:])
    trial.ends(egress=2 * 1.05)


def test_the_origin_answers_429(trial: Trial) -> None:
    trial.start_all()
    trial.reaches(at(trial))
    for face in ("hub", "cdn"):
        trial.hub.fault(Fault("rate_limited", times=len(trial.nodes), retry_after_s=2), face=face)
    # Who waits longer than others wait for it is taken for gone by them.
    trial.ends(egress=1 + SLACK + 1 / len(trial.nodes))


def test_a_disk_is_full(trial: Trial) -> None:
    poor = trial.draw.choice(trial.nodes)
    with small_disk(poor, trial.scale.mebibytes * MIB * 2 // 3):
        trial.start_all()
        ended = trial.ends(egress=1 + SLACK + 1 / len(trial.nodes), ratio=1.4, spared=[poor])
    assert ended[poor.name].code == 79


def test_a_node_starts_again(trial: Trial) -> None:
    *others, victim = trial.nodes
    trial.start_all()
    trial.reaches(at(trial))
    trial.kill(victim)
    trial.ends(egress=1 + SLACK + 1 / len(trial.nodes), ratio=1.5)
    before, (came, _) = trial.egress(), victim.wire()
    with trial.serving(others[0]):
        trial.start(victim)
        trial.ends(egress=before + 0.01, is_exact=True)
    if trial.scale is LONG:  # in a short one the journal may not have been written yet
        assert victim.wire()[0] - came < 0.95 * trial.scale.mebibytes * MIB, "its part and journal count"


def test_a_stranger_asks(trial: Trial) -> None:
    stranger, *others = trial.nodes
    trial.start_all(but=[stranger])
    trial.reaches(0.3)
    file = next(file for file in trial.repo.commits[trial.repo.head].files.values() if file.sha256)
    for path in ("have", "about", f"sha256:{file.sha256}", f"sha256:{file.sha256}/pieces", "other"):
        for ticket in ("", "?n=node-1&e=9999999999&t=AAAAAAAAAAAAAAAAAAAAAA"):
            url = f"http://{others[0].address}:{PORT}/peer/v1/{path}{ticket}"
            said = stranger.run("curl", "-s", "-w", "%{http_code}", url)
            assert said == "403", (path, ticket)
    trial.ends(egress=1 + SLACK)


def test_a_node_comes_late(trial: Trial) -> None:
    *others, late = trial.nodes
    trial.start_all(but=[late])
    trial.ends(egress=1 + SLACK, ratio=1.4)
    before = trial.egress()
    with trial.serving(others[0]):
        trial.start(late)
        trial.ends(egress=before + 0.01, from_peers=0.99, is_exact=True)


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
