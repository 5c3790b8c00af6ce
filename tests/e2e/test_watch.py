"""`watch`: a cache that follows a list, and what `--on-change` is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.hub.content import MIB, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.machine import Machine, Running, content, environ, until

A, B, C = (f"org/{name}" for name in "abc")


def small(name: str, number: int = 1) -> Repo:
    return Repo("model", name, {"config.json": b'{"n": %d}' % number, "w.safetensors": generate(100_000, number)})


@pytest.fixture
def repos() -> list[Repo]:
    return [small(A, 1), small(B, 2), small(C, 3)]


@pytest.fixture
def hub(repos: list[Repo], make_hub: MakeHub) -> LoopbackHub:
    return make_hub(*repos)


class Watching:
    """A watch that runs, and its list."""

    def __init__(self, machine: Machine, text: str, *words: str, name: str = "models.txt") -> None:
        self.machine = machine
        self.list = machine.work / name
        self.write(text)
        self.running: Running = machine.start(
            "watch", str(self.list), "--root", machine.root, "--interval", "1s", "--json", "--progress", "none", *words
        )

    def write(self, text: str) -> None:
        """As an editor saves: under another name, then renamed."""
        other = self.list.with_suffix(".swp")
        other.write_text(text)
        other.replace(self.list)

    @property
    def status(self) -> Any:
        found = self.machine.run("watch", str(self.list), "--status", "--json").ended(0).document
        return found["data"]["watches"][0]

    def model(self, ref: str) -> Any:
        return next((model for model in self.status["models"] if model["ref"] == f"{ref}@main"), None)

    def becomes(self, condition: Callable[[Any], bool], timeout_s: float = 20) -> None:
        assert until(lambda: condition(self.status), timeout_s), self.status

    def is_done(self, *refs: str) -> None:
        def condition(status: Any) -> bool:
            done = {model["ref"] for model in status["models"] if model["commit"] and model["state"] == "done"}
            return {f"{ref}@main" for ref in refs} <= done

        self.becomes(condition)

    def stop(self, number: int = signal.SIGTERM, code: int = 143) -> Any:
        self.running.signal(number)
        return self.running.end().ended(code).document


def here(machine: Machine, repo: Repo) -> bool:
    return content(machine.snapshot(f"model/{repo.name}", repo.head)) == wanted(repo)


def test_follows_the_list(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    watching = Watching(machine, f"{A}\n")
    watching.is_done(A)
    assert not machine.snapshot(f"model/{B}", repos[1].head).exists()
    watching.write(f"{A}\n{B}  include=*.json\n")
    watching.is_done(A, B)
    assert list(content(machine.snapshot(f"model/{B}", repos[1].head))) == ["config.json"]
    # What another list adds later, by a name that is not there yet.
    watching.write(f"{A}\n@include more/rest.txt\n")
    watching.becomes(lambda status: "rest.txt cannot be read" in (status["error"] or ""))
    (machine.work / "more").mkdir()
    (machine.work / "more" / "rest.txt").write_text(f"{C}\n")
    watching.is_done(A, C)
    status = watching.status
    assert status["running"]
    assert status["pid"] == watching.running.pid
    assert [Path(file).name for file in status["files"]] == ["models.txt", "rest.txt"]
    assert here(machine, repos[0])
    assert here(machine, repos[2])
    document = watching.stop()
    assert document["status"] == "interrupted"
    assert not watching.status["running"]


def test_follows_a_branch_that_moves(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    watching = Watching(machine, f"{A}\n{B}\n")
    watching.is_done(A, B)
    old = repos[0].head
    repos[0].commit({"config.json": b"{}", "w.safetensors": generate(100_000, 9)})
    assert repos[0].head != old
    watching.becomes(lambda status: status["models"][0]["commit"] == repos[0].head)
    assert here(machine, repos[0])
    watching.stop(signal.SIGINT, 130)


def test_a_list_that_is_wrong_for_a_while(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    watching = Watching(machine, f"{A}\n")
    watching.is_done(A)
    watching.write("org//x\n")
    watching.becomes(lambda status: status["error"] is not None)
    watching.write(f"{A}\n")
    watching.becomes(lambda status: status["error"] is None)
    watching.list.unlink()
    watching.becomes(lambda status: "cannot be read" in (status["error"] or ""))
    assert [model["ref"] for model in watching.status["models"]] == [f"{A}@main"], "the last good list counts"
    watching.write(f"{A}\n{B}\n")
    watching.is_done(B)
    # Written in place, in two halves.
    with watching.list.open("w") as stream:
        stream.write(f"{A}\n{C}  incl")
        stream.flush()
        stream.write("ude=*.json\n")
    watching.is_done(C)
    document = watching.stop()
    assert "list-wrong" in {warning["code"] for warning in document["warnings"]}


@pytest.mark.parametrize("odd", ["deep", "digits", "fifo", "device"])
def test_a_list_that_somebody_makes_odd_leaves_the_last_good_one(
    machine: Machine, hub: LoopbackHub, repos: list[Repo], odd: str
) -> None:
    rest = machine.work / "rest.toml"
    rest.write_text(f'[[model]]\nref = "{B}"\n')
    watching = Watching(machine, f"@include rest.toml\n{A}\n")
    watching.is_done(A, B)
    rest.unlink()
    if odd == "fifo":
        os.mkfifo(rest)
    elif odd == "device":
        rest.symlink_to("/dev/zero")
    else:
        rest.write_text("x = " + ("[" if odd == "deep" else "1") * 5000)
    watching.becomes(lambda status: status["error"] is not None)
    assert {model["ref"] for model in watching.status["models"]} == {f"{A}@main", f"{B}@main"}
    rest.unlink()
    rest.write_text(f'[[model]]\nref = "{C}"\n')
    watching.is_done(A, C)
    assert "list-wrong" in {warning["code"] for warning in watching.stop()["warnings"]}


def test_a_list_that_others_may_write(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    watched = machine.work / "models.txt"
    watched.write_text(f"{A}\n")
    watched.chmod(0o666)
    words = ("watch", "models.txt", "--once", "--root", machine.root, "--json")
    done = machine.run(*words).ended(0)
    assert done.warnings == ["list-writable"]
    assert "chmod" in machine.run(*words, "--allow-outside").ended(2).error["hint"]
    watched.chmod(0o644)
    assert machine.run(*words, "--allow-outside").ended(0).warnings == []


def test_once_pulls_the_list_and_ends(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    (machine.work / "models.toml").write_text(f'include = ["rest.txt"]\n[[model]]\nref = "{A}"\n')
    (machine.work / "rest.txt").write_text(f"{B}\n")
    words = ("watch", "models.toml", "--once", "--root", machine.root, "--json")
    done = machine.run(*words).ended(0).document["data"]["watches"][0]
    assert [model["state"] for model in done["models"]] == ["done", "done"]
    assert here(machine, repos[0])
    assert here(machine, repos[1])
    (machine.work / "rest.txt").write_text(f"{B}\norg/none\n")
    failed = machine.run(*words).ended(3)
    assert failed.document["status"] == "partial"
    assert failed.error["code"] == "not-found"


def test_unpin_removed_needs_pin(machine: Machine) -> None:
    machine.run("watch", "models.txt", "--unpin-removed").ended(2)


def test_one_watcher_of_a_list(machine: Machine, hub: LoopbackHub) -> None:
    watching = Watching(machine, f"{A}\n")
    watching.is_done(A)
    other = machine.run("watch", str(watching.list), "--root", machine.root, "--json").ended(75)
    assert "is watched for this cache already" in other.error["message"]
    watching.running.signal(signal.SIGKILL)
    watching.running.end(10)
    machine.run("watch", str(watching.list), "--root", machine.root, "--once").ended(0)


def test_stopped_in_the_middle_and_resumed(machine: Machine, make_hub: MakeHub) -> None:
    size = 32 * MIB
    big = Repo("model", "org/big", {"big.safetensors": generate(size, 5)})
    hub = make_hub(big, cdn_shape=Shape(latency_s=0.02, total_rate=16 * MIB))
    watching = Watching(machine, "org/big\n", "--connections", "4")
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= size // 2, 20)
    watching.stop()
    hub.log.settle()
    first = hub.log.bytes_sent(face="cdn")
    machine.run("watch", str(watching.list), "--root", machine.root, "--once", "--connections", "4").ended(0)
    assert here(machine, big)
    assert hub.log.bytes_sent(face="cdn") <= size + 8 * MIB, first


def test_the_state_is_ours_alone(machine: Machine, hub: LoopbackHub) -> None:
    (machine.work / "models.txt").write_text(f"{A}\n")
    machine.run("watch", "models.txt", "--once", "--root", machine.root).ended(0)
    (file,) = (machine.hf_home / "glm-aria" / "watch").glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    text = machine.run("watch", "--status").ended(0).out
    assert f"{A}@main" in text
    assert "not running" in text
    file.write_text("{")
    assert machine.run("watch", "--status", "--json").ended(0).document["data"]["watches"] == []
    machine.run("watch", "models.txt", "--once", "--root", machine.root).ended(0)


# -- --on-change -------------------------------------------------------------------------------------------------------

RECORD = (
    'printf "%s %s %s %s %s\\n" "$GLM_ARIA_REF" "$GLM_ARIA_SNAPSHOT" "${GLM_ARIA_OLD_COMMIT:-none}" '
    '"$GLM_ARIA_NEW_COMMIT" "$(cat "$GLM_ARIA_SNAPSHOT/../../refs/main")" >>flips; '
    'cat "$GLM_ARIA_SNAPSHOT"/* >/dev/null'
)


def flips(machine: Machine) -> list[list[str]]:
    file = machine.work / "flips"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_on_change_runs_after_each_flip(machine: Machine, hub: LoopbackHub, repos: list[Repo]) -> None:
    old = repos[0].head
    run = machine.pull(A, "--on-change", RECORD).ended(0)
    assert run.warnings == []
    snapshot = str(machine.snapshot(f"model/{A}", old))
    assert flips(machine) == [[f"{A}@main", snapshot, "none", old, old]]
    machine.pull(A, "--on-change", RECORD).ended(0)
    machine.pull(A, "--force", "--on-change", RECORD).ended(0)
    assert len(flips(machine)) == 1, "nothing changed"
    repos[0].commit({"config.json": b"{}"})
    machine.pull(A, "--on-change", RECORD).ended(0)
    assert flips(machine)[1][2:] == [old, repos[0].head, repos[0].head]
    machine.pull(f"{A}@{old}", "--on-change", "echo commit >>flips").ended(0)
    assert len(flips(machine)) == 2, "that commit was here before"
    machine.pull(f"{B}@{repos[1].head}", "--on-change", "echo commit >>flips").ended(0)
    assert flips(machine)[2] == ["commit"]


def test_on_change_never_for_a_half_made_one(machine: Machine, make_hub: MakeHub) -> None:
    big = Repo("model", "org/big", {"big.safetensors": generate(16 * MIB, 5), "config.json": b"{}"})
    hub = make_hub(big, cdn_shape=Shape(total_rate=8 * MIB))
    running = machine.start_pull("org/big", "--on-change", RECORD)
    assert hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") >= 4 * MIB, 20)
    running.signal(signal.SIGTERM)
    running.end().ended(143)
    assert flips(machine) == []
    machine.pull("org/big", "--on-change", RECORD).ended(0)
    assert len(flips(machine)) == 1


def test_on_change_gets_no_secret(machine: Machine, hub: LoopbackHub) -> None:
    # The canary must not be in a file: the environment is looked at while the command waits for us.
    go, pid = machine.work / "go", machine.work / "pid"
    command = f"echo $$ >{pid}.new; mv {pid}.new {pid}; while [ ! -e {go} ]; do sleep 0.02; done"
    extra = {"MY_COPY": f"Bearer {machine.token}", "HARMLESS": "yes"}
    running = machine.start_pull(A, "--on-change", command, env=extra)
    assert until(pid.exists)
    seen = environ(int(pid.read_text()))
    go.touch()
    running.end().ended(0)
    assert "GLM_ARIA_NEW_COMMIT=" in seen
    assert "HARMLESS=yes" in seen
    assert machine.token not in seen
    assert "HF_TOKEN=" not in seen


def test_a_glm_aria_that_it_calls_finds_no_mistake(machine: Machine, hub: LoopbackHub) -> None:
    told = dict.fromkeys(("REF", "SNAPSHOT", "OLD_COMMIT", "NEW_COMMIT"), "x")
    run = machine.run("config", "show", "--json", env={f"GLM_ARIA_{name}": value for name, value in told.items()})
    assert run.ended(0).warnings == []


def test_on_change_that_fails_is_a_warning(machine: Machine, hub: LoopbackHub) -> None:
    run = machine.pull(A, "--on-change", "echo to-stdout; exit 7").ended(0)
    (warning,) = run.document["warnings"]
    assert warning["code"] == "hook-failed"
    assert "exit code 7" in warning["message"]
    assert "to-stdout" in run.err
    machine.pull(B, "--on-change", "exit 7", "--strict").ended(100)
    machine.pull(C, "--on-change", " ").ended(2)


def test_on_change_is_ended_with_the_run(machine: Machine, hub: LoopbackHub) -> None:
    pid = machine.work / "pid"
    running = machine.start_pull(A, "--on-change", f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 600")
    assert until(pid.exists)
    running.signal(signal.SIGTERM)
    running.end(20)
    assert until(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists())


def test_a_linked_list_that_is_exchanged(machine: Machine, hub: LoopbackHub) -> None:
    """As Kubernetes mounts a ConfigMap: the list is a link through a link to a folder, which is exchanged."""
    for number, text in enumerate((f"{A}\n", f"{A}\n{B}\n")):
        folder = machine.work / f"data-{number}"
        folder.mkdir()
        (folder / "models.txt").write_text(text)
    (machine.work / "..data").symlink_to("data-0")
    (machine.work / "linked.txt").symlink_to("..data/models.txt")
    watching = Watching.__new__(Watching)
    watching.machine, watching.list = machine, machine.work / "linked.txt"
    watching.running = machine.start("watch", str(watching.list), "--root", machine.root, "--json", "-q")
    watching.is_done(A)
    (machine.work / "..new").symlink_to("data-1")
    os.replace(machine.work / "..new", machine.work / "..data")  # noqa: PTH105
    watching.is_done(A, B)
    watching.stop()
