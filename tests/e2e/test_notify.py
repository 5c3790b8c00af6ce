"""Notices of the end of pulls and of rounds of a watch, to a webhook on loopback."""

from __future__ import annotations

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine
from tests.notifications.conftest import Hooks, hooks

__all__ = ["hooks"]

SECRET = "B000secret000"


def made(make_hub: MakeHub) -> LoopbackHub:
    return make_hub(Repo("model", "org/m", {"a.json": b"{}"}))


def unseen(machine: Machine, hooks: Hooks) -> None:
    """The address is in no output and in no file, and the token went to no webhook."""
    for result in machine.results:
        assert SECRET not in result.out + result.err
    for path in machine.files():
        assert SECRET.encode() not in path.read_bytes()
    assert machine.token not in str(hooks.seen)


def test_a_pull_tells_how_it_ended(machine: Machine, make_hub: MakeHub, hooks: Hooks) -> None:
    made(make_hub)
    hooks.answers["/no"] = (500, SECRET.encode())
    env = {"GLM_ARIA_NOTIFY": f"{hooks.url}/{SECRET} slack:{hooks.url}/no http://127.0.0.1:9/{SECRET}"}
    machine.pull("org/m", env=env).ended(0)
    pulled = machine.pull("org/m", "org/none", env=env).ended(3)
    assert pulled.warnings.count("notice-failed") == 2
    ends = [body for path, _, body in hooks.seen if path == f"/{SECRET}"]
    assert [(end["status"], end["exit_code"], end["bytes_fetched"]) for end in ends] == [
        ("success", 0, 2),
        ("partial", 3, 0),
    ]
    assert [model["done"] for model in ends[1]["models"]] == [True, False]
    assert machine.run("pull", "--notify", f"ftp://{SECRET}", "org/m", "--json").ended(2).error["code"] == "usage"
    machine.run("config", "show", "--json", env=env).ended(0)
    count = len(hooks.seen)
    machine.pull("org/m", "--notify", "none", env=env).ended(0)
    assert len(hooks.seen) == count
    unseen(machine, hooks)


def test_a_strict_run_is_not_failed_by_a_notice(machine: Machine, make_hub: MakeHub) -> None:
    made(make_hub)
    assert machine.pull("org/m", "--strict", "--notify", "http://127.0.0.1:9/x").ended(0).warnings == ["notice-failed"]


def test_a_watch_tells_of_rounds_with_news(machine: Machine, make_hub: MakeHub, hooks: Hooks) -> None:
    hub = made(make_hub)
    machine.work.joinpath("list.txt").write_text("org/m\n")
    words = ("watch", "list.txt", "--once", "--root", hub.url, "--json")
    for _ in range(2):
        machine.run(*words, "--notify", f"{hooks.url}/{SECRET}").ended(0)
    ((_, _, end),) = hooks.seen
    assert (end["command"], end["status"], end["bytes_fetched"]) == ("watch", "success", 2)
    unseen(machine, hooks)
