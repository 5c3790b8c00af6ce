"""Caches that may be read and not written: of another account, on a read-only volume, without a place of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine import conditions
from tests.machine.conditions import Condition, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, Result
from tests.machine.users import OtherUser

pytestmark = pytest.mark.sampled(4)

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 40_000}


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """All that lies in a folder, with what tells a change."""
    found = ((path, path.lstat()) for path in folder.rglob("*"))
    return {str(path.relative_to(folder)): (seen.st_mtime_ns, seen.st_ino) for path, seen in found}


def reader(user: OtherUser, machine: Machine) -> Condition:
    """Another account with a home of its own, which was told where the cache is."""
    own = {"HF_HUB_CACHE": str(machine.cache), "TMPDIR": str(user.folder), "HF_TOKEN": None}
    away = dict.fromkeys(("HF_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"))
    return user.condition + Condition(env={**own, **away})


def homeless(user: OtherUser, machine: Machine) -> Condition:
    """The same without any folder that it may write to."""
    return reader(user, machine) + Condition(env={"HOME": "/nonexistent"})


def commands(machine: Machine, condition: Condition, target: Path) -> dict[str, Result]:
    """What only reads, each ended with 0; `cache link` goes to `target`."""
    root = ("--root", machine.root)
    words: dict[str, tuple[str, ...]] = {
        "plan": ("plan", *root, "--json", "org/m"),
        "pull": ("pull", *root, "--json", "org/m"),
        "verify": ("verify", "--json", "--strict", "org/m"),
        "verify all": ("verify", "--json"),
        "fast": ("verify", "--json", "--fast"),
        "ls": ("cache", "ls", "--json"),
        "du": ("cache", "du", "--json"),
        "gc": ("cache", "gc", "--json"),
        "rm": ("cache", "rm", "org/m", "--json"),
        "link": ("cache", "link", "org/m", str(target), "--json"),
        "import": ("cache", "import", str(machine.work), "--model", "org/m", "--dry-run", "--json"),
        "status": ("watch", "--status", "--json"),
        "history": ("history", "--json"),
        "mirrors": ("mirrors", "ls", "--json"),
    }
    more: dict[str, Any] = {"import": {"GLM_ARIA_ROOT": machine.root}}
    return {
        name: machine.run(*given, **(condition + Condition(env=more.get(name, {}))).options).ended(0)
        for name, given in words.items()
    }


def check(found: dict[str, Result]) -> None:
    """Each command told what is there."""
    assert {file["state"] for file in found["pull"].model["files"]} == {"present"}
    assert Path(found["pull"].model["snapshot"], "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert found["plan"].document["data"]["bytes_to_fetch"] == 0
    for name in ("verify", "verify all", "fast"):
        assert [file["state"] for file in found[name].document["data"]["files"]] == ["ok", "ok"], name
    (held,) = found["ls"].document["data"]["repos"]
    assert held["repo"] == "org/m"
    assert not held["revisions"][0]["pinned"]
    assert len(found["link"].document["data"]["files"]) == 2


@needs_root
@pytest.mark.parametrize("who", [reader, homeless])
@pytest.mark.sampled(1, of="all commands")
def test_the_complete_cache_of_another_account(
    machine: Machine, hub: LoopbackHub, other_user: OtherUser, who: Any
) -> None:
    machine.pull("org/m").ended(0)
    machine.run("cache", "pin", "org/other").ended(0)
    before = files(machine.hf_home)
    found = commands(machine, who(other_user, machine), other_user.folder / "project")
    check(found)
    assert files(machine.hf_home) == before
    if who is reader:
        # What was proven is remembered, and so is what the root said.
        seen = len(hub.log.requests())
        machine.run("pull", "--offline", "--json", "org/m", **who(other_user, machine).options).ended(0)
        assert len(hub.log.requests()) == seen
        state = list((other_user.folder / ".cache" / "glm-aria" / "caches").glob("*/proofs/*.json"))
        assert [path.stat().st_mode & 0o777 for path in state] == [0o600]


@pytest.mark.parametrize("what", ["hub", "all"])
@pytest.mark.sampled(1, of="all commands")
def test_a_read_only_volume(machine: Machine, hub: LoopbackHub, what: str) -> None:
    machine.pull("org/m").ended(0)
    volume = machine.cache if what == "hub" else machine.hf_home
    condition = conditions.read_only(volume)
    before = files(volume)
    check(commands(machine, condition, machine.work / "project"))
    machine.run("pull", "--offline", "--json", "org/m", **condition.options).ended(0)
    assert files(volume) == before


@pytest.mark.sampled(1, of="all commands")
def test_a_volume_that_another_machine_filled(machine: Machine, hub: LoopbackHub) -> None:
    """Only `hub/` was copied there, by hf: nothing was ever proven, and nothing can be remembered."""
    assert machine.hf("download", "org/m", HF_ENDPOINT=hub.url).returncode == 0
    for unneeded in ("trees", ".locks"):
        for path in machine.cache.rglob(unneeded):
            path.rename(machine.folder / unneeded)
    (machine.cache / "CACHEDIR.TAG").unlink(missing_ok=True)
    condition = conditions.read_only(machine.home) + conditions.mounted(machine.folder / "tmp")
    before = files(machine.hf_home)
    check(commands(machine, condition, machine.work / "project"))
    assert files(machine.hf_home) == before


@needs_root
def test_what_must_be_fetched_is_refused_before_the_first_byte(
    machine: Machine, make_hub: MakeHub, repo: Repo, other_user: OtherUser
) -> None:
    hub = make_hub(repo, Repo("model", "org/new", FILES))
    machine.pull("org/m").ended(0)
    for condition, says in (
        (reader(other_user, machine), "or ask root for the right"),
        (conditions.read_only(machine.hf_home), "read-only file system"),
    ):
        before = len(hub.log.requests(method="GET", status=206))
        result = machine.run("pull", "--root", machine.root, "--json", "org/new", "org/m", **condition.options)
        result.ended(3)
        (error,) = result.document["errors"]
        assert error["exit_code"] == 73
        assert error["file"] == str(machine.cache)
        assert says in error["hint"]
        assert "glm-aria pull org/new@main --cache-dir" in error["hint"]
        assert len(hub.log.requests(method="GET", status=206)) == before
        machine.run("pull", "--root", machine.root, "org/new", **condition.options).ended(73)
        machine.run("pull", "--root", machine.root, "--force", "org/m", **condition.options).ended(73)


@needs_root
def test_a_local_folder_that_is_closed_is_told_before_the_first_byte(
    machine: Machine, hub: LoopbackHub, open_place: Path
) -> None:
    closed = conditions.read_only(open_place / "shelf")
    (open_place / "shelf").mkdir()
    words = ("pull", "--root", machine.root, "--json", "org/m", "--local-dir", str(open_place / "shelf" / "m"))
    result = machine.run(*words, **closed.options).ended(73)
    assert "choose another --local-dir" in result.error["hint"]
    assert hub.log.bytes_sent(face="cdn") == 0
    assert not (machine.cache / "models--org--m" / "snapshots").exists()


@needs_root
def test_the_folder_that_is_closed_is_named(machine: Machine, hub: LoopbackHub, other_user: OtherUser) -> None:
    """`.locks` is root's, as after one `sudo`, and the state has no other place on this volume."""
    machine.cache.mkdir(parents=True)
    os.chown(machine.cache, other_user.uid, other_user.uid)
    locks = machine.cache / ".locks"
    locks.mkdir(mode=0o755)
    condition = conditions.mounted(other_user.folder, f"size=64m,uid={other_user.uid}") + reader(other_user, machine)
    result = machine.run("pull", "--root", machine.root, "--json", "org/m", **condition.options).ended(73)
    assert result.error["file"] == str(locks)
    assert str(locks) in result.error["message"]
    assert f"{locks} belongs to root" in result.error["hint"]
    assert f"sudo chown -R {other_user.uid} {locks}" in result.error["hint"]


@needs_root
def test_the_state_of_another_user_is_not_read(machine: Machine, hub: LoopbackHub, other_user: OtherUser) -> None:
    """It may be readable by mistake, or planted: it is not ours, so nobody is told to remove it."""
    machine.pull("org/m").ended(0)
    state = machine.hf_home / "glm-aria"
    (state / "pins.json").write_text("garbage")
    state.chmod(0o755)
    condition = reader(other_user, machine)
    listed = machine.run("cache", "ls", "--json", **condition.options).ended(0)
    assert len(listed.document["data"]["repos"]) == 1
    os.chown(state, other_user.uid, other_user.uid)
    machine.run("cache", "ls", "--json").ended(0)
    machine.pull("org/m").ended(0)


def test_an_import_where_no_part_can_lie_says_why(machine: Machine, hub: LoopbackHub) -> None:
    """As a pull says it, and not of a place that stands for none."""
    taken = machine.work / "usb"
    taken.mkdir()
    (taken / "0.bin").write_bytes(FILES["model.safetensors"])
    machine.cache.mkdir(parents=True)
    for place in (machine.hf_home / "glm-aria", machine.cache / ".locks", machine.home / ".cache"):
        place.write_text("in the way")
    refused = machine.pull("org/m").ended(73).error
    words = ("cache", "import", str(taken), "--model", "org/m", "--root", machine.root, "--json")
    error = machine.run(*words).ended(73).error
    assert (error["message"], error["file"]) == (refused["message"], refused["file"])
    assert error["file"].startswith(str(machine.hf_home))
