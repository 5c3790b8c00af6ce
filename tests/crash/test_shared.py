"""Many nodes on one cache: locks that everyone gets, hosts that do not know each other, and a Redis between them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.conftest import MakeHub
from tests.crash.readers import litter
from tests.crash.test_many import NO_LOCKS
from tests.hub.content import MIB, Content, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import wanted
from tests.machine.machine import REPOSITORY, Machine, Running, content, until
from tests.servers.redis import RedisServer

Record = Callable[[str, object], None]


@pytest.fixture
def writers(is_long: bool) -> int:
    """Nodes at once. Sixteen that start on two cores may wait longer for a turn than they do for Redis."""
    return 16 if is_long else 6


@pytest.fixture
def repo() -> Repo:
    small: dict[str, bytes | Path | Content] = {f"sub/{number}.json": b"%d" % number for number in range(6)}
    return Repo("model", "org/shared", {"model.safetensors": generate(16 * MIB, 1), **small})


@pytest.fixture
def hub(repo: Repo, make_hub: MakeHub) -> LoopbackHub:
    return make_hub(repo, cdn_shape=Shape(total_rate=24 * MIB))


@pytest.fixture
def server(tmp_path: Path) -> RedisServer:
    return RedisServer(tmp_path / "redis")


class Cluster:
    """Nodes on one cache; each is a process that believes to be on a host of its own, where no lock excludes anyone."""

    def __init__(self, machine: Machine, hub: LoopbackHub, repo: Repo, url: str | None) -> None:
        self.machine, self.hub, self.repo, self.url = machine, hub, repo, url
        self.nodes: list[Running] = []

    def start(self, *words: str, count: int = 1) -> None:
        for _ in range(count):
            name = f"node-{len(self.nodes)}"
            folder = self.machine.folder / name
            folder.mkdir()
            # Read by every Python before all else.
            (folder / "sitecustomize.py").write_text(
                "import os\n"
                "real = os.uname()\n"
                f"os.uname = lambda: os.uname_result((real.sysname, {name!r}, *tuple(real)[2:]))\n"
            )
            env = {"PYTHONPATH": f"{folder}{os.pathsep}{REPOSITORY}", "GLM_ARIA_SHARED_REDIS": self.url}
            command = ("pull", "--root", self.hub.url, "--json", "org/shared", *words)
            self.nodes.append(self.machine.start(*command, under=NO_LOCKS, env=env))

    def end(self, server: RedisServer | None = None) -> float:
        """Wait for all of them; returns how often a blob was fetched, on average over their bytes."""
        for node in self.nodes:
            result = node.end(180).ended(0)
            assert server is None or server.password not in result.out + result.err
        assert content(self.machine.snapshot("model/org/shared", self.repo.head)) == wanted(self.repo)
        self.hub.log.settle()
        sent = sum(seen.bytes_sent for seen in self.hub.log.requests(method="GET") if seen.file is not None)
        assert self.machine.aria2_ended()
        self.machine.run("pull", "--root", self.hub.url, "--json", "org/shared").ended(0)
        assert litter(self.machine) == []
        if server is not None:
            held = [path for path in self.machine.files() if server.password.encode() in path.read_bytes()]
            assert held == [], "the password of Redis is in a file"
        return sent / sum(len(data) for data in wanted(self.repo).values())

    def fetches(self) -> dict[str, int]:
        """How often each file was asked for from its first byte on."""
        answers = [seen for status in (200, 206) for seen in self.hub.log.requests(method="GET", status=status)]
        names = [seen.file for seen in answers if seen.file is not None]
        return {name: names.count(name) for name in names}


def test_each_blob_is_fetched_once_by_many_writers(
    machine: Machine, hub: LoopbackHub, repo: Repo, server: RedisServer, writers: int, record_property: Record
) -> None:
    with server:
        cluster = Cluster(machine, hub, repo, server.url)
        # Where one connection takes over the rest of another's range, what was on its way to that came for nothing.
        cluster.start("--connections", "1", count=writers)
        times = cluster.end(server)
        print(f"{writers} nodes, every lock granted, with Redis: each blob fetched {times:.2f} times")
        record_property(
            f"figure:{writers} nodes where every lock is granted, with Redis, fetches of a blob", f"{times:.2f}"
        )
        assert times <= 1.01
        assert all(count == 1 for name, count in cluster.fetches().items() if name.startswith("sub/"))
        assert server.client.keys("*:lease:*") == []
        ls = machine.run("cache", "ls", "--nodes", "--json", env={"GLM_ARIA_SHARED_REDIS": server.url}).ended(0)
        nodes = ls.document["data"]["nodes"]
        assert {node["node"] for node in nodes} == {f"node-{number}" for number in range(writers)}
        assert not any(node["fetching"] for node in nodes)


def test_without_redis_it_is_right_if_more_often(
    machine: Machine, hub: LoopbackHub, repo: Repo, writers: int, record_property: Record
) -> None:
    cluster = Cluster(machine, hub, repo, None)
    cluster.start(count=writers)
    times = cluster.end()
    print(f"{writers} nodes, every lock granted, without Redis: each blob fetched {times:.2f} times")
    record_property(
        f"figure:{writers} nodes where every lock is granted, without Redis, fetches of a blob", f"{times:.2f}"
    )


@pytest.mark.parametrize("way", ["killed", "held still"])
def test_redis_lost_in_the_middle(
    machine: Machine, hub: LoopbackHub, repo: Repo, server: RedisServer, way: str
) -> None:
    hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    with server:
        cluster = Cluster(machine, hub, repo, server.url)
        cluster.start(count=4)
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= 2 * MIB, 30)
        server.kill() if way == "killed" else server.hold()
        cluster.end(server)
        codes = {code for result in machine.results for code in result.warnings}
        assert codes & {"redis-lost", "redis-down"}


def test_redis_that_is_not_there(machine: Machine, hub: LoopbackHub, repo: Repo, server: RedisServer) -> None:
    cluster = Cluster(machine, hub, repo, server.url)
    cluster.start()
    cluster.end(server)
    (first, _) = [result for result in machine.results if "pull" in result.words]
    assert first.warnings == ["redis-down"]
    gone = machine.run("cache", "ls", "--nodes", "--json", env={"GLM_ARIA_SHARED_REDIS": server.url}).ended(75)
    assert server.password not in gone.out + gone.err


def test_a_holder_that_stands_still_is_taken_over(
    machine: Machine, hub: LoopbackHub, repo: Repo, server: RedisServer
) -> None:
    """The whole first node is stopped past its lease, wakes when the other is at work, and harms nothing."""
    hub.faces["cdn"].shape = Shape(total_rate=4 * MIB)
    with server:
        cluster = Cluster(machine, hub, repo, server.url)
        cluster.start()
        assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= 4 * MIB, 30)
        assert server.client.keys("*:lease:*")
        (first,) = cluster.nodes
        everyone = [first.pid, *machine.aria2()]
        for pid in everyone:
            os.kill(pid, signal.SIGSTOP)
        assert until(lambda: not server.client.keys("*:lease:*"), 40), "its lease did not run out"
        # Nor does its part look alive to the file locks any more.
        for path in machine.stage.iterdir():
            os.utime(path, (1, 1))
        cluster.start()
        assert until(lambda: any("node-1" in value for value in held(server)), 30)
        assert until(lambda: len(machine.aria2()) >= 1 and any(pid not in everyone for pid in machine.aria2()), 30)
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):  # the node that woke first may end its aria2 at once
                os.kill(pid, signal.SIGCONT)
        cluster.nodes[1].end(120).ended(0)
        assert content(machine.snapshot("model/org/shared", repo.head)) == wanted(repo)
        woken = first.end(120)
        assert woken.code in (0, 75), woken.out + woken.err
        assert content(machine.snapshot("model/org/shared", repo.head)) == wanted(repo)
        machine.run("verify", "org/shared", "--json").ended(0)


def held(server: RedisServer) -> list[str]:
    client = server.client
    return [client.get(key) or "" for key in client.keys("*:lease:*")]


def test_nodes_needs_redis_and_the_address_is_no_business_of_a_working_directory(machine: Machine) -> None:
    assert machine.run("cache", "ls", "--nodes", "--json").ended(2).error["hint"]
    (machine.work / "glm-aria.toml").write_text('[shared]\nredis = "redis://:canary-of-redis@evil:6379/0"\n')
    refused = machine.run("cache", "ls", "--json").ended(78)
    assert "canary-of-redis" not in refused.out + refused.err
    (machine.work / "glm-aria.toml").unlink()
    shown = machine.run("config", "show", env={"GLM_ARIA_SHARED_REDIS": "redis://:canary-of-redis@host/0"}).ended(0)
    assert "shared_redis = ***" in shown.out
    assert "canary-of-redis" not in shown.out + shown.err
    bad = machine.run("config", "show", env={"GLM_ARIA_SHARED_REDIS": "http://:canary-of-redis@host/0"}).ended(78)
    assert "canary-of-redis" not in bad.out + bad.err
