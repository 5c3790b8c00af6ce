"""A repo folder that was moved to a larger disk, with a symlink left in the cache: all commands say the same of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache.moved import open_cache_folder
from orchestrator.errors import NoSpaceError, UnsafeError
from tests.cache.world import World, model_of
from tests.faults.volumes import small_volume
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.conditions import PLAIN, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import REPOSITORY, Machine, Result, content
from tests.machine.test_caches import FILES, check, commands, files, reader
from tests.machine.users import OtherUser

pytestmark = pytest.mark.sampled(7)

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


@pytest.fixture(params=["same volume", "another volume"])
def disk(request: pytest.FixtureRequest, machine: Machine) -> Iterator[Path]:
    """The folder on the other disk to which the model is moved."""
    if request.param == "same volume":
        yield machine.folder / "disk"
        return
    shm = Path("/dev/shm")
    if not shm.is_dir() or not os.access(shm, os.W_OK) or shm.stat().st_dev == machine.folder.stat().st_dev:
        pytest.skip("there is no second volume")
    with tempfile.TemporaryDirectory(dir=shm) as folder:
        yield Path(folder, "disk")


def is_whole(machine: Machine, link: Path, wanted: dict[str, bytes], disk: Path) -> None:
    """The revision that `main` names is right, lies on the other disk, and nothing else was left behind."""
    commit = (link / "refs" / "main").read_text()
    assert content(link / "snapshots" / commit) == wanted
    assert link.readlink() == disk / link.name
    assert (disk / link.name / "trees" / f"{commit}.json").is_file()
    left = [path for place in (machine.folder, disk) for path in place.rglob("scratch-*")]
    assert left + list(disk.rglob("*.incomplete")) == []
    assert [path for path in machine.stage.iterdir() if len(path.name) > 30] == []
    machine.run("verify", "org/m", "--fast").ended(0)
    assert machine.hf("download", "org/m").returncode == 0


def test_what_is_new_is_fetched_to_where_the_model_lies(
    machine: Machine, hub: LoopbackHub, repo: Repo, disk: Path
) -> None:
    link = move(machine, disk)
    # So many folders that one sync of the file system replaces one of each.
    more = {f"part{number}/{name}": b"%d" % number + data for number in range(40) for name, data in FILES.items()}
    second = FILES | {"config.json": b"[]"} | {name: data[:2000] for name, data in more.items()}
    repo.commit(second)
    machine.pull("org/m").ended(0)
    is_whole(machine, link, second, disk)
    machine.pull("--force", "org/m").ended(0)
    is_whole(machine, link, second, disk)


def test_what_is_rotten_is_repaired_where_it_lies(machine: Machine, hub: LoopbackHub, disk: Path) -> None:
    link = move(machine, disk)
    large = max((link / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    for rot in (b"rot", b"again"):
        with large.open("r+b") as file:
            file.write(rot)
        machine.run("verify", "org/m", "--repair", "--root", machine.root).ended(0)
        is_whole(machine, link, FILES, disk)
    large.unlink()
    machine.pull("org/m").ended(0)
    is_whole(machine, link, FILES, disk)


def test_what_was_removed_is_pulled_to_there_again(machine: Machine, hub: LoopbackHub, disk: Path) -> None:
    link = move(machine, disk)
    machine.pull("--force", "org/m").ended(0)
    machine.run("cache", "rm", "org/m", "--yes").ended(0)
    assert sorted(path.name for path in (disk / link.name).iterdir()) == ["blobs", "snapshots"]
    machine.run("cache", "gc", "--yes").ended(0)
    machine.pull("org/m").ended(0)
    is_whole(machine, link, FILES, disk)


def test_what_another_model_has_is_copied_to_there(machine: Machine, make_hub: MakeHub, repo: Repo, disk: Path) -> None:
    hub = make_hub(repo, Repo("model", "org/n", FILES))
    machine.root = hub.url
    link = move(machine, disk)
    machine.run("cache", "rm", "org/m", "--yes").ended(0)
    machine.pull("org/n").ended(0)
    asked = len(hub.log.requests(method="GET", status=206))
    machine.pull("org/m").ended(0)
    assert len(hub.log.requests(method="GET", status=206)) == asked
    is_whole(machine, link, FILES, disk)


def test_what_a_killed_run_left_there_is_swept(machine: Machine, hub: LoopbackHub, repo: Repo, disk: Path) -> None:
    link = move(machine, disk)
    code = "from orchestrator.system.processes import scratch_name; print(scratch_name())"
    name = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout
    aside = disk / link.name / ".glm-aria"
    aside.mkdir()
    (aside / name.strip()).write_text("half of a ref")
    repo.commit(FILES | {"config.json": b"[]"})
    machine.pull("org/m").ended(0)
    is_whole(machine, link, FILES | {"config.json": b"[]"}, disk)


@needs_root
def test_room_is_looked_for_where_the_model_lies(machine: Machine, hub: LoopbackHub) -> None:
    with small_volume(machine.folder / "disk", "size=64m") as volume:
        machine.pull("org/m").ended(0)
        link = machine.cache / "models--org--m"
        shutil.move(link, volume.path / link.name)
        link.symlink_to(volume.folder / link.name)
        asked = len(hub.log.requests(method="GET", status=206))
        result = machine.pull("--force", "org/m", under=volume.prefix).ended(NoSpaceError.exit_code)
        assert str(link) in result.error["message"]
        assert len(hub.log.requests(method="GET", status=206)) == asked


_FLIP = """
import os, sys
link, planted = sys.argv[1:]
aside = planted + ".aside"
print("on", flush=True)
while True:
    os.rename(link, aside)
    os.rename(planted, link)
    os.rename(link, planted)
    os.rename(aside, link)
"""


@needs_root
def test_a_link_is_judged_and_read_as_one(
    open_place: Path, machine: Machine, other_user: OtherUser, disk: Path
) -> None:
    """A member of the group puts a link of his own in the place of ours, again and again, while we look at it."""
    cache, private = open_place / "cache", disk / "private"
    link, planted = cache / "models--org--m", cache / "planted"
    cache.mkdir()
    for folder in (disk / "target", private):
        (folder / "blobs").mkdir(parents=True)
    link.symlink_to(disk / "target")
    planted.symlink_to(private)
    os.chown(planted, other_user.uid, other_user.uid, follow_symlinks=False)
    cache.chmod(0o777)
    process = other_user.start_python(_FLIP, link, planted)
    assert process.stdout
    assert process.stdout.readline() == "on\n"
    seen, refused = set(), 0
    for _ in range(5000):
        try:
            with open_cache_folder(cache) as root, root.beneath(link.name) as found:
                seen.add(os.fstat(found.fd).st_ino)
        except (OSError, UnsafeError):
            refused += 1
    assert process.poll() is None
    assert refused
    assert seen == {(disk / "target").stat().st_ino}


@needs_root
def test_a_link_that_is_exchanged_under_a_run_leads_nothing_astray(
    tmp_path: Path, other_user: OtherUser, disk: Path
) -> None:
    data = {"config.json": b"{}", "d/f.json": b"[]"}
    world, model = World(tmp_path), model_of(data)
    link, target = world.layout.repo_dir(model.ref.repo), disk / "target"
    private = tmp_path / "private"
    for folder in (target, private):
        (folder / "blobs").mkdir(parents=True)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    entries = world.entries(model.wanted.files, data)
    with world.cache._placer(model.ref.repo, model.commit) as placer:
        link.unlink()
        link.symlink_to(private)
        os.chown(link, other_user.uid, other_user.uid, follow_symlinks=False)
        placer.place(entries[:1])
        placer.link([])
    with pytest.raises(UnsafeError, match="made it"):
        world.cache.place(model.ref.repo, model.commit, entries)
    with pytest.raises(UnsafeError, match="made it"):
        world.cache.publish(model)
    assert [path for path in private.rglob("*") if path.is_file()] == []
    assert len([path for path in (target / "blobs").iterdir() if path.is_file()]) == 1


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
    assert f"skipped: {str(link)!r} is a symlink" in machine.run("cache", "ls", **options).ended(0).err
    verified = machine.run("verify", "--json", "--strict", **options).ended(100)
    assert verified.warnings == ["closed"]
    return named


@needs_root
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("their link", "424242 made it"),
        ("their folder", "belongs to 424242"),
        ("their disk", "others may exchange the content of"),
        ("open disk", "others may exchange the content of"),
        ("second link", "a second link"),
        ("nothing", "cannot be looked at"),
        ("no repo", "no folder of a repo"),
    ],
)
@pytest.mark.sampled(3)
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
