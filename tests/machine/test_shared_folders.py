"""A cache in a folder that others may write to: what one of them may exchange or plant there under a run."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.cache import state_dir
from orchestrator.core.refs import RepoId, RepoType
from orchestrator.errors import TemporaryError, UnsafeError
from tests.cache.world import CONTENT, World, hf_offline, model_of
from tests.hub.content import MIB, generate
from tests.hub.log import RequestLog
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine import conditions
from tests.machine.conditions import Condition, needs_root
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, content
from tests.machine.users import OtherUser

pytestmark = [needs_root, pytest.mark.sampled(6)]

GROUP_WORK = Condition(("sh", "-c", 'umask 002 && exec "$@"', "sh"))


@pytest.fixture
def shared(open_place: Path, other_user: OtherUser) -> Path:
    """A folder of ours and a group that the other user is in, as a lab has it: mode 2775."""
    folder = open_place / "shared"
    folder.mkdir()
    os.chown(folder, -1, other_user.uid)
    folder.chmod(0o2775)
    return folder


@pytest.fixture
def lab(shared: Path) -> Condition:
    """Under which a command uses a cache there."""
    return GROUP_WORK + Condition(env={"HF_HUB_CACHE": str(shared / "hub")})


FILES = {"big.safetensors": generate(24 * MIB, 1)}


@pytest.fixture
def big(make_hub: MakeHub) -> LoopbackHub:
    """A repo that takes a second or two."""
    rate = Shape(latency_s=0.01, rate_per_connection=2 * MIB)
    return make_hub(Repo("model", "org/big", FILES), cdn_shape=rate)


def written(folder: Path) -> list[Path]:
    """What somebody else than the owner of `folder` put there."""
    owner = folder.stat().st_uid
    return [path for path in folder.rglob("*") if path.lstat().st_uid != owner]


# The state folder becomes a link to a folder of his own. In it he replaces what appears by a link to a private file,
# and has links where a journal is written.
_EXCHANGE = """
import os, sys, time
state, evil, private, digest = sys.argv[1:]
stage = evil + "/stage"
os.makedirs(stage)
os.chmod(evil, 0o777), os.chmod(stage, 0o777)
for n in range(400):
    os.symlink(private, f"{stage}/{digest}.span-{n}.aria2")
os.symlink(private, f"{stage}/{digest}.journal.new")
os.rename(state, state + ".away")
os.symlink(evil, state)
print("done", flush=True)
while True:
    for name in os.listdir(stage):
        if name.startswith(digest) and not os.path.islink(f"{stage}/{name}"):
            os.rename(f"{stage}/{name}", f"{evil}/{name}")
            os.symlink(private, f"{stage}/{name}")
"""


@pytest.mark.parametrize("kind", ["our own aria2c", "background aria2c"])
def test_the_state_folder_is_exchanged_under_a_transfer(
    machine: Machine, big: LoopbackHub, shared: Path, lab: Condition, other_user: OtherUser, kind: str
) -> None:
    if kind != "our own aria2c":
        machine.run("daemon", "start").ended(0)
    private = machine.home / ".bashrc"
    private.write_text("mine")
    evil = other_user.folder / "evil"
    running = machine.start_pull("org/big", "--connections", "4", **lab.options)
    assert big.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 4 * MIB, 30)
    (part,) = (path for path in (shared / "glm-aria" / "stage").iterdir() if len(path.name) == 64)
    process = other_user.start_python(_EXCHANGE, shared / "glm-aria", evil, private, part.name)
    assert process.stdout
    assert process.stdout.readline() == "done\n"
    running.end().ended(0)
    assert private.read_text() == "mine"
    assert written(evil) == []
    (snapshot,) = (shared / "hub").glob("models--org--big/snapshots/*")
    assert content(snapshot) == FILES
    # And the folder that the link leads to is nobody's state.
    process.kill()
    machine.pull("org/big", **lab.options).ended(0)
    assert written(evil) == []
    if kind != "our own aria2c":
        machine.run("daemon", "stop").ended(0)


def asks_of_aria2(log: RequestLog) -> int:
    """How many ranges aria2c asked for; what Python asks has the version in its name."""
    return sum(exchange.user_agent == "glm-aria" for exchange in log.requests(face="cdn"))


@pytest.mark.parametrize("kind", ["our own aria2c", "background aria2c"])
def test_a_killed_run_in_a_shared_folder_goes_on(
    machine: Machine, big: LoopbackHub, shared: Path, lab: Condition, kind: str
) -> None:
    """A background aria2c lives on with its downloads, to a folder that is known by a process that is gone."""
    if kind != "our own aria2c":
        machine.run("daemon", "start").ended(0)
    running = machine.start_pull("org/big", "--connections", "4", **lab.options)
    assert big.log.wait_for(lambda log: log.bytes_sent(face="cdn") > 12 * MIB, 30)
    # Until the next run asks for bytes, however late it starts, none come that only what lives on would get.
    with big.held("cdn"):
        alive = machine.aria2()
        for pid in (running.pid, *alive):
            os.kill(pid, signal.SIGKILL if pid == running.pid else signal.SIGSTOP)
        running.end()
        asked, asked_by_aria2 = len(big.log.requests()), asks_of_aria2(big.log)
        again = machine.start_pull("org/big", **lab.options)
        assert big.log.wait_for(lambda log: len(log.requests()) > asked, 30)
        for pid in alive:
            os.kill(pid, signal.SIGCONT)
        assert big.log.wait_for(lambda log: asks_of_aria2(log) > asked_by_aria2, 30)
    again.end().ended(0)
    if kind != "our own aria2c":
        machine.run("daemon", "stop").ended(0)
    assert big.log.bytes_sent(face="cdn") < 24 * MIB + 8 * MIB
    (snapshot,) = (shared / "hub").glob("models--org--big/snapshots/*")
    assert content(snapshot) == FILES


# The other user pulled first, so the blob is his; or it is ours, and he puts a copy of his own in place of the link.
_FORGE = """
import os, sys
path = sys.argv[1]
found = os.stat(path)
data = open(path, "rb").read()
if found.st_uid != os.getuid():
    os.unlink(path)
with open(path, "r+b" if os.path.exists(path) else "xb") as file:
    file.write(b"EVIL" + data[4:])
os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
"""


@pytest.mark.parametrize("what", ["a blob", "a file in place of a link", "a file where there are no links"])
def test_what_its_owner_changed_and_dated_back_is_noticed(
    machine: Machine, make_hub: MakeHub, shared: Path, lab: Condition, other_user: OtherUser, what: str
) -> None:
    if what == "a file where there are no links":
        lab += Condition(env={"HF_HUB_DISABLE_SYMLINKS": "1"})
    small = {"config.json": b"{}", "model.safetensors": generate(MIB, 1)}
    make_hub(Repo("model", "org/small", small))
    machine.pull("org/small", **lab.options).ended(0)
    (snapshot,) = (shared / "hub").glob("models--org--small/snapshots/*")
    place = snapshot / "model.safetensors"
    if what == "a blob":
        place = place.resolve()
        os.chown(place, other_user.uid, other_user.uid)
        machine.pull("org/small", **lab.options).ended(0)
    again = machine.pull("org/small", **lab.options).ended(0)
    assert again.model["bytes_fetched"] == 0
    other_user.python(_FORGE, place)
    assert content(snapshot) != small
    offline = machine.pull("org/small", "--offline", **lab.options)
    assert (offline.code == 0) == (content(snapshot) == small)
    machine.pull("org/small", **lab.options).ended(0)
    assert content(snapshot) == small


@pytest.mark.parametrize("how", ["local", "linked"])
def test_what_its_owner_dated_back_in_a_folder_is_noticed(
    machine: Machine, make_hub: MakeHub, shared: Path, lab: Condition, other_user: OtherUser, how: str
) -> None:
    small = {"config.json": b"{}", "model.safetensors": generate(MIB, 1)}
    make_hub(Repo("model", "org/small", small))
    folder = shared / "plain"
    machine.pull("org/small", **lab.options).ended(0)
    put = (
        ("pull", "org/small", "--local-dir", str(folder))
        if how == "local"
        else ("cache", "link", "org/small", str(folder))
    )
    root = ("--root", machine.root) if how == "local" else ()
    machine.run(*put, *root, **lab.options).ended(0)
    (place,) = folder.rglob("model.safetensors")
    os.chown(place, other_user.uid, other_user.uid)
    machine.run(*put, *root, **lab.options).ended(0)
    other_user.python(_FORGE, place)
    done = machine.run(*put, *root, **lab.options)
    assert done.code in {0, 73}
    assert (place.read_bytes() == small["model.safetensors"]) == (done.code == 0)


def test_names_that_others_took_cost_the_place_only(
    machine: Machine, big: LoopbackHub, shared: Path, lab: Condition, other_user: OtherUser
) -> None:
    """All places of the state folder are somebody else's: it lies in the user's own, and what arrives is copied."""
    (shared / "hub" / ".locks").mkdir(parents=True)
    taken = [shared / "glm-aria", *(shared / "hub" / ".locks" / f"glm-aria{end}" for end in ("", "-0"))]
    for folder in taken:
        folder.mkdir(mode=0o777)
        os.chown(folder, other_user.uid, other_user.uid)
    own = conditions.mounted(machine.home, "size=600m")
    machine.pull("org/big", **(own + lab).options).ended(0)
    (snapshot,) = (shared / "hub").glob("models--org--big/snapshots/*")
    assert content(snapshot) == FILES
    assert (shared / "hub" / "models--org--big" / "refs" / "main").read_text() == snapshot.name
    assert [path for folder in taken for path in folder.iterdir()] == []
    assert [path.name for path in (shared / "hub" / ".locks").iterdir() if path.name.startswith("scratch")] == []


def test_without_proc_the_state_lies_in_the_users_own_place(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another volume, where there is one: what arrives is copied, and so are links and refs that are replaced."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as own:
        monkeypatch.setenv("XDG_CACHE_HOME", own)
        monkeypatch.setattr(state_dir, "hold", lambda _folder: None)
        world, model = World(shared), model_of()
        assert world.state.is_relative_to(own)
        world.pull(model)
        again = model_of(CONTENT | {"config.json": b"{}"}, commit="d" * 40)
        (world.layout.snapshot(model.ref.repo, again.commit)).mkdir()
        (world.layout.snapshot(model.ref.repo, again.commit) / "config.json").symlink_to("nothing")
        world.pull(again, CONTENT | {"config.json": b"{}"})
        assert world.cache.is_complete(again)
        assert hf_offline(world, again) == CONTENT | {"config.json": b"{}"}
        assert list(world.layout.locks_dir.glob("scratch-*")) == []
        assert list(world.staging.folder.iterdir()) == []


_SWAP_SNAPSHOT = """
import os, sys
folder, private = sys.argv[1:]
print("on", flush=True)
while True:
    try:
        if len(os.listdir(folder)) < 3:
            continue
        os.rename(folder, folder + ".away")
        os.symlink(private, folder)
        break
    except OSError:
        continue
print("swapped", flush=True)
"""


@pytest.fixture
def group_umask() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


@pytest.mark.usefixtures("group_umask")
def test_a_folder_of_a_snapshot_is_exchanged_while_it_is_filled(
    tmp_path: Path, shared: Path, other_user: OtherUser
) -> None:
    files = {f"d/f{number:05}.json": b"%d" % number for number in range(3000)}
    private = tmp_path / "private"
    (private / "d").mkdir(parents=True)
    for name in files:
        (private / name).write_text("mine")
    world, model = World(shared), model_of(files)
    entries = world.entries(model.wanted.files, files)
    snapshot = world.layout.snapshot(model.ref.repo, model.commit)
    process = other_user.start_python(_SWAP_SNAPSHOT, snapshot / "d", private / "d")
    assert process.stdout
    assert process.stdout.readline() == "on\n"
    tmp_path.chmod(0o755)
    with pytest.raises(UnsafeError, match="symlink"):
        world.cache.place(model.ref.repo, model.commit, entries)
    assert process.stdout.readline() == "swapped\n"
    assert {path.read_text() for path in (private / "d").iterdir()} == {"mine"}
    assert len(list((private / "d").iterdir())) == len(files)
    assert not any(path.is_symlink() for path in (private / "d").iterdir())


@pytest.mark.usefixtures("group_umask")
@pytest.mark.parametrize("name", ["refs", "trees", "snapshots", "blobs", ".no_exist", "snapshots/*"])
@pytest.mark.sampled(2)
def test_a_planted_folder_is_not_cleaned_up(tmp_path: Path, shared: Path, name: str) -> None:
    """What lies behind a link is never removed or replaced, by whatever command."""
    private = tmp_path / "private"
    world, model = World(shared), model_of()
    world.pull(model)
    repo = world.layout.repo_dir(model.ref.repo)
    (repo / ".no_exist" / model.commit).mkdir(parents=True)
    folder = next(repo.glob(name))
    folder.rename(private)
    before = content(private)
    folder.symlink_to(private)
    file = model.wanted.files[0]
    seen = world.layout.blob(model.ref.repo, file.digest).stat()
    with suppress(UnsafeError, TemporaryError):
        world.cache.expose(model.ref.repo, model.commit, model.wanted.files)
    with suppress(UnsafeError, TemporaryError):
        world.cache.publish(model)
    with suppress(UnsafeError, TemporaryError):
        world.cache.remove_blob(model.ref.repo, file.digest, seen)
    assert content(private) == before


def plant(kind: str, path: Path) -> None:
    """Put something there that is no file with a few bytes."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name(f"{path.name}.away"))
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path, 0o666)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 8 << 30)


_ALL = ("ref", "tree", "blob", "no_exist", "lock", "link")


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("fifo", ("ref",)),
        ("fifo", ("tree", "no_exist", "lock")),
        ("fifo", _ALL),
        ("folder", _ALL),
        ("link", _ALL),
        ("endless", ("ref", "tree", "lock")),
    ],
)
@pytest.mark.sampled(2)
def test_what_is_no_small_file_holds_nothing_up(
    machine: Machine, make_hub: MakeHub, repo: Repo, kind: str, where: tuple[str, ...]
) -> None:
    make_hub(repo)
    machine.pull("org/m").ended(0)
    folder = machine.cache / "models--org--m"
    (blob,) = (path for path in (folder / "blobs").iterdir() if len(path.name) == 64)
    places = {
        "ref": folder / "refs" / "main",
        "tree": next((folder / "trees").iterdir()),
        "blob": blob,
        "no_exist": folder / ".no_exist",
        "lock": machine.cache / ".locks" / folder.name / f"{blob.name}.lock",
        "link": next(path for path in folder.glob("snapshots/*/*") if path.name.endswith(".safetensors")),
    }
    condition = conditions.limited(**{"as": 3 << 30})
    for words in (
        ("cache", "ls"),
        ("cache", "gc"),
        ("verify",),
        ("pull", "--offline", "org/m"),
        ("pull", "--root", machine.root, "org/m"),
        ("cache", "rm", "org/m"),
    ):
        for name in where:
            plant(kind, places[name])
        result = machine.run(*words, timeout_s=25, **condition.options)
        assert result.code not in (1, 70), (words, result.err)
    for name in where:
        if kind == "folder":
            places[name].rmdir()
        else:
            places[name].unlink(missing_ok=True)
    machine.pull("org/m").ended(0)


_HOLD = """
import fcntl, os, sys
held = []
for path in sys.argv[1:]:
    held.append(os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
    fcntl.flock(held[-1], fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.usefixtures("group_umask")
def test_a_holder_of_all_locks_costs_a_second(shared: Path, other_user: OtherUser) -> None:
    files = {f"f{number}": b"%d" % number for number in range(60)}
    world, model = World(shared), model_of(files)
    repo = RepoId(RepoType.MODEL, "org/model")
    locks = [world.layout.lock_file(repo, file.digest) for file in model.wanted.files]
    locks[0].parent.mkdir(parents=True)
    process = other_user.start_python(_HOLD, *locks)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    entries = world.entries(model.wanted.files, files)
    begun = time.monotonic()
    for start in range(0, len(entries), 20):  # batches of one run
        world.cache.place(repo, model.commit, entries[start : start + 20])
    world.cache.publish(model)
    assert 0.9 < time.monotonic() - begun < 10
    assert world.cache.is_complete(model)
