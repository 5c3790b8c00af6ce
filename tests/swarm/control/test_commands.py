"""The commands of a fleet as processes: a scheduler, and who submits, watches and drains."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import NotAllowedError
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.control.access import with_token
from orchestrator.swarm.control.line import RemoteScheduler
from orchestrator.swarm.control.messages import Submission
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.swarm.control.processes import KEY, SchedulerProcess, belong


@pytest.fixture
def member(machine: Machine) -> Machine:
    """A machine that has the key of the fleet."""
    belong(machine)
    return machine


def test_a_model_is_submitted_once_however_often_it_is_said(
    member: Machine, make_hub: Callable[..., LoopbackHub], tiny: Repo
) -> None:
    make_hub(tiny)
    scheduler = SchedulerProcess.start(member)
    words = ("fleet", "submit", tiny.name, "--scheduler", scheduler.address, "--json")
    root = {"HF_ENDPOINT": member.root, "GLM_ARIA_MIRRORS": ""}
    first, second = (member.run(*words, env=root).ended(0).document["data"] for _ in range(2))
    assert first["id"] == second["id"]
    assert first["name"] == f"{tiny.name}@main"
    assert first["size"] > 0
    locked = str(member.work / "glm-aria.lock")
    member.pull(tiny.name, "--lock", locked, "--no-mirrors").ended(0)
    third = member.run("fleet", "submit", "--locked", locked, *words[3:], env=root).ended(0).document["data"]
    assert third["id"] == first["id"]
    listed = member.run("fleet", "ls", "--scheduler", scheduler.address, "--json").ended(0).document["data"]
    assert [task["id"] for task in listed["tasks"]] == [first["id"]]
    assert listed["nodes"] == []
    where = ("--scheduler", scheduler.address, "--json")
    assert member.run("fleet", "cancel", first["id"], *where).ended(0).document["data"]["state"] == "cancelled"
    watched: Any = member.run("fleet", "watch", *where).ended(3).document["data"]
    assert (watched["id"], watched["state"]) == (first["id"], "cancelled")
    anew = member.run(*words, env=root).ended(0).document["data"]
    assert (anew["id"] != first["id"], anew["state"]) == (True, "submitted")
    assert member.run(*words, env=root).ended(0).document["data"]["id"] == anew["id"]
    scheduler.stop()
    said = "".join(result.out + result.err for result in member.results)
    assert KEY not in said


def test_who_is_not_there_is_said(member: Machine) -> None:
    scheduler = SchedulerProcess.start(member)
    where = ("--scheduler", scheduler.address, "--json")
    assert member.run("fleet", "drain", "nobody", *where).ended(66).error["code"] == "not-found"
    assert member.run("fleet", "watch", *where).ended(66).error["code"] == "not-found"
    assert member.run("fleet", "watch", "nothing", *where).ended(66).error["code"] == "not-found"
    scheduler.stop()
    assert member.run("fleet", "ls", *where).ended(75).error["code"] == "temporary"
    assert member.run("fleet", "ls", "--json").ended(2).error["code"] == "usage"


def test_another_key_and_no_key_open_nothing(member: Machine) -> None:
    scheduler = SchedulerProcess.start(member)
    words = ("fleet", "ls", "--scheduler", scheduler.address, "--json")
    assert member.run(*words, env={"GLM_ARIA_FLEET_KEY": "s" * 32}).ended(77).error["code"] == "not-allowed"
    assert member.run(*words, env={"GLM_ARIA_FLEET_KEY": "s" * 32}).code == 77
    stranger = ("node", "--scheduler", scheduler.address, "--listen", "127.0.0.1:0", "--json")
    assert member.run(*stranger, env={"GLM_ARIA_FLEET_KEY": "s" * 32}).ended(77).error["code"] == "not-allowed"
    (member.folder / "config" / "glm-aria" / "fleet.key").unlink()
    for alone in (("--peer", "127.0.0.1:1"), ("--fleet", scheduler.address)):
        assert member.run("pull", "org/name", *alone, "--json").code == 78
    assert member.run(*words).ended(78).error["code"] == "config"
    assert member.run("scheduler", "--listen", "127.0.0.1:0", "--json").ended(78).error["code"] == "config"
    assert scheduler.stop().err.count("127.0.0.1 was refused") == 1


def submit_with(token: str, address: str) -> None:
    """Submit a task with a token, as no command does."""

    async def submit() -> None:
        async with RemoteScheduler(address, TlsFiles(), with_token(token, is_encrypted=False)).calls() as calls:
            await calls.submit(Submission("key", "org/name", lock="version = 1"))

    asyncio.run(submit())


def test_tokens_have_the_rights_of_their_roles(member: Machine) -> None:
    tokens = {}
    for role in ("reader", "puller", "admin"):
        made = member.run("token", "create", role, "--role", role, "--json").ended(0).document["data"]
        tokens[role] = made["token"]
    bound = ("token", "create", "bound", "--role", "puller", "--namespace", "team-*", "--json")
    tokens["bound"] = member.run(*bound).ended(0).document["data"]["token"]
    scheduler = SchedulerProcess.start(member)
    where = ("--scheduler", scheduler.address, "--json")
    for name, token in tokens.items():
        env = {"GLM_ARIA_FLEET_TOKEN": token}
        assert member.run("fleet", "ls", *where, env=env).code == (77 if name == "bound" else 0)
        drained = member.run("fleet", "drain", "nobody", *where, env=env)
        assert drained.code == (66 if name == "admin" else 77)
        with pytest.raises(NotAllowedError):
            submit_with(token, scheduler.address)
    scheduler.stop()


def test_two_schedulers_do_not_have_one_port(member: Machine) -> None:
    scheduler = SchedulerProcess.start(member)
    words = ("scheduler", "--listen", scheduler.address, "--json")
    assert member.run(*words).ended(73).error["code"] == "cannot-create"
    scheduler.stop()
