"""Paths that Python and aria2 spell differently, and an aria2c that does not see our disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.hub.content import generate
from tests.hub.repos import Repo
from tests.machine.conditions import needs_root
from tests.machine.fixtures import MakeHub, wanted
from tests.machine.foreign import Foreign
from tests.machine.machine import Machine, content

FILES = {"config.json": b"{}", "w.bin": generate(5_000_000, 1), "sub/small.bin": generate(40_000, 2)}
ODD = ["h\udcff\udce9", "名字 é  two spaces\t and a tab", "new\nline", 'back\\slash "quoted"']


@pytest.fixture
def odd(machine: Machine) -> Path:
    """A folder of which the name is no UTF-8, as of a disk that was written in another encoding."""
    return machine.home / ODD[0]


@pytest.mark.parametrize("name", ODD)
def test_a_cache_of_any_name(machine: Machine, make_hub: MakeHub, repo: Repo, name: str) -> None:
    make_hub(repo)
    cache = str(machine.home / name)
    env = {"HF_HOME": cache}
    done = machine.pull("org/m", env=env).ended(0)
    assert done.model["snapshot"].startswith(cache)
    assert content(Path(done.model["snapshot"])) == wanted(repo)
    assert [path.name for path in machine.home.iterdir()] == [name]
    printed = machine.run("pull", "-q", "--root", machine.root, "--offline", "org/m", env=env).ended(0).out
    assert printed == f"{done.model['snapshot']}\n" or "\n" in name
    machine.run("verify", "--json", env=env).ended(0)
    machine.run("cache", "ls", "--json", env=env).ended(0)


def test_an_aria2_of_the_users_that_cannot_be_told_the_path(
    machine: Machine, make_hub: MakeHub, repo: Repo, foreign: Foreign, odd: Path
) -> None:
    hub = make_hub(repo)
    done = machine.pull("org/m", *foreign.words, env={"HF_HOME": str(odd)}).ended(73)
    assert "not UTF-8" in done.error["message"]
    assert not [seen for seen in hub.log.requests(method="GET") if seen.file]
    assert [path.name for path in machine.home.iterdir()] == [odd.name]


def test_our_background_aria2_cannot_be_told_it_either(
    machine: Machine, make_hub: MakeHub, repo: Repo, odd: Path
) -> None:
    make_hub(repo)
    machine.run("daemon", "start").ended(0)
    try:
        done = machine.pull("org/m", env={"HF_HOME": str(odd)}).ended(73)
        assert "glm-aria daemon stop" in done.error["hint"]
    finally:
        machine.run("daemon", "stop").ended(0)


@needs_root
def test_an_aria2c_that_is_confined(machine: Machine, make_hub: MakeHub, repo: Repo) -> None:
    """As one from a snap is: it runs here, as us, and sees another disk below the same names."""
    hub = make_hub(repo)
    real = shutil.which("aria2c")
    assert real
    folder = machine.folder / "bin"
    folder.mkdir()
    machine.hf_home.mkdir()
    mount = f'mount -t tmpfs tmpfs {machine.hf_home} && exec {real} "$@"'
    (folder / "aria2c").write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{mount}' aria2c \"$@\"\n")
    (folder / "aria2c").chmod(0o755)
    done = machine.pull("org/m", env={"PATH": f"{folder}:{os.environ['PATH']}"}).ended(71)
    assert str(folder / "aria2c") in done.error["message"]
    assert "does not write to this disk" in done.error["message"]
    assert not list(hub.log.requests(face="cdn", method="GET"))
    assert list(machine.stage.iterdir()) == []
