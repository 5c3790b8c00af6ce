"""Leases through a real Redis: renewal, and a Redis that goes away. What all owners do is in `test_owners.py`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cache.claims import Grant
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import ConfigError
from orchestrator.events import ModelPhase, Phase
from orchestrator.shared.nodes import Nodes, uses
from orchestrator.shared.redis import SharedRedis, scope_of
from tests.cache.world import World
from tests.machine.machine import until
from tests.servers.redis import RedisServer
from tests.shared.nodes import Node, until_granted

ONE = Digest(Algorithm.SHA256, "1" * 64)
TWO = Digest(Algorithm.GIT_SHA1, "2" * 40)


def test_another_cache_is_another_matter(server: RedisServer, scope: str) -> None:
    assert Node(server.url, scope).leases.take(ONE) is Grant.YES
    assert Node(server.url, scope + "b").leases.take(ONE) is Grant.YES


def test_a_lease_is_renewed(server: RedisServer, scope: str) -> None:
    one, other = Node(server.url, scope, life=3), Node(server.url, scope)
    one.leases.take(ONE)
    (key,) = server.client.keys(f"*{scope}*:lease:*")
    left: list[int] = [server.client.pttl(key)]

    def is_renewed() -> bool:
        left.append(server.client.pttl(key))
        return left[-1] > left[-2]

    for _ in range(2):
        assert until(is_renewed)
        assert other.leases.take(ONE) is Grant.NO
    one.leases.close()
    assert until_granted(other.leases, ONE) is Grant.YES


def test_a_dead_process_of_this_host_leaves_its_part_to_be_continued(server: RedisServer, scope: str) -> None:
    program = (
        "import sys, os\n"
        "from orchestrator.core.files import Digest\n"
        "from orchestrator.shared.leases import Leases\n"
        "from orchestrator.shared.redis import SharedRedis\n"
        "leases = Leases(SharedRedis(sys.argv[1], print, sys.argv[2]), life=0.6)\n"
        "print(leases.take(Digest.parse(sys.argv[3])).value, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, server.url, scope, str(ONE)], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("yes\n", -signal.SIGKILL), run.stderr
    assert until_granted(Node(server.url, scope).leases, ONE) is Grant.YES


def test_without_redis_all_is_granted_and_told_once(tmp_path: Path, scope: str) -> None:
    server = RedisServer(tmp_path)
    node = Node(server.url, scope)
    assert node.leases.take(ONE) is node.leases.take(TWO) is Grant.YES
    assert node.leases.is_ours(ONE)
    node.leases.give_back(ONE)
    node.leases.close()
    assert node.codes == ["redis-down"]
    assert server.password not in str(node.said)


@pytest.mark.parametrize("way", ["killed", "held still"])
def test_lost_in_the_middle(tmp_path: Path, scope: str, way: str) -> None:
    with RedisServer(tmp_path) as server:
        node = Node(server.url, scope)
        assert node.leases.take(ONE) is Grant.YES
        server.kill() if way == "killed" else server.hold()
        began = time.monotonic()
        assert node.leases.is_ours(ONE)
        assert node.leases.take(TWO) is Grant.YES
        node.leases.close()
        assert time.monotonic() - began < 6
        assert node.codes == ["redis-lost"]


def test_started_again_empty_it_gives_the_lease_back_to_its_holder(tmp_path: Path, scope: str) -> None:
    with RedisServer(tmp_path) as server:
        # So long-lived that it is not renewed in between: who finds no server leaves it alone for a while.
        one, other = Node(server.url, scope, life=60), Node(server.url, scope)
        one.leases.take(ONE)
        server.kill()
        server.start()
        assert one.leases.is_ours(ONE)
        assert other.leases.take(ONE) is Grant.NO
        one.leases.close()


def test_a_wrong_password_is_no_error_and_is_not_shown(server: RedisServer, scope: str) -> None:
    node = Node(server.url.replace(server.password, "wrong-canary"), scope)
    assert node.leases.take(ONE) is Grant.YES
    assert node.codes == ["redis-down"]
    assert "wrong-canary" not in str(node.said)


def test_a_wrong_address_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        SharedRedis("http://:secret-canary@host/0", print)
    assert "secret-canary" not in str(caught.value)


def test_all_nodes_find_the_same_scope(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert scope_of(world.state) == scope_of(world.state)
    assert (world.state / "shared.id").stat().st_mode & 0o777 == 0o600
    assert list(world.staging.folder.iterdir()) == []


def test_nodes_tell_what_they_use(server: RedisServer, scope: str) -> None:
    line = SharedRedis(server.url, print, scope)
    nodes = Nodes(line)
    nodes.observe(ModelPhase("org/a@main", Phase.FETCHING))
    nodes.observe(ModelPhase("org/b@main", Phase.DONE))
    (a, b) = uses(line)
    assert (a.model, a.is_fetching, a.last_use) == ("org/a@main", True, None)
    assert (b.model, b.is_fetching) == ("org/b@main", False)
    assert b.last_use is not None
    assert abs(b.last_use - time.time()) < 60
    nodes.close()
    assert [use.model for use in uses(line)] == ["org/b@main"]
