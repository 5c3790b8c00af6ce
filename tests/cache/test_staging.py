"""A part belongs to one claimant, dead ones leave nothing in the way, and nothing is left behind."""

import fcntl
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cache import claims
from orchestrator.cache.staging import Staging
from orchestrator.core.files import Algorithm, Digest
from orchestrator.disk.atomic import sweep_scratch
from orchestrator.errors import NoSpaceError
from orchestrator.system import processes

ONE = Digest(Algorithm.SHA256, "1" * 64)
TWO = Digest(Algorithm.GIT_SHA1, "2" * 40)


@pytest.fixture(params=["locks", "owners"])
def staging(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Staging]:
    """With locks that are enough, and with owner files beside them."""
    monkeypatch.setattr(claims, "_is_local", lambda _: request.param == "locks")
    (tmp_path / "stage").mkdir()
    made = Staging(tmp_path)
    yield made
    made.close()


def test_a_part_has_one_claimant(staging: Staging, tmp_path: Path) -> None:
    other = Staging(tmp_path)
    claim = staging.claim(ONE)
    assert claim is not None
    assert staging.claim(ONE) is None
    assert other.claim(ONE) is None
    with other.claim(TWO) or pytest.fail("another digest is free"):
        assert staging.claim(TWO) is None
    claim.release()
    claim.release()
    with other.claim(ONE) or pytest.fail("released"):
        pass
    assert list(staging.folder.iterdir()) == []
    other.close()


def _hold(home: Path, ready: object) -> None:
    Staging(home).claim(ONE)
    ready.set()  # type: ignore[attr-defined]
    time.sleep(60)


def test_a_killed_claimant_is_forgotten_at_once(staging: Staging, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(30)
    assert staging.claim(ONE) is None
    assert staging.litter() == ()
    os.kill(holder.pid or 0, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (claim := staging.claim(ONE)) is None:
        # Not reaped yet, so it is a zombie here.
        assert time.monotonic() < deadline
    claim.release()
    holder.join()


@pytest.mark.parametrize("answer", ["always", "unsupported"])
def test_without_working_locks_a_living_owner_still_counts(
    staging: Staging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    def broken(*_: object) -> int:
        if answer == "unsupported":
            raise OSError(38, "Function not implemented")
        return 0

    monkeypatch.setattr(fcntl, "fcntl", broken)
    other = Staging(tmp_path)
    claim = staging.claim(ONE)
    assert claim is not None
    assert other.claim(ONE) is None
    claim.release()
    assert other.claim(ONE) is not None
    other.close()


@pytest.mark.parametrize(
    ("record", "free"),
    [
        ("", True),
        ("torn", True),
        (f"{os.uname().nodename}\n{os.getpid()}\nanother start\n", True),
        (f"{os.uname().nodename}\n4194305\n1\n", True),
        ("another-host\n1\n1\n", True),
    ],
    ids=["empty", "torn", "another start", "no such process", "another host"],
)
def test_a_stale_owner_does_not_block(staging: Staging, record: str, free: bool) -> None:
    owner = staging.folder / f"{ONE.hex}.owner"
    owner.write_text(record)
    os.utime(owner, (1, 1))
    assert (staging.claim(ONE) is not None) == free


@pytest.mark.parametrize("staging", ["owners"], indirect=True)
def test_an_owner_on_another_host_is_believed_while_its_part_grows(staging: Staging) -> None:
    owner = staging.folder / f"{ONE.hex}.owner"
    owner.write_text("another-host\n1\n1\n")
    os.utime(owner, (1, 1))
    staging.part(ONE).write_bytes(b"x")
    assert staging.claim(ONE) is None
    os.utime(staging.part(ONE), (1, 1))
    assert staging.claim(ONE) is not None


def test_two_thousand_claims_need_one_descriptor(staging: Staging) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    claims = [staging.claim(Digest(Algorithm.GIT_SHA1, f"{number:040x}"[::-1])) for number in range(2000)]
    assert all(claims)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
    for claim in claims:
        assert claim
        claim.release()
    assert list(staging.folder.iterdir()) == []


def test_owners_are_recorded_only_where_locks_are_not_enough(staging: Staging, request: pytest.FixtureRequest) -> None:
    claim = staging.claim(ONE)
    assert claim
    assert len(list(staging.folder.iterdir())) == (request.node.callspec.params["staging"] == "owners")


def test_discard_removes_all_that_lies_beside_a_part(staging: Staging) -> None:
    claim = staging.claim(ONE)
    for path in (staging.part(ONE), staging.control(ONE), staging.journal(ONE), staging.part(TWO)):
        path.write_bytes(b"x")
    staging.discard(ONE)
    staging.discard(ONE)
    assert claim
    claim.release()
    assert [path.name for path in staging.folder.iterdir()] == [TWO.hex]


def test_litter_is_what_serves_nobody(staging: Staging) -> None:
    three = "3" * 40
    mine = processes.scratch_name()
    dead = mine.replace(f"-{os.getpid()}-", "-4194305-")
    new, old = (f"scratch-{number:08x}-1-1-{number:016x}" for number in range(2))  # of another host
    for name in (ONE.hex, f"{ONE.hex}.aria2", f"{TWO.hex}.aria2", f"{TWO.hex}.journal", mine, dead, new, old):
        (staging.folder / name).write_bytes(b"x")
    (staging.folder / f"{three}.owner").write_text(f"{os.uname().nodename}\n4194305\n1\n")
    (staging.folder / f"{TWO.hex}.owner").write_text("")
    asks, asked = (f"{digit * 40}.meta4" for digit in "45")  # what another run has its aria2c write here
    for name in (asks, asked):
        (staging.folder / name).write_bytes(b"x")
    for name in (old, f"{TWO.hex}.owner", asked):
        os.utime(staging.folder / name, (1, 1))
    litter = {f"{TWO.hex}.owner", dead, old, f"{three}.owner", asked}
    assert {path.name for path in staging.litter()} == litter
    assert staging.sweep() == 5
    # Without its owner, what lay beside a part that is not there is litter, too.
    assert staging.sweep() == 2
    assert {path.name for path in staging.folder.iterdir()} == {ONE.hex, f"{ONE.hex}.aria2", mine, new, asks}
    assert staging.sweep() == 0


def test_a_users_own_file_is_no_litter(tmp_path: Path) -> None:
    for name in ("scratch-notes.txt", "scratch-", "scratch-00000000-1-1-0.txt"):
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / processes.scratch_name().replace(f"-{os.getpid()}-", "-4194305-")).write_text("left")
    sweep_scratch(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("staging", ["owners"], indirect=True)
def test_a_full_disk_while_claiming_is_said_and_leaves_the_part_free(
    staging: Staging, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(NoSpaceError):
            staging.claim(ONE)
    assert staging.claim(ONE) is not None


def test_held_is_what_a_part_takes_up(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    staging.folder.mkdir(exist_ok=True)
    digest = Digest(Algorithm.SHA256, "ab" * 32)
    assert staging.held(digest) == 0
    part = staging.part(digest)
    with part.open("wb") as file:
        file.truncate(64 << 20)
    assert staging.held(digest) < 1 << 20, "a hole takes up nothing"
    with part.open("r+b") as file:
        file.write(b"x" * (8 << 20))
        os.fsync(file.fileno())
    assert 8 << 20 <= staging.held(digest) < 10 << 20
