"""Leases through a real Redis: one holder, takeover after its time, fencing, and a Redis that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cache.cache import HfCache
from orchestrator.cache.staging import Staging
from orchestrator.core.files import Algorithm, Digest
from orchestrator.errors import ConfigError, TemporaryError
from orchestrator.events import Event, ModelPhase, Notice, Phase
from orchestrator.swarm.leases import Grant, Leases
from orchestrator.swarm.nodes import Nodes, uses
from orchestrator.swarm.redis import SharedRedis, scope_of
from tests.cache.world import World, model_of
from tests.support.redis import RedisServer

ONE = Digest(Algorithm.SHA256, "1" * 64)
TWO = Digest(Algorithm.GIT_SHA1, "2" * 40)
LIFE = 0.6


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


class Node:
    """A process of a node, as far as Redis sees it."""

    def __init__(self, url: str, scope: str, life: float = LIFE, host: str = "") -> None:
        self.said: list[Event] = []
        self.line = SharedRedis(url, self.said.append, scope)
        self.leases = Leases(self.line, life=life)
        if host:
            self.leases.owner = f"{host} 1 1 {os.urandom(8).hex()}"

    def stand_still(self) -> None:
        """As a process that is stopped: nothing is renewed."""
        self.leases._ended.set()

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.said if isinstance(event, Notice)]


@pytest.fixture
def scope() -> str:
    return os.urandom(8).hex()


def until_granted(leases: Leases, digest: Digest, timeout_s: float = 10) -> Grant:
    deadline = time.monotonic() + timeout_s
    while (grant := leases.take(digest)) is Grant.NO:
        assert time.monotonic() < deadline, "the lease did not come free"
        time.sleep(0.02)
    return grant


def test_one_holder_among_nodes(server: RedisServer, scope: str) -> None:
    one, other = Node(server.url, scope), Node(server.url, scope)
    assert one.leases.take(ONE) is Grant.YES
    assert other.leases.take(ONE) is Grant.NO
    assert other.leases.take(TWO) is Grant.YES
    assert one.leases.may_place(ONE)
    one.leases.give_back(ONE)
    assert until_granted(other.leases, ONE) is Grant.YES, "given back in order: the part may be continued"
    assert one.said == other.said == []


def test_another_cache_is_another_matter(server: RedisServer, scope: str) -> None:
    assert Node(server.url, scope).leases.take(ONE) is Grant.YES
    assert Node(server.url, scope + "b").leases.take(ONE) is Grant.YES


def test_a_lease_is_renewed(server: RedisServer, scope: str) -> None:
    one, other = Node(server.url, scope), Node(server.url, scope)
    one.leases.take(ONE)
    end = time.monotonic() + 3 * LIFE
    while time.monotonic() < end:
        assert other.leases.take(ONE) is Grant.NO
        time.sleep(0.05)
    one.leases.close()
    assert until_granted(other.leases, ONE) is Grant.YES


def test_who_stood_still_is_taken_over_and_fenced(server: RedisServer, scope: str) -> None:
    one, other = Node(server.url, scope, host="far-away"), Node(server.url, scope)
    one.leases.take(ONE)
    one.stand_still()
    assert until_granted(other.leases, ONE) is Grant.ANEW, "the one before may still write into its part"
    assert not one.leases.may_place(ONE)
    assert other.leases.may_place(ONE)
    one.leases.give_back(ONE)
    assert other.leases.may_place(ONE), "who lost a lease cannot give it back"


def test_fenced_even_when_the_other_is_done(server: RedisServer, scope: str) -> None:
    one, other = Node(server.url, scope), Node(server.url, scope)
    one.leases.take(ONE)
    one.stand_still()
    until_granted(other.leases, ONE)
    other.leases.give_back(ONE)
    assert not one.leases.may_place(ONE)


def test_a_dead_process_of_this_host_leaves_its_part_to_be_continued(server: RedisServer, scope: str) -> None:
    program = (
        "import sys, os\n"
        "from orchestrator.core.files import Digest\n"
        "from orchestrator.swarm.leases import Leases\n"
        "from orchestrator.swarm.redis import SharedRedis\n"
        "leases = Leases(SharedRedis(sys.argv[1], print, sys.argv[2]), life=0.6)\n"
        "print(leases.take(Digest.parse(sys.argv[3])).value, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, server.url, scope, str(ONE)], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.returncode) == ("yes\n", -signal.SIGKILL), run.stderr
    assert until_granted(Node(server.url, scope).leases, ONE) is Grant.YES


def test_staging_asks_and_begins_anew_after_a_takeover(server: RedisServer, scope: str, tmp_path: Path) -> None:
    first = World(tmp_path)
    one, other = Node(server.url, scope, host="far-away"), Node(server.url, scope)
    old, new = Staging(first.state, one.leases), Staging(first.state, other.leases)
    # Each with a file of locks of its own: as on a file system that grants every lock to everyone.
    old._locks, new._locks = tmp_path / "a", tmp_path / "b"
    old._trusts_locks = new._trusts_locks = True
    claim = old.claim(ONE)
    assert claim is not None
    assert new.claim(ONE) is None
    first_part = old.part(ONE)
    with first_part.open("wb") as stream:
        stream.write(b"half")
        stream.flush()
        one.stand_still()
        deadline = time.monotonic() + 10
        while (taken := new.claim(ONE)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert not first_part.exists(), "the part of who may still write was continued"
        assert new.part(ONE) != first_part, "it can still make names like this one"
        new.part(ONE).write_bytes(b"new")
        stream.write(b" and more")
    old.discard(ONE)
    assert new.part(ONE).read_bytes() == b"new", "who lost the claim removed the part of the one who has it"
    taken.release()
    claim.release()
    assert [path.name for path in new.folder.iterdir()] == []


def test_who_lost_its_lease_does_not_place(server: RedisServer, scope: str, tmp_path: Path) -> None:
    world, model = World(tmp_path), model_of({"a.safetensors": b"x" * 1000})
    (file,) = model.wanted.files
    one, other = Node(server.url, scope), Node(server.url, scope)
    cache = HfCache(world.layout, world.state, may_place=one.leases.may_place)
    one.leases.take(file.digest)
    one.stand_still()
    entries = world.entries([file], {"a.safetensors": b"x" * 1000})
    until_granted(other.leases, file.digest)
    with pytest.raises(TemporaryError, match="another node took over"):
        cache.place(model.ref.repo, model.commit, entries)
    assert not world.blob(model, "a.safetensors").exists()
    # Once the other has placed it, the one that woke up is content.
    world.cache.place(model.ref.repo, model.commit, entries)
    cache.place(model.ref.repo, model.commit, entries)
    assert world.blob(model, "a.safetensors").read_bytes() == b"x" * 1000


def test_without_redis_all_is_granted_and_told_once(tmp_path: Path, scope: str) -> None:
    server = RedisServer(tmp_path)
    node = Node(server.url, scope)
    assert node.leases.take(ONE) is node.leases.take(TWO) is Grant.YES
    assert node.leases.may_place(ONE)
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
        assert node.leases.may_place(ONE)
        assert node.leases.take(TWO) is Grant.YES
        node.leases.close()
        assert time.monotonic() - began < 6
        assert node.codes == ["redis-lost"]


def test_started_again_empty_it_gives_the_lease_back_to_its_holder(tmp_path: Path, scope: str) -> None:
    with RedisServer(tmp_path) as server:
        one, other = Node(server.url, scope), Node(server.url, scope)
        one.leases.take(ONE)
        server.kill()
        server.start()
        assert one.leases.may_place(ONE)
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
