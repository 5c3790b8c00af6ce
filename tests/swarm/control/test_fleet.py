"""Nodes and schedulers as processes: one model, one copy of it from the origin, the right bytes at each node."""

import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest

from orchestrator.app.fleet.pulling import key_of
from orchestrator.core.refs import parse_ref
from orchestrator.lists.request import Item, PullRequest
from orchestrator.swarm.board.redis import RedisBoard
from orchestrator.swarm.control.messages import task_of
from orchestrator.swarm.control.scheduling.fact_codec import register_of
from orchestrator.swarm.control.scheduling.facts import LockFact
from orchestrator.swarm.tickets import FleetKeys
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.serve.servers import Server
from tests.servers.ports import free_port
from tests.servers.redis import RedisServer
from tests.swarm.control.fleets import Nodes, from_peers, model, slow_hub
from tests.swarm.control.pretenders import pretending
from tests.swarm.control.processes import KEY, SchedulerProcess, belong

COUNT = 3
MOST = 1.05
STANDS_STILL = 5.0
"""Seconds for which a Redis answers nothing."""


@pytest.fixture
def nodes(tmp_path: Path, machine: Machine) -> Iterator[Nodes]:
    """Three machines, and a slow origin."""
    repo = model()
    with slow_hub(repo, COUNT, machine.token) as hub:
        made = Nodes.made(tmp_path, hub, repo, COUNT)
        yield made
        made.end()


@pytest.fixture
def head(machine: Machine) -> Machine:
    """The machine of schedulers."""
    belong(machine)
    return machine


def test_pulls_share_through_a_scheduler(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    results = nodes.ended(nodes.pulls(scheduler.address))
    assert nodes.egress <= MOST
    assert from_peers(results) >= (COUNT - MOST) * nodes.size
    assert nodes.questions <= 4
    listed = head.run("fleet", "ls", "--scheduler", scheduler.address, "--json").ended(0).document["data"]
    assert [task["state"] for task in listed["tasks"]] == ["done"]
    scheduler.stop()


def test_the_first_machine_of_a_job_has_the_scheduler_itself(nodes: Nodes) -> None:
    results = nodes.ended(nodes.pulls(f"127.0.0.1:{free_port()}"))
    assert nodes.egress <= MOST
    assert from_peers(results) >= (COUNT - MOST) * nodes.size


def test_pulls_share_over_a_redis_alone(nodes: Nodes, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        results = nodes.ended(nodes.pulls(redis.url))
        assert nodes.egress <= MOST
        assert from_peers(results) >= (COUNT - MOST) * nodes.size


def test_a_scheduler_that_is_killed_is_followed_by_the_other(nodes: Nodes, head: Machine, tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        first, second = (SchedulerProcess.start(head, env={"GLM_ARIA_FLEET_REDIS": redis.url}) for _ in range(2))
        running = nodes.pulls(f"{first.address},{second.address}")
        assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
        first.kill()
        results = nodes.ended(running)
        assert nodes.egress <= 1.1
        assert from_peers(results) >= (COUNT - 1.2) * nodes.size
        second.stop()


def test_a_redis_that_stands_still_for_a_while_costs_no_second_copy(
    nodes: Nodes, head: Machine, tmp_path: Path
) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        scheduler = SchedulerProcess.start(head, env={"GLM_ARIA_FLEET_REDIS": redis.url})
        running = nodes.pulls(scheduler.address)
        assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
        redis.hold()
        time.sleep(STANDS_STILL)
        redis.go_on()
        nodes.ended(running)
        assert nodes.egress <= 1.1
        scheduler.stop()


def test_an_origin_that_asks_one_machine_to_slow_down_is_left_alone_by_all(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    nodes.hub.fault(Fault("rate_limited", "*.safetensors", times=1, retry_after_s=3))
    results = nodes.ended(nodes.pulls(scheduler.address))
    # A node that waits for as long as the origin said may be taken for stuck, and what it began is fetched by another.
    assert nodes.egress <= 1.2
    assert from_peers(results) >= (COUNT - 1.2) * nodes.size
    assert "huggingface asks the fleet to slow down" in scheduler.stop().err


def test_a_fleet_whose_control_is_gone_goes_on_by_itself(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    running = nodes.pulls(scheduler.address)
    assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
    scheduler.kill()
    results = nodes.ended(running)
    assert nodes.egress <= 1.2
    assert all(result.warnings.count("fleet-without-scheduler") == 1 for result in results)


def test_a_scheduler_that_begins_with_nothing_is_told_everything(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    running = nodes.pulls(scheduler.address)
    assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
    scheduler.kill()
    again = SchedulerProcess.start(head, "--listen", scheduler.address)
    results = nodes.ended(running)
    assert nodes.egress <= 1.2
    assert from_peers(results) >= (COUNT - 1.3) * nodes.size
    again.stop()


def test_one_who_comes_after_the_end_gets_all_from_a_server_on_the_cache_of_one(nodes: Nodes, head: Machine) -> None:
    late, others = nodes.machines[2], nodes.machines[:2]
    nodes.machines = others
    scheduler = SchedulerProcess.start(head)
    nodes.ended(nodes.pulls(scheduler.address))
    scheduler.stop()
    sent = nodes.egress
    assert sent <= MOST
    for machine in others:  # at one of them by its own listing, at the other by the word of the fleet
        server = Server.start(machine, "--no-mirrors")
        words = ("--peer", urlsplit(server.url).netloc, "--peer-listen", "127.0.0.1:0", "--no-mirrors")
        result = late.pull(nodes.repo.name, *words).ended(0)
        nodes.assert_right(late)
        assert nodes.egress <= sent + 0.001  # an answer that says where the file is may be among it
        assert from_peers([result]) >= nodes.size * 0.999  # a server that is busy may be late with a small file
        server.stop()
        shutil.rmtree(late.hf_home)


def test_resident_nodes_take_a_task_and_are_drained(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    where = ("--scheduler", scheduler.address)
    running = [
        one.start("node", *where, "--listen", "127.0.0.1:0", "--root", one.root, "--no-mirrors")
        for one in nodes.machines
    ]
    names = []
    for one in running:
        assert one.process.stdout
        names.append(one.process.stdout.readline().strip())
    head.root = nodes.hub.url
    words = ("fleet", "submit", nodes.repo.name, *where, "--root", head.root, "--no-mirrors", "--wait", "--json")
    task = head.run(*words, timeout_s=120).ended(0).document["data"]
    assert (task["state"], sorted(node["node"] for node in task["nodes"])) == ("done", sorted(names))
    assert {node["phase"] for node in task["nodes"]} == {"placed"}
    assert task["ratio"] <= MOST
    assert nodes.egress <= MOST + 0.01  # who submits has fetched the small files
    assert sum(node["from_peers"] for node in task["nodes"]) >= (COUNT - MOST) * nodes.size * 0.99
    for machine in nodes.machines:
        nodes.assert_right(machine)
    head.run("fleet", "drain", names[0], *where).ended(0)
    running[0].end(30).ended(0)
    for one in running[1:]:
        one.signal(signal.SIGTERM)
        one.end(30).ended(0)
    scheduler.stop()


def test_a_stranger_has_no_part_and_the_fleet_goes_on(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    stranger = nodes.machines[2]
    (stranger.folder / "config" / "glm-aria" / "fleet.key").write_text("another-key-0123456789")
    running = nodes.pulls(scheduler.address)
    results = nodes.ended(running)
    assert nodes.egress <= 2.1
    assert "fleet-refused" in results[2].warnings
    assert from_peers(results[2:]) == 0
    listed = head.run("fleet", "ls", "--scheduler", scheduler.address, "--json").ended(0).document["data"]
    assert len(listed["tasks"][0]["nodes"]) == 0
    scheduler.stop()


def test_who_only_listens_where_the_scheduler_should_decides_nothing(tmp_path: Path, head: Machine) -> None:
    repo = Repo("model", "org/popular", {"modeling.py": b"good", "w.safetensors": Random(1).randbytes(1 << 20)})
    evil = repo.pull_request(1, {"modeling.py": b"evil"})
    with slow_hub(repo, 1, head.token) as hub:
        nodes = Nodes.made(tmp_path, hub, repo, 1)
        head.root = hub.url
        file = head.work / "evil.lock"
        head.pull(f"{repo.name}@{evil}", "--lock", str(file), "--no-mirrors").ended(0)
        with pretending(file.read_text().replace(f"@{evil}", "@main")) as address:
            nodes.ended(nodes.pulls(address))
        nodes.end()


def test_who_only_writes_into_the_redis_decides_nothing(tmp_path: Path, head: Machine) -> None:
    repo = Repo("model", "org/popular", {"modeling.py": b"good", "w.safetensors": Random(1).randbytes(1 << 20)})
    evil = repo.pull_request(1, {"modeling.py": b"evil"})
    asked = PullRequest((Item(parse_ref(repo.name)),))
    job = {"SLURM_JOB_ID": "7"}
    task = task_of(key_of(asked, job, 0))
    with slow_hub(repo, 1, head.token) as hub, RedisServer(tmp_path / "redis") as redis:
        nodes = Nodes.made(tmp_path, hub, repo, 1)
        head.root = hub.url
        file = head.work / "evil.lock"
        head.pull(f"{repo.name}@{evil}", "--lock", str(file), "--no-mirrors").ended(0)
        lock = file.read_text().replace(f"@{evil}", "@main")
        fact = LockFact(task, "org/popular", "", 0, is_restricted=False, lock=lock, seal="A" * 43)
        board = RedisBoard(redis.url, FleetKeys.parse(KEY).marks[0], FleetKeys.parse("s" * 32))
        assert board.exchange([register_of(fact, (2**53, 1))], None).won
        result = nodes.ended(nodes.pulls(redis.url, env=job))[0]
        assert "fleet-without-lock" in result.warnings
        board.close()
        nodes.end()


@pytest.mark.parametrize("is_token_known", [False, True])
def test_a_lock_file_does_not_open_a_gated_model(tmp_path: Path, head: Machine, *, is_token_known: bool) -> None:
    repo = Repo("model", "org/closed", {"a.json": b"{}", "b.safetensors": Random(1).randbytes(4 << 20)}, gated="auto")
    known = {"hf_canary_of_node_0_0123456789": {repo.name}, "hf_canary_of_node_1_0123456789": set[str]()}
    with LoopbackHub([repo], tokens={**known, head.token: {repo.name}}) as hub:
        nodes = Nodes.made(tmp_path, hub, repo, 2)
        head.root = hub.url
        lock = str(head.work / "closed.lock")
        head.pull(repo.name, "--lock", lock, "--no-mirrors").ended(0)
        scheduler = SchedulerProcess.start(head)
        where = ("--scheduler", scheduler.address)
        running = [
            one.start("node", *where, "--listen", "127.0.0.1:0", "--root", one.root, "--no-mirrors")
            for one in nodes.machines
        ]
        for one in running:
            assert one.process.stdout
            assert one.process.stdout.readline()
        words = ("fleet", "submit", "--locked", lock, *where, "--root", head.root, "--no-mirrors", "--wait", "--json")
        env = {} if is_token_known else {"HF_TOKEN": None}
        task = head.run(*words, env=env, timeout_s=90).document["data"]
        assert sorted(node["phase"] for node in task["nodes"]) == ["failed", "placed"]
        assert sum(node["from_peers"] for node in task["nodes"]) == 0
        nodes.assert_right(nodes.machines[0])
        scheduler.stop()
        nodes.end()


def test_a_machine_that_is_killed_is_not_waited_for(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    running = nodes.pulls(scheduler.address)
    assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
    running[0].signal(signal.SIGKILL)
    running[0].process.wait(10)
    results = [one.end(60).ended(0) for one in running[1:]]
    for machine in nodes.machines[1:]:
        nodes.assert_right(machine)
    assert nodes.egress <= 1.35
    assert from_peers(results) >= 0.3 * nodes.size
    scheduler.stop()


def test_a_mirror_that_lies_costs_one_more_copy_at_most(nodes: Nodes, head: Machine) -> None:
    liar = nodes.hub.mirror("liar", faults=[Fault("substitute", "*.safetensors")])
    scheduler = SchedulerProcess.start(head)
    results = nodes.ended(nodes.pulls(scheduler.address, "--mirror", liar.url))
    assert nodes.egress <= 2.2
    assert all("mirror-lied" in result.warnings for result in results)
    scheduler.stop()


def test_a_task_that_is_cancelled_ends_the_pulls_that_are_at_it(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    where = ("--scheduler", scheduler.address)
    running = nodes.pulls(scheduler.address)
    assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 20)
    (task,) = head.run("fleet", "ls", *where, "--json").ended(0).document["data"]["tasks"]
    head.run("fleet", "cancel", task["id"], *where).ended(0)
    for one in running:
        assert "was cancelled" in one.end(20).ended(75).out
    assert nodes.egress < 1
    scheduler.stop()


def test_a_machine_that_is_drained_alone_fetches_the_rest_for_itself(nodes: Nodes, head: Machine) -> None:
    scheduler = SchedulerProcess.start(head)
    where = ("--scheduler", scheduler.address)
    nodes.machines = nodes.machines[:1]
    (running,) = nodes.pulls(scheduler.address)
    assert nodes.hub.log.wait_for(lambda log: log.bytes_sent() > nodes.size // 3)
    (node,) = head.run("fleet", "ls", *where, "--json").ended(0).document["data"]["nodes"]
    head.run("fleet", "drain", node["id"], *where).ended(0)
    nodes.ended([running])
    assert nodes.egress <= 1.3
    scheduler.stop()


def test_where_nobody_answers_a_machine_pulls_for_itself(nodes: Nodes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alone = nodes.machines[0]
        words = ("--fleet", f"127.0.0.1:{silent.getsockname()[1]}", "--peer-listen", "127.0.0.1:0", "--no-mirrors")
        result = alone.pull(nodes.repo.name, *words, timeout_s=90).ended(0)
    assert result.warnings.count("fleet-without-scheduler") == 1
    nodes.assert_right(alone)


@pytest.mark.parametrize("is_shared", [False, True])
def test_a_gated_model_is_shared_only_where_the_settings_say_so(
    tmp_path: Path, head: Machine, *, is_shared: bool
) -> None:
    repo = Repo("model", "org/closed", {"a.json": b"{}", "b.safetensors": Random(1).randbytes(8 << 20)}, gated="auto")
    with slow_hub(repo, COUNT, opens=[repo.name]) as hub:
        nodes = Nodes.made(tmp_path, hub, repo, COUNT)
        scheduler = SchedulerProcess.start(head)
        env = {"GLM_ARIA_FLEET_SHARE_RESTRICTED": "1"} if is_shared else {}
        results = nodes.ended(nodes.pulls(scheduler.address, env=env))
        assert (nodes.egress <= MOST) is is_shared
        assert (from_peers(results) > 0) is is_shared
        assert nodes.questions <= 4
        scheduler.stop()
        nodes.end()
