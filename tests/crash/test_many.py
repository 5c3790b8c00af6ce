"""Many processes pull one model into one cache at once, with locks that work and with locks that everyone gets."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.crash.conftest import MakeHub
from tests.crash.readers import litter
from tests.hub.content import MIB, Content, generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.fixtures import wanted
from tests.machine.machine import Machine, content

NO_LOCKS = (sys.executable, "-I", "-S", str(Path(__file__).with_name("seccomp.py")), "nolocks", "--")
Record = Callable[[str, object], None]


@pytest.fixture
def repo() -> Repo:
    small: dict[str, bytes | Path | Content] = {f"sub/{number}.json": b"%d" % number for number in range(6)}
    return Repo("model", "org/shared", {"model.safetensors": generate(16 * MIB, 1), **small})


@pytest.fixture
def count(is_long: bool) -> int:
    return 32 if is_long else 8


def pull_at_once(machine: Machine, hub: LoopbackHub, repo: Repo, count: int, under: Sequence[str] = ()) -> float:
    """Returns how often a blob was fetched, on average over their bytes."""
    command = ("pull", "--root", hub.url, "--json", "org/shared")
    running = [machine.start(*command, under=under) for _ in range(count)]
    for one in running:
        one.end(180).ended(0)
    assert content(machine.snapshot("model/org/shared", repo.head)) == wanted(repo)
    hub.log.settle()
    answers = [seen for status in (200, 206) for seen in hub.log.requests(method="GET", status=status)]
    assert machine.aria2_ended()
    # The last to end swept while others were still at work, so one more run does.
    machine.run(*command).ended(0)
    assert litter(machine) == []
    size = sum(len(data) for data in wanted(repo).values())
    return sum(seen.bytes_sent for seen in answers if seen.file is not None) / size


def test_many_processes_fetch_each_blob_once(
    machine: Machine, make_hub: MakeHub, repo: Repo, count: int, record_property: Record
) -> None:
    hub = make_hub(repo, cdn_shape=Shape(total_rate=24 * MIB))
    times = pull_at_once(machine, hub, repo, count)
    print(f"{count} processes: each blob fetched {times:.2f} times")
    record_property(f"figure:{count} processes on one model, fetches of a blob", f"{times:.2f}")
    assert times <= 1.1


def test_many_processes_without_locks(
    machine: Machine, make_hub: MakeHub, repo: Repo, count: int, record_property: Record
) -> None:
    """flock and fcntl do nothing and say that it worked: what is placed is right all the same."""
    hub = make_hub(repo, cdn_shape=Shape(total_rate=24 * MIB))
    times = pull_at_once(machine, hub, repo, count, NO_LOCKS)
    print(f"{count} processes without locks: each blob fetched {times:.2f} times")
    record_property(f"figure:{count} processes where every lock is granted, fetches of a blob", f"{times:.2f}")


def test_the_locks_are_really_gone(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    import subprocess

    script = (
        "import fcntl, struct, sys\n"
        "one, other = (open(sys.argv[1], 'a') for _ in range(2))\n"
        "for file in (one, other):\n"
        "    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
        "    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 1, 0))\n"
        "print('both')\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "lock")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert subprocess.run([*NO_LOCKS, *command], capture_output=True, check=False).stdout == b"both\n"
