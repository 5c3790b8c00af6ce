"""Homes and working directories that do not exist, or are closed to this user."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hub.repos import Repo
from tests.machine import conditions as on
from tests.machine.conditions import NOBODY_KNOWS, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine

pytestmark = pytest.mark.sampled(4)

FILES = {"config.json": b"{}"}
HOMELESS = on.as_user(NOBODY_KNOWS, HOME=None, XDG_CONFIG_HOME=None)


@needs_root
@pytest.mark.parametrize(
    "words",
    [
        ("pull", "org/m", "--local-dir", "~/m"),
        ("pull", "org/m", "--lock", "~/m.lock"),
        ("pull", "--locked", "~/m.lock"),
        ("lock", "diff", "~/a", "~/b"),
        ("render", "gitconfig", "-o", "~/gitconfig"),
        ("plan", "org/m", "--aria2-input", "~/in"),
        ("cache", "link", "org/m", "~/m"),
        ("cache", "import", "~/m"),
        ("doctor", "--report", "~/page.html"),
    ],
)
@pytest.mark.sampled(3)
def test_a_tilde_without_a_home(machine: Machine, words: tuple[str, ...]) -> None:
    on.give(machine.folder, NOBODY_KNOWS)
    done = machine.run(*words, **HOMELESS.options).ended(2)
    assert "HOME" in done.err
    assert not list(machine.folder.rglob("~*"))


@needs_root
def test_config_path_without_a_home(machine: Machine) -> None:
    on.give(machine.folder, NOBODY_KNOWS)
    assert "XDG_CONFIG_HOME" in machine.run("config", "path", **HOMELESS.options).ended(78).err


@pytest.mark.parametrize(
    "words",
    [
        ("pull", "org/m", "--local-dir", "m"),
        ("pull", "org/m", "--lock", "m.lock"),
        ("plan", "org/m", "--aria2-input", "in"),
        ("plan", "org/m", "--cache-dir", "cache"),
        ("cache", "link", "org/m", "m"),
        ("cache", "import", "m"),
        ("doctor", "--report", "page.html"),
    ],
)
@pytest.mark.sampled(2)
def test_a_relative_path_in_a_folder_that_is_gone(
    machine: Machine, make_hub: MakeHub, repo: Repo, words: tuple[str, ...]
) -> None:
    make_hub(repo)
    root = ("--root", machine.root) if words[0] in ("pull", "plan") else ()
    done = machine.run(*words, *root, **on.in_removed_folder(machine.folder).options).ended(2)
    assert "working directory" in done.err


@needs_root
@pytest.mark.parametrize("place", ["shut", "shut/in"])
def test_a_lock_file_in_a_closed_folder(machine: Machine, open_place: Path, place: str) -> None:
    (open_place / "shut").mkdir(mode=0o700)
    on.give(machine.folder, NOBODY_KNOWS)
    name = str(open_place / place / "m.lock")
    done = machine.run("pull", "org/m", "--lock", name, **on.as_user(NOBODY_KNOWS).options).ended(73)
    assert name in done.err
    assert "belongs to root" in done.err


@needs_root
def test_what_lies_below_a_closed_folder(machine: Machine, make_hub: MakeHub, open_place: Path) -> None:
    make_hub(Repo("model", "org/odd", {"a:b": b"x"}), Repo("model", "org/m", FILES))
    place = open_place / "shut" / "in"
    place.mkdir(parents=True)
    place.parent.chmod(0o700)
    on.give(machine.folder, NOBODY_KNOWS)
    as_other = on.as_user(NOBODY_KNOWS).options
    machine.run("pull", "org/odd", "org/m", "--root", machine.root, **as_other).ended(0)
    for words in (
        ("cache", "link", "org/odd", str(place)),
        ("cache", "link", "org/m", str(place)),
        ("cache", "import", str(place)),
        ("verify", "--cache-dir", str(place)),
        ("doctor", "--root", machine.root, "--report", str(place / "page.html")),
    ):
        assert "shut" in machine.run(*words, **as_other).ended(73).err


@needs_root
def test_a_template_that_keeps_a_cache_without_a_home(machine: Machine) -> None:
    on.give(machine.folder, NOBODY_KNOWS)
    done = machine.run("render", "nginx-relay.conf", **HOMELESS.options)
    assert done.code in (0, 78)
    assert "~" not in done.out
