"""Lists that are stopped in the middle: what `status` says of them, and what `pull --resume-last` makes of them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, sent, wanted
from tests.machine.machine import Machine, Running, content, until

REPOS = {"small": 1, "large": 24}


@pytest.fixture
def repos() -> list[Repo]:
    files = {name: {"model.safetensors": generate(size * MIB, size), "a.json": b"{}"} for name, size in REPOS.items()}
    return [Repo("model", f"org/{name}", of_it) for name, of_it in files.items()]


@pytest.fixture
def hub(make_hub: MakeHub, repos: list[Repo]) -> LoopbackHub:
    return make_hub(*repos, cdn_shape=Shape(total_rate=2 * MIB))


@pytest.fixture
def models(machine: Machine) -> Path:
    """A list; the first model has the priority, so that it is done before the other."""
    path = machine.work / "list.toml"
    path.write_text(
        '[[model]]\nref = "org/small"\npriority = 5\n\n[[model]]\nref = "org/large"\ninclude = ["*.safetensors"]\n'
    )
    return path


def runs(machine: Machine) -> list[Any]:
    """The runs that `status` knows."""
    return list(machine.run("status", "--json").ended(0).document["data"]["runs"])


def noted(machine: Machine) -> list[Any]:
    """The notes, as they are on the disk."""
    return [json.loads(path.read_text()) for path in (machine.hf_home / "glm-aria" / "runs").glob("*.json")]


def left(machine: Machine) -> list[str]:
    return [model["ref"] for note in noted(machine) for model in note["models"] if model["step"] != "done"]


def started(machine: Machine, hub: LoopbackHub, *words: str) -> Running:
    """A pull of which the first model is done, and some of the second is here; the rest would take minutes."""
    running = machine.start_pull(*words)
    assert until(lambda: left(machine) == ["org/large@main"] and noted(machine)[0]["left"] < 22 * MIB, 20)
    hub.faces["cdn"].shape = Shape(total_rate=MIB // 16)
    return running


def killed(machine: Machine, running: Running) -> None:
    running.signal(signal.SIGKILL)
    running.end(10)
    assert machine.aria2_ended()


def test_a_killed_list_goes_on_with_what_is_left(
    machine: Machine, hub: LoopbackHub, repos: list[Repo], models: Path
) -> None:
    running = started(machine, hub, "-f", str(models), "--max-speed", "9M", "--no-mirrors")
    (going,) = runs(machine)
    assert (going["state"], going["pid"]) == ("running", running.pid)
    machine.run("pull", "--resume-last").ended(75)  # it is not stopped
    machine.run("pull", "--resume", str(going["id"])).ended(75)
    machine.run("status", "--forget", str(going["id"])).ended(75)
    killed(machine, running)
    (stopped,) = runs(machine)
    assert (stopped["state"], stopped["models_left"], stopped["models_total"]) == ("stopped", 1, 2)
    assert 0 < stopped["bytes_left"] < 22 * MIB < 25 * MIB <= stopped["bytes_total"]
    assert stopped["options"] == ["--max-speed", "9M", "--no-mirrors", "--root", hub.url]
    models.unlink()  # the run has its own copy of what was asked for
    hub.log.settle()
    hub.log.reset()
    hub.faces["cdn"].shape = Shape()
    resumed = machine.run("pull", "--resume-last", "--json", "--max-speed", "0").ended(0)
    assert "1 of 2 models left" in resumed.err
    assert resumed.model["ref"] == "org/large@main"
    assert sent(hub) == ["model.safetensors"]
    assert hub.log.bytes_sent(face="cdn") < 24 * MIB
    assert {seen.path for seen in hub.log.requests() if "org/small" in seen.path} == set()
    for repo in repos:
        files = {path: data for path, data in wanted(repo).items() if "small" in repo.name or path != "a.json"}
        assert content(machine.snapshot(f"model/{repo.name}", repo.head)) == files
    assert runs(machine) == []
    machine.run("pull", "--resume-last").ended(66)


def test_a_run_that_is_stopped_again_is_the_same_run(machine: Machine, hub: LoopbackHub, models: Path) -> None:
    hook = ("--on-change", "echo s3cret >/dev/null")
    running = started(machine, hub, "-f", str(models), *hook)
    running.signal(signal.SIGINT)
    running.end().ended(130)
    assert "s3cret" not in json.dumps(noted(machine))
    (first,) = runs(machine)
    assert first["options_not_kept"] == ["--on-change"]
    assert "--on-change" in machine.run("pull", "--resume-last", "--json").ended(2).error["hint"]
    hub.faces["cdn"].shape = Shape(total_rate=MIB // 2)
    again = machine.start("pull", "--resume", str(first["id"]), "--json", *hook)
    assert until(
        lambda: 0 < noted(machine)[0]["left"] < first["bytes_left"] and noted(machine)[0]["pid"] == again.pid, 20
    )
    killed(machine, again)
    (second,) = runs(machine)
    assert (second["id"], second["state"], second["models_left"]) == (first["id"], "stopped", 1)
    machine.run("status", "--forget", str(first["id"])).ended(0)
    assert runs(machine) == []
    machine.run("status", "--forget", str(first["id"])).ended(66)


def test_what_failed_is_left_unless_the_same_request_fails_again(machine: Machine, make_hub: MakeHub) -> None:
    make_hub(
        Repo("model", "org/open", {"a.json": b"{}"}), Repo("model", "org/closed", {"b.json": b"[]"}, gated="manual")
    )
    machine.pull("org/open", "org/none").ended(3)
    assert runs(machine) == []
    machine.pull("org/open", "org/closed").ended(3)
    (stopped,) = runs(machine)
    assert [(model["state"], bool(model["error"])) for model in stopped["models"]] == [
        ("done", False),
        ("failed", True),
    ]
    machine.run("pull", "--resume-last", "--json").ended(77)
    assert len(runs(machine)) == 1
