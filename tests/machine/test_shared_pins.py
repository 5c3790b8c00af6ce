"""Pins in a cache that several users share: what one of them pins, none of the others removes."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

from tests.hub.repos import Repo
from tests.machine.conditions import Condition, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.machine.test_caches import FILES, reader
from tests.machine.users import OtherUser

pytestmark = [needs_root, pytest.mark.sampled(3)]
GARBAGE = "the list of pinned models cannot be read"


@pytest.fixture
def both(machine: Machine, make_hub: MakeHub, other_user: OtherUser) -> Condition:
    """Two models in a cache to which everybody may write; the condition is that of the second user."""
    repos = [Repo("model", f"org/{name}", FILES) for name in ("a", "b")]
    make_hub(*repos)
    for repo in repos:
        machine.pull(repo.name).ended(0)
    for path in (machine.cache, *machine.cache.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o2777)
    return reader(other_user, machine)


def pins(machine: Machine) -> Path:
    return machine.cache / ".locks" / "glm-aria-pins"


def here(machine: Machine, name: str) -> bool:
    return any((machine.cache / f"models--org--{name}" / "snapshots").glob("*/config.json"))


def test_a_pin_of_one_user_holds_for_all(machine: Machine, both: Condition, other_user: OtherUser) -> None:
    machine.run("cache", "pin", "org/a").ended(0)
    shared = machine.run("cache", "pin", "org/b", "--json", **both.options).ended(0)
    assert shared.document["data"]["pins"] == ["org/a", "org/b"]
    assert stat.S_IMODE(pins(machine).stat().st_mode) == 0o3777
    for path in pins(machine).iterdir():
        assert (path.name, stat.S_IMODE(path.stat().st_mode)) == (f"{path.stat().st_uid}.json", 0o644)
    for options, theirs, mine in ((both.options, "a", "b"), ({}, "b", "a")):
        listed = machine.run("cache", "ls", "--json", **options).ended(0).document["data"]["repos"]
        assert [revision["pinned"] for repo in listed for revision in repo["revisions"]] == [True, True]
        refused = machine.run("cache", "rm", f"org/{theirs}", "--yes", "--json", **options).ended(80)
        assert "pinned by" in refused.error["message"]
        kept = machine.run("cache", "gc", "--keep-size", "0", "--yes", "--json", **options).ended(0)
        assert {entry["reason"] for entry in kept.document["data"]["kept"]} == {"pinned"}
        unpinned = machine.run("cache", "unpin", f"org/{theirs}", **options).ended(0)
        assert f"org/{theirs} stays" in unpinned.err
        assert here(machine, theirs)
        assert here(machine, mine)
    machine.run("cache", "unpin", "org/a").ended(0)
    machine.run("cache", "rm", "org/a", "--yes", **both.options).ended(0)
    assert not here(machine, "a")
    hf = machine.hf("cache", "ls")
    assert hf.returncode == 0
    assert "org/b" in hf.stdout
    assert "warning" not in (hf.stdout + hf.stderr).lower()


def test_pins_of_an_earlier_version_still_hold(machine: Machine, both: Condition) -> None:
    (machine.hf_home / "glm-aria" / "pins.json").write_text('{"version": 1, "pins": ["org/a"]}')
    machine.run("cache", "rm", "org/a", "--yes").ended(80)
    machine.run("cache", "pin", "org/b").ended(0)
    machine.run("cache", "rm", "org/a", "--yes", **both.options).ended(80)
    machine.run("cache", "unpin", "org/a").ended(0)
    machine.run("cache", "rm", "org/a", "--yes", **both.options).ended(0)


@pytest.mark.parametrize("what", ["fifo", "garbage", "endless", "link", "folder", "deep"])
@pytest.mark.sampled(2)
def test_a_file_that_is_none_keeps_things_and_hangs_nobody(
    machine: Machine, both: Condition, other_user: OtherUser, what: str
) -> None:
    machine.run("cache", "pin", "org/b", **both.options).ended(0)
    file = pins(machine) / f"{other_user.uid}.json"
    file.unlink()
    make = {
        "fifo": "os.mkfifo(p)",
        "garbage": "open(p, 'w').write('{')",
        "endless": "os.truncate(os.open(p, os.O_CREAT | os.O_RDWR), 1 << 40)",
        "link": "os.symlink('/dev/zero', p)",
        "folder": "os.mkdir(p)",
        "deep": "open(p, 'w').write('[' * 100000)",
    }[what]
    other_user.python(f"import os, sys; p = sys.argv[1]; {make}", file)
    before = time.monotonic()
    assert GARBAGE in machine.run("cache", "rm", "org/a", "--yes", "--json").ended(74).error["message"]
    assert GARBAGE in machine.run("cache", "gc", "--yes", "--json").ended(74).error["message"]
    assert len(machine.run("cache", "ls", "--json").ended(0).document["data"]["repos"]) == 2
    machine.run("cache", "pin", "org/a").ended(0)
    machine.run("cache", "unpin", "org/a").ended(0)
    assert time.monotonic() - before < 30
    assert here(machine, "a")
    other_user.python("import os, sys; p = sys.argv[1]; os.rmdir(p) if os.path.isdir(p) else os.unlink(p)", file)


@pytest.mark.parametrize("where", [".locks", ".locks/glm-aria-pins"])
def test_pins_are_written_through_no_link(machine: Machine, both: Condition, other_user: OtherUser, where: str) -> None:
    target = machine.folder / "private"
    (target / "glm-aria-pins").mkdir(parents=True)
    (target / f"{os.getuid()}.json").write_text("mine")
    planted = machine.cache / where
    other_user.python(
        "import os, sys\np, t = sys.argv[1:]\nif os.path.lexists(p): os.rename(p, p + '.away')\n"
        "os.makedirs(os.path.dirname(p), exist_ok=True)\nos.symlink(t, p)",
        planted,
        target,
    )
    result = machine.run("cache", "pin", "org/a", "--json").ended(73)
    assert result.error["file"] == str(planted)
    assert (target / f"{os.getuid()}.json").read_text() == "mine"
    assert [path.name for path in (target / "glm-aria-pins").iterdir()] == []
    refused = machine.run("cache", "rm", "org/b", "--yes", "--json").ended(74)
    assert refused.error["file"] == str(planted)
    machine.run("cache", "ls").ended(0)
    assert here(machine, "b")


def test_a_folder_that_is_exchanged_meanwhile(machine: Machine, both: Condition, other_user: OtherUser) -> None:
    """Somebody swaps the folder for a link to private files all the time; none of these is ever written to."""
    target = machine.folder / "private"
    target.mkdir(mode=0o755)
    (target / f"{os.getuid()}.json").write_text("mine")
    machine.run("cache", "pin", "org/b").ended(0)
    program = (
        "import os, sys\np, t = sys.argv[1:]\nprint('on', flush=True)\nwhile True:\n"
        "  try: os.rename(p, p + '.a'); os.symlink(t, p); os.unlink(p); os.rename(p + '.a', p)\n"
        "  except OSError: pass\n"
    )
    swapping = other_user.start_python(program, pins(machine), target)
    assert swapping.stdout is not None
    swapping.stdout.readline()
    try:
        for _ in range(8):
            assert machine.run("cache", "pin", "org/a").code in (0, 73)
            assert machine.run("cache", "unpin", "org/a").code in (0, 73, 74)
    finally:
        swapping.kill()
    assert until(lambda: swapping.poll() is not None)
    assert (target / f"{os.getuid()}.json").read_text() == "mine"
    assert len(list(target.iterdir())) == 1
