"""A repo folder that was moved to a larger disk, with a symlink left in the cache: all commands say the same of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import MakeHub
from tests.e2e.machine import Machine, Result
from tests.machine.conditions import PLAIN, needs_root
from tests.machine.test_caches import FILES, check, commands, files, reader
from tests.machine.users import OtherUser
from tests.support.hub import LoopbackHub
from tests.support.repos import Repo

__all__ = ["FILES"]


@pytest.fixture
def hub(make_hub: MakeHub, repo: Repo) -> LoopbackHub:
    return make_hub(repo)


def move(machine: Machine, disk: Path) -> Path:
    """Pull the model, and move it to the other disk as an administrator does; returns the link."""
    machine.pull("org/m").ended(0)
    link = machine.cache / "models--org--m"
    disk.mkdir(parents=True, exist_ok=True)
    shutil.move(link, disk / link.name)
    link.symlink_to(disk / link.name)
    return link


def test_all_commands_follow_the_link_of_an_administrator(machine: Machine, hub: LoopbackHub) -> None:
    link = move(machine, machine.folder / "disk")
    before = files(link.resolve())
    check(commands(machine, PLAIN, machine.work / "project"))
    machine.pull("--offline", "org/m").ended(0)
    (held,) = machine.run("cache", "ls", "--json").ended(0).document["data"]["repos"]
    assert held["size"] == sum(map(len, FILES.values()))
    assert files(link.resolve()) == before
    blob = next(path for path in (link.resolve() / "blobs").iterdir() if path.stat().st_size > 1000)
    blob.write_bytes(b"rot" + blob.read_bytes()[3:])
    machine.run("verify", "org/m").ended(65)
    hf = machine.hf("cache", "ls")
    assert hf.returncode == 0


def test_it_is_removed_where_it_lies(machine: Machine, hub: LoopbackHub) -> None:
    link = move(machine, machine.folder / "disk")
    target = link.resolve()
    machine.run("cache", "pin", "org/m").ended(0)
    machine.run("cache", "rm", "org/m", "--yes").ended(80)
    machine.run("cache", "unpin", "org/m").ended(0)
    machine.run("cache", "rm", "org/m", "--yes").ended(0)
    assert [path for path in target.rglob("*") if path.is_file()] == []
    assert machine.run("cache", "ls", "--json").ended(0).document["data"]["size"] == 0


def test_what_must_be_fetched_is_refused_before_the_first_byte(machine: Machine, hub: LoopbackHub) -> None:
    link = move(machine, machine.folder / "disk")
    before = files(machine.folder / "disk")
    asked = len(hub.log.requests(method="GET", status=206))
    result = machine.pull("--force", "org/m").ended(80)
    assert result.error["file"] == str(link)
    assert "mount --bind" in result.error["hint"]
    assert len(hub.log.requests(method="GET", status=206)) == asked
    assert files(machine.folder / "disk") == before


@needs_root
def test_so_does_a_reader(machine: Machine, hub: LoopbackHub, other_user: OtherUser) -> None:
    move(machine, machine.folder / "disk")
    check(commands(machine, reader(other_user, machine), other_user.folder / "project"))


def told(machine: Machine, link: Path, **options: Any) -> list[Result]:
    """What each command says of a link that is not followed; none of them goes through it."""
    root = ("--root", machine.root)
    named = [
        machine.run(*words, "--json", **options).ended(80)
        for words in (
            ("pull", *root, "org/m"),
            ("plan", *root, "org/m"),
            ("verify", "org/m"),
            ("cache", "link", "org/m", str(machine.work / "project")),
            ("cache", "rm", "org/m"),
        )
    ]
    for result in named:
        assert result.error["file"] == str(link), result.words
        assert result.error["hint"]
    listed = machine.run("cache", "ls", "--json", **options).ended(0).document["data"]
    assert (listed["repos"], list(listed["closed"])) == ([], [str(link)])
    assert f"left out: {str(link)!r} is a symlink" in machine.run("cache", "ls", **options).ended(0).err
    verified = machine.run("verify", "--json", "--strict", **options).ended(100)
    assert verified.warnings == ["closed"]
    return named


@needs_root
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("their link", "424242 made it"),
        ("their folder", "belongs to 424242"),
        ("their disk", "others may exchange what lies in"),
        ("open disk", "others may exchange what lies in"),
        ("second link", "a second link"),
        ("nothing", "cannot be looked at"),
        ("no repo", "no folder of a repo"),
    ],
)
def test_a_link_that_somebody_may_have_planted_is_refused_by_all(
    machine: Machine, hub: LoopbackHub, other_user: OtherUser, how: str, why: str
) -> None:
    disk = machine.folder / "disk"
    link = move(machine, disk)
    target, uid = disk / link.name, other_user.uid
    change: dict[str, Callable[[], Any]] = {
        "their link": lambda: os.chown(link, uid, uid, follow_symlinks=False),
        "their folder": lambda: os.chown(target, uid, uid),
        "their disk": lambda: os.chown(disk, uid, uid),
        "open disk": lambda: disk.chmod(0o2777),
        "second link": lambda: (target.rename(disk / "real"), target.symlink_to(disk / "real")),
        "nothing": lambda: target.rename(disk / "away"),
        "no repo": lambda: [(target / name).rename(disk / name) for name in ("blobs", "snapshots")],
    }
    change[how]()
    before = files(disk)
    for result in told(machine, link):
        assert why in result.error["message"]
    assert files(disk) == before


@needs_root
def test_the_owner_of_the_cache_may_do_it_for_all(machine: Machine, hub: LoopbackHub, other_user: OtherUser) -> None:
    """The one whose cache it is could put anything there anyway."""
    link = move(machine, machine.folder / "disk")
    for path in (machine.cache, machine.folder / "disk", machine.folder / "disk" / link.name):
        os.chown(path, other_user.uid, other_user.uid)
    os.chown(link, other_user.uid, other_user.uid, follow_symlinks=False)
    check(commands(machine, PLAIN, machine.work / "project"))
