"""Machines that pull the same with nothing but each other: what the origin sends, who sent the rest, and who is stayed
for. Each assertion of a pull has the bytes of the origin, those of the peers, and the digests."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fleet.lab import Lab, Node, egress, size
from tests.fleet.running import Ended, Running
from tests.hub.loopback import LoopbackHub
from tests.hub.models import one_big
from tests.hub.repos import Repo

pytestmark = pytest.mark.sampled(1)

MIB = 1 << 20
KEY = "key-of-the-fleet-of-these-tests"
CANARY = "hf_canaryOfTheFleetOfTheseTests"
LINE, SLOW = 1e9, 80e6
ORIGIN = SLOW
"""Where three machines share two cores, one may hear a second late what another one has, and fetches it as well: the
less, the slower the origin."""
MOST = 1.1


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.open(4, rate=LINE, origin_rate=ORIGIN) as lab:
        yield lab


@pytest.fixture
def large(tmp_path: Path) -> Repo:
    return Repo("model", "org/large", one_big(128 * MIB, tmp_path))


@pytest.fixture
def shards() -> Repo:
    chance = random.Random(7)
    weights = {f"model-{number:05d}.safetensors": chance.randbytes(3 * MIB) for number in range(40)}
    small = {f"extra/{number}.json": chance.randbytes(chance.randint(1, 40_000)) for number in range(60)}
    return Repo("model", "org/shards", weights | small)


class Pulls:
    """Pulls of one repo at machines, which end with the test; each begins with an empty cache."""

    def __init__(self, hub: LoopbackHub, repo: Repo) -> None:
        self.hub, self.repo = hub, repo
        self.running: list[Running] = []

    def start(self, node: Node, *words: str, key: str = KEY, cache: str = "hub") -> Running:
        env = {"GLM_ARIA_FLEET_KEY": key, "HF_TOKEN": CANARY, "HF_HUB_CACHE": str(node.folder / "hf" / cache)}
        argv = ("pull", self.repo.name, "--no-mirrors", "--json", "--progress", "lines", *words)
        running = node.glm_aria(*argv, root=self.hub.url, env=env)
        self.running.append(running)
        return running


@contextmanager
def pulls(lab: Lab, repo: Repo) -> Iterator[Pulls]:
    for node in lab.nodes:
        node.run("rm", "-rf", str(node.folder / "hf"))
    with lab.hub([repo], tokens={CANARY: set()}) as hub:
        made = Pulls(hub, repo)
        try:
            yield made
        finally:
            for running in made.running:
                with suppress(ProcessLookupError):
                    running.kill()
            for node in lab.nodes:
                node.shape(LINE)


def named(nodes: Sequence[Node]) -> list[str]:
    """The options that name all these machines: the same for all of them, as people write it."""
    return [word for node in nodes for word in ("--peer", node.address)]


def come(made: Pulls, share: float) -> None:
    """Wait until the origin has sent this share of the repo."""
    deadline = time.monotonic() + 60
    while egress(made.hub, made.repo) < share:
        assert time.monotonic() < deadline, [running.said()[-500:] for running in made.running]
        time.sleep(0.02)


def until(running: Running, is_so: Callable[[str], bool]) -> None:
    """Wait until what a command said is so."""
    deadline = time.monotonic() + 60
    while not is_so(running.said()):
        assert time.monotonic() < deadline, running.said()[-1000:]
        time.sleep(0.02)


def from_peers(ended: Ended) -> int:
    assert ended.code == 0, ended.stderr[-2000:]
    return sum(model["bytes_from_peers"] for model in ended.document["data"]["models"])


def assert_shared(ended: Sequence[Ended], nodes: Sequence[Node], made: Pulls, most: float = MOST) -> None:
    """All have the right bytes; the origin sent at most so many copies, and the machines each other the rest."""
    assert not any(node.wrong(made.repo) for node in nodes)
    assert egress(made.hub, made.repo) <= most
    assert sum(map(from_peers, ended)) >= (len(nodes) - most) * size(made.repo)


def test_three_machines_fetch_one_copy_of_a_large_file(lab: Lab, large: Repo) -> None:
    nodes = lab.nodes[:3]
    with pulls(lab, large) as made:
        running = [made.start(node, *named(nodes)) for node in nodes]
        ended = [each.wait() for each in running]
        assert_shared(ended, nodes, made)


def test_three_machines_that_find_each_other_fetch_one_copy_of_many_files(lab: Lab, shards: Repo) -> None:
    nodes = lab.nodes[:3]
    with pulls(lab, shards) as made:
        running = [made.start(node, "--lan") for node in nodes]
        ended = [each.wait() for each in running]
        assert_shared(ended, nodes, made)


def test_a_machine_that_is_killed_is_stood_in_for(lab: Lab, large: Repo) -> None:
    nodes = lab.nodes[:3]
    with pulls(lab, large) as made:
        running = [made.start(node, *named(nodes)) for node in nodes]
        until(running[0], lambda said: "shared with 2 machines" in said and "fetching" in said)
        come(made, 0.3)
        running[0].kill()
        ended = [each.wait() for each in running[1:]]
        assert not any(node.wrong(large) for node in nodes[1:])
        # What only the killed one had is fetched once more, and so is what it had under way.
        assert egress(made.hub, large) <= 1.3
        assert sum(map(from_peers, ended)) >= 0.4 * size(large)
        # Begun again it goes on from what it has, with those that are still there, or alone.
        again = made.start(nodes[0], *named(nodes)).wait()
        assert again.code == 0
        assert not nodes[0].wrong(large)


def test_one_that_comes_late_costs_the_origin_next_to_nothing(lab: Lab, large: Repo) -> None:
    nodes = lab.nodes[:3]
    with pulls(lab, large) as made:
        running = [made.start(node, *named(nodes)) for node in nodes[:2]]
        come(made, 0.3)
        running.append(made.start(nodes[2], *named(nodes)))
        ended = [each.wait() for each in running]
        # What was under way when it came, in pieces of 4 MiB, may be fetched twice.
        assert_shared(ended, nodes, made, most=1.2)


def test_one_that_is_done_stays_until_the_others_have_what_it_alone_has(lab: Lab, large: Repo) -> None:
    first, second = lab.nodes[:2]
    with pulls(lab, large) as made:
        second.shape(SLOW)
        running = made.start(first, *named([second]))
        come(made, 0.4)
        slow = made.start(second, *named([first]))
        until(running, lambda said: "stays for 1 machine" in said)
        before = egress(made.hub, large)
        second.shape(LINE)
        assert_shared([running.wait(), slow.wait()], [first, second], made, most=1.25)
        assert egress(made.hub, large) <= before + 0.02


def test_who_does_not_want_to_stay_ends_it_with_ctrl_c(lab: Lab, large: Repo) -> None:
    first, second = lab.nodes[:2]
    with pulls(lab, large) as made:
        second.shape(SLOW)
        running = made.start(first, *named([second]))
        come(made, 0.4)
        slow = made.start(second, *named([first]))
        until(running, lambda said: "stays for 1 machine" in said)
        running.send(signal.SIGINT)
        ended = running.wait()
        assert ended.code == 0
        assert ended.document["status"] == "success"
        assert not first.wrong(large)
        second.shape(LINE)
        assert slow.wait().code == 0
        assert not second.wrong(large)


def test_a_stranger_gets_nothing_and_hinders_nobody(lab: Lab, large: Repo) -> None:
    nodes, stranger = lab.nodes[:2], lab.nodes[3]
    with pulls(lab, large) as made:
        running = [made.start(node, *named([*nodes, stranger])) for node in nodes]
        other = made.start(stranger, *named(nodes), key="another-key-of-another-fleet")
        ended = [each.wait() for each in running]
        alone = other.wait()
        assert not any(node.wrong(large) for node in nodes)
        assert egress(made.hub, large, *nodes) <= MOST
        assert sum(map(from_peers, ended)) >= (len(nodes) - MOST) * size(large)
        assert from_peers(alone) == 0
        assert egress(made.hub, large, stranger) <= 1.01
        assert not stranger.wrong(large)
        assert "peer-refused" in {warning["code"] for warning in alone.document["warnings"]}


RECORD = """
import socket, sys
heard = socket.create_server(("", 8092))
print("listening", flush=True)
while True:
    one, _ = heard.accept()
    one.settimeout(2)
    try:
        print(one.recv(1 << 16), flush=True)
        one.sendall(b"HTTP/1.1 403 Forbidden\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    except OSError:
        pass
    one.close()
"""


def test_no_machine_is_shown_the_token_of_the_hub_or_the_key(lab: Lab, large: Repo) -> None:
    nodes, ear = lab.nodes[:2], lab.nodes[3]
    listening = ear.start("python3", "-c", RECORD)
    try:
        while "listening" not in listening.stdout.read_text():
            time.sleep(0.02)
        with pulls(lab, large) as made:
            running = [made.start(node, *named([*nodes, ear])) for node in nodes]
            assert_shared([each.wait() for each in running], nodes, made)
        heard = listening.stdout.read_text()
        assert "/peer/v1/" in heard
        assert CANARY not in heard
        assert KEY not in heard
        assert "org/large" not in heard
    finally:
        listening.kill()


def test_machines_share_over_ipv6(lab: Lab, large: Repo) -> None:
    nodes = lab.nodes[:2]
    with pulls(lab, large) as made:
        peers = [word for node in nodes for word in ("--peer", f"[{node.address6}]")]
        running = [made.start(node, *peers, "--peer-listen", "[::]:8092") for node in nodes]
        assert_shared([each.wait() for each in running], nodes, made)


def test_a_machine_without_others_gets_all_from_the_origin(lab: Lab, large: Repo) -> None:
    (node,) = lab.nodes[:1]
    with pulls(lab, large) as made:
        ended = made.start(node, *named(lab.nodes[1:3])).wait()
        assert from_peers(ended) == 0
        assert not node.wrong(large)
        assert egress(made.hub, large) <= 1.01
