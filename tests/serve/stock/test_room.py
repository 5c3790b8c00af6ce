"""Room for what is on its way: reserved before it comes, made by revisions that only clients asked for."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cache import census
from orchestrator.cache.cache import Cache
from orchestrator.cache.retention.on_demand import Revision
from orchestrator.core.files import Digest, RepoFile
from orchestrator.core.plan import Have
from orchestrator.core.refs import RepoId, RepoType, Target
from orchestrator.disk import space
from orchestrator.errors import NoSpaceError, TemporaryError, UnsafeError
from orchestrator.events import Evicted, Notice
from orchestrator.serve.stock.room import ABANDONED, Room
from orchestrator.system.signals import Stop
from orchestrator.upkeep.verify import Health, VerifyRequest, verify
from tests import plain
from tests.plain import FILES, ONE, REPO, TWO, Heard

SIZE = sum(map(len, FILES.values()))
OTHER = RepoId(RepoType.MODEL, "org/other")


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    with plain.cache(tmp_path) as made:
        yield made


class Users:
    """Who uses which revisions, and what went."""

    def __init__(self) -> None:
        self.using: set[Revision] = set()
        self.gone: list[Revision] = []

    def in_use(self) -> frozenset[Revision]:
        return frozenset(self.using)

    def forget(self, folder: str, commit: str) -> None:
        self.gone.append((folder, commit))


def room_of(cache: Cache, most: int | None, users: Users | None = None, heard: Heard | None = None) -> Room:
    users = users or Users()
    return Room(cache, most=most, in_use=users.in_use, gone=users.forget, emit=heard or Heard(), settled=0)


def blob(size: int, name: bytes = b"new") -> dict[Digest, int]:
    return {plain.file_of("new.bin", name).digest: size}


def brought(cache: Cache, repo: RepoId, commit: str, content: bytes, age: float) -> RepoFile:
    """A revision that a client asked for, and that was read so many seconds ago."""
    files = {"model.bin": content}
    cache.blobs.on_demand.came(repo, commit)
    plain.put(cache, files, repo=repo, commit=commit)
    cache.blobs.on_demand._clock = lambda: time.time() - age
    cache.blobs.on_demand.used(repo, commit)
    return plain.file_of("model.bin", content)


def is_here(cache: Cache, repo: RepoId, file: RepoFile) -> bool:
    return cache.blobs.find(repo, [file])[file.digest].have is Have.PLACED


def test_all_that_is_wanted_at_once_has_room_together(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "space", lambda _: space.Space(space.RESERVE + 1000, None))
    room = room_of(cache, None)
    room.reserve(blob(600, b"one"), "one")
    room.reserve(blob(600, b"one"), "one")
    with pytest.raises(NoSpaceError):
        room.reserve(blob(600, b"two"), "two")
    assert room.reserved == 600
    room.release(blob(600, b"one"))
    room.reserve(blob(600, b"two"), "two")
    assert room.reserved == 600


def test_the_longest_unused_revision_makes_room(cache: Cache) -> None:
    old = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    new = brought(cache, OTHER, TWO, b"n" * 1000, age=2000)
    users, heard = Users(), Heard()
    room = room_of(cache, 2900, users, heard)
    room.reserve(blob(900), "a blob")
    assert is_here(cache, REPO, old)
    room.release(blob(900))
    cache.blobs.on_demand._clock = time.time
    room.reserve(blob(1000), "a blob")
    assert not is_here(cache, REPO, old)
    assert is_here(cache, OTHER, new)
    assert users.gone == [(REPO.folder, ONE)]
    assert [event for event in heard.events if isinstance(event, Evicted)] == [Evicted(f"{REPO.name}@{ONE}", 1000)]
    assert set(cache.blobs.on_demand.uses()) == {(OTHER.folder, TWO)}


@pytest.mark.parametrize("why", ["pulled", "pinned", "in use", "read just now"])
def test_what_stays_and_then_the_blob_is_refused(cache: Cache, why: str) -> None:
    file = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    users = Users()
    room = room_of(cache, 1500, users)
    if why == "pulled":
        cache.blobs.on_demand.drop(REPO.folder, ONE)
    elif why == "pinned":
        cache.pins.add([Target(REPO)])
    elif why == "in use":
        users.using.add((REPO.folder, ONE))
    else:
        room._settled = 4000
    with pytest.raises(NoSpaceError, match=r"serve\.max_size"):
        room.reserve(blob(1000), "a blob")
    assert is_here(cache, REPO, file)
    assert room.reserved == 0
    room.reserve(blob(400), "a blob")


def test_what_will_not_fit_after_all_evicts_nothing(cache: Cache) -> None:
    file = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    room = room_of(cache, 1500)
    with pytest.raises(NoSpaceError):
        room.reserve(blob(2000), "a blob")
    assert is_here(cache, REPO, file)


def test_an_eviction_goes_below_the_limit_by_a_tenth(cache: Cache) -> None:
    files = [brought(cache, REPO, f"{n:040x}", bytes([n]) * 100, age=9000 - n) for n in range(100)]
    room = room_of(cache, 10_000)
    room.reserve(blob(1), "a blob")
    assert sum(is_here(cache, REPO, file) for file in files) == 89


def test_a_part_that_nobody_goes_on_with_goes_first(cache: Cache) -> None:
    file = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    digest = plain.file_of("part", b"part").digest
    part = cache.staging.part(digest)
    part.write_bytes(bytes(1 << 20))
    os.utime(part, (time.time() - ABANDONED - 60,) * 2)
    room = room_of(cache, 1 << 20)
    room.reserve(blob(1000), "a blob")
    assert not part.exists()
    assert is_here(cache, REPO, file)


def test_what_a_removal_left_that_was_killed_is_taken_up_by_the_next(cache: Cache) -> None:
    file = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    # Links and records go before blobs.
    (link,) = [path for path in cache.layout.cache_dir.rglob("model.bin") if path.is_symlink()]
    link.unlink()
    link.parent.rmdir()
    room = room_of(cache, 1500)
    room.reserve(blob(1000), "a blob")
    assert not is_here(cache, REPO, file)


def evict_and_die(cache: Cache, at: int) -> bool:
    """Evict in a process that is killed before its change number `at` of the disk; False when there were fewer."""
    pid = os.fork()
    if not pid:
        left = at

        def count(event: str, _args: object) -> None:
            nonlocal left
            if event in ("os.remove", "os.rename", "os.rmdir", "shutil.rmtree"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        room_of(cache, 1500).reserve(blob(1000), "a blob")
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_kill_in_the_middle_of_an_eviction_leaves_nothing_that_the_next_one_does_not_remove(tmp_path: Path) -> None:
    at, is_killed = 0, True
    while is_killed:
        with plain.cache(tmp_path / str(at)) as cache:
            brought(cache, REPO, ONE, b"o" * 1000, age=3000)
            pulled = plain.put(cache, {"kept.bin": b"k" * 100}, repo=OTHER)
            is_killed = evict_and_die(cache, at)
            found = census.take(cache.layout)
            assert all(name in repo.blobs for repo in found.repos for name in repo.linked()), at
            report = verify(VerifyRequest(), cache, None, stop=Stop(), emit=Heard())
            assert {one.state for one in report.files} <= {Health.OK}, at
            room_of(cache, 1500).reserve(blob(1000), "a blob")
            cache.staging.sweep()
            assert sum(census.take(cache.layout).sizes().values()) == 100, at
            assert cache.blobs.is_complete(pulled)
            assert not cache.staging.litter()
        at += 1
    assert at > 5


def test_who_asks_again_at_once_has_no_census_taken(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    plain.put(cache)
    room = room_of(cache, SIZE + 100)
    with pytest.raises(NoSpaceError) as first:
        room.reserve(blob(1000), "a blob")
    monkeypatch.setattr(census, "take", None)
    with pytest.raises(NoSpaceError) as again:
        room.reserve(blob(2000, b"two"), "another")
    assert again.value.message == first.value.message.replace("a blob", "another")
    room.reserve(blob(100, b"three"), "a small one")


def test_evicting_by_name(cache: Cache) -> None:
    plain.put(cache)
    users = Users()
    room = room_of(cache, None, users)
    users.using.add((REPO.folder, ONE))
    with pytest.raises(TemporaryError):
        room.evict(Target(REPO))
    users.using.clear()
    cache.pins.add([Target(REPO)])
    with pytest.raises(UnsafeError):
        room.evict(Target(REPO))
    cache.pins.remove([Target(REPO)])
    assert room.evict(Target(REPO)) == SIZE


def test_the_operator_hears_once_that_clients_are_refused(cache: Cache) -> None:
    heard = Heard()
    room = room_of(cache, 500, heard=heard)
    for name in (b"one", b"two"):
        with pytest.raises(NoSpaceError):
            room.reserve(blob(1000, name), "new.bin")
    assert heard.codes == ["no-room"]
    assert "new.bin" in heard.messages[0]


def test_a_cache_that_is_too_large_is_made_smaller_at_once_or_that_is_told(cache: Cache) -> None:
    file = brought(cache, REPO, ONE, b"o" * 1000, age=3000)
    heard = Heard()
    room_of(cache, 500, heard=heard).shrink()
    assert not is_here(cache, REPO, file)
    assert heard.codes == []
    plain.put(cache)
    room_of(cache, 500, heard=heard).shrink()
    assert heard.codes == ["no-room"]
    assert is_here(cache, REPO, plain.file_of("config.json", FILES["config.json"]))


def guessed(cache: Cache, repo: RepoId, commit: str, content: bytes) -> RepoFile:
    """A revision that was fetched before anybody asked for it."""
    cache.blobs.on_demand.came(repo, commit, is_guess=True)
    plain.put(cache, {"model.bin": content}, repo=repo, commit=commit)
    return plain.file_of("model.bin", content)


def test_a_guess_goes_before_what_was_used_and_only_as_far_as_needed(cache: Cache) -> None:
    used = brought(cache, REPO, ONE, b"u" * 600, age=9000)
    guess = guessed(cache, OTHER, TWO, b"g" * 300)
    room_of(cache, 1000).reserve(blob(350), "new")
    assert is_here(cache, REPO, used)
    assert not is_here(cache, OTHER, guess)


def test_for_a_guess_nothing_goes_but_another_one_that_is_not_foreseen(cache: Cache) -> None:
    used = brought(cache, REPO, ONE, b"u" * 600, age=9000)
    guess = guessed(cache, OTHER, TWO, b"g" * 300)
    heard, sizes = Heard(), blob(350)
    room = room_of(cache, 1000, heard=heard)
    room.foreseen = frozenset([OTHER.folder])
    assert room.guess_room == 100
    with pytest.raises(NoSpaceError):
        room.reserve(sizes, "guess", is_guess=True)
    assert is_here(cache, OTHER, guess)
    room.foreseen = frozenset()
    assert room.guess_room == 400
    room.reserve(sizes, "guess", is_guess=True)
    assert is_here(cache, REPO, used)
    assert not is_here(cache, OTHER, guess)
    with pytest.raises(NoSpaceError):
        room.reserve(blob(500, b"larger"), "guess", is_guess=True)
    assert is_here(cache, REPO, used)
    assert not [event for event in heard.events if isinstance(event, Notice)]


def test_what_is_likely_wanted_goes_last(cache: Cache) -> None:
    foreseen = brought(cache, REPO, ONE, b"f" * 400, age=9000)
    other = brought(cache, OTHER, TWO, b"o" * 400, age=100)
    room = room_of(cache, 1000)
    room.likely = {REPO.folder: 0.8, OTHER.folder: 0.2}
    room.reserve(blob(400), "new")
    assert is_here(cache, REPO, foreseen)
    assert not is_here(cache, OTHER, other)


def test_for_somebody_all_that_is_spare_goes_and_for_a_guess_nothing_of_it(cache: Cache) -> None:
    spare = brought(cache, REPO, ONE, b"s" * 400, age=100)
    old = brought(cache, OTHER, TWO, b"o" * 400, age=9000)
    room = room_of(cache, 1000)
    room.spare, room.likely = frozenset([REPO.folder]), {REPO.folder: 0.1, OTHER.folder: 0.1}
    with pytest.raises(NoSpaceError):
        room.reserve(blob(300, b"guess"), "guess", is_guess=True)
    room.reserve(blob(200, b"fits"), "fits")
    assert is_here(cache, REPO, spare)
    room.reserve(blob(100, b"more"), "more")
    assert not is_here(cache, REPO, spare)
    assert is_here(cache, OTHER, old)


def test_a_guess_that_is_likelier_than_what_was_used_stays_when_somebody_needs_room(cache: Cache) -> None:
    used = brought(cache, REPO, ONE, b"u" * 400, age=9000)
    guess = guessed(cache, OTHER, TWO, b"g" * 400)
    room = room_of(cache, 1000)
    room.foreseen, room.likely = frozenset([OTHER.folder]), {OTHER.folder: 0.8, REPO.folder: 0.1}
    room.reserve(blob(400), "new")
    assert is_here(cache, OTHER, guess)
    assert not is_here(cache, REPO, used)


def test_way_is_made_by_what_is_spare_and_by_no_guess(cache: Cache) -> None:
    old = brought(cache, REPO, ONE, b"u" * 400, age=9000)
    guess = guessed(cache, OTHER, TWO, b"g" * 200)
    room = room_of(cache, 1000)
    room.make_way()
    assert is_here(cache, REPO, old)
    room.spare = frozenset([REPO.folder, OTHER.folder])
    room.make_way()
    assert not is_here(cache, REPO, old)
    assert is_here(cache, OTHER, guess)
