"""Clients beside every trouble of a source: the file is right, or the client fails and says so.

`tests/clients/test_serve.py` has all clients, and the long form of this.
"""

from __future__ import annotations

import hashlib
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.hub.wire import Reply, Request
from tests.machine.machine import Machine, until
from tests.serve.conftest import Users, assert_unseen
from tests.serve.servers import Client, Server, together

BIG = "big.safetensors"
FILES: dict[str, Any] = {BIG: generate(12 << 20, 3), "config.json": b"{}"}
RIGHT = hashlib.sha256(FILES[BIG]).hexdigest()
LIE = Fault("substitute", BIG)


@dataclass(frozen=True)
class Got:
    """How a client ended, and the file that it has then; None for no file under its own name."""

    code: int
    digest: str | None
    said: str


def digest_of(user: Client, done: subprocess.CompletedProcess[str], pattern: str) -> Got:
    found = [path for path in user.folder.glob(pattern) if path.is_file()]
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest() if found else None
    return Got(done.returncode, digest, done.stdout)


def by_hf(user: Client) -> Got:
    return digest_of(user, user.hf("download", "org/m", BIG), f"hf/hub/models--org--m/snapshots/*/{BIG}")


def by_snapshot_download(user: Client) -> Got:
    done = user.python("import huggingface_hub as h; h.snapshot_download('org/m')")
    return digest_of(user, done, f"hf/hub/models--org--m/snapshots/*/{BIG}")


def by_curl(user: Client) -> Got:
    return digest_of(user, user.run("curl", "-sS", "--fail", "-C", "-", "-O", url(user)), BIG)


def by_wget(user: Client) -> Got:
    return digest_of(user, user.run("wget", "-q", "-c", "--tries=3", url(user)), BIG)


def by_aria2c(user: Client) -> Got:
    return digest_of(user, user.run("aria2c", "-q", "-c", url(user)), BIG)


def url(user: Client) -> str:
    return f"{user.url}/org/m/resolve/main/{BIG}"


Fetch = Callable[[Client], Got]


def of(*fetches: Fetch) -> pytest.MarkDecorator:
    """The clients that a test runs with."""
    return pytest.mark.parametrize("fetch", fetches, ids=lambda fetch: fetch.__name__)


clients = of(by_hf, by_curl)
"""One that starts over, and one that continues whatever lies there."""
all_clients = of(by_hf, by_snapshot_download, by_curl, by_wget, by_aria2c)


def held(got: Got) -> None:
    """The one rule: nobody ends well with a wrong file."""
    assert got.code != 0 or got.digest == RIGHT, got


@pytest.fixture
def lying(machine: Machine, hub: LoopbackHub) -> Any:
    """A server with a mirror that lies about the large file, and is as fast as the root."""
    mirror = hub.mirror("liar", faults=[LIE])
    hub.faces["cdn"].shape = Shape(total_rate=6e6)
    mirror.face.shape = Shape(total_rate=6e6)
    made = Server.start(machine, "--mirror", mirror.url)
    yield made
    made.stop()
    assert_unseen(machine, hub)


@clients
def test_a_mirror_that_lies(fetch: Fetch, lying: Server, users: Users) -> None:
    user = users(lying)
    first = fetch(user)
    held(first)
    again = fetch(user)
    held(again)
    assert again.digest == RIGHT, again


@all_clients
@pytest.mark.sampled(2)
def test_nobody_has_the_right_bytes(fetch: Fetch, hub: LoopbackHub, server: Server, users: Users) -> None:
    hub.fault(LIE, face="cdn")
    user = users(server)
    got = fetch(user)
    assert got.code != 0
    hub.clear_faults()
    again = fetch(user)
    held(again)


@clients
@pytest.mark.parametrize("kind", ["truncated", "reset", "stall"])
@pytest.mark.sampled(2)
def test_a_cut_and_a_stall(kind: str, fetch: Fetch, hub: LoopbackHub, server: Server, users: Users) -> None:
    hub.fault(Fault(kind, BIG, times=2), face="cdn")
    got = fetch(users(server))
    assert (got.code, got.digest) == (0, RIGHT), got


@clients
def test_a_root_that_is_busy(fetch: Fetch, hub: LoopbackHub, server: Server, users: Users) -> None:
    hub.fault(Fault("rate_limited", "*", times=3, retry_after_s=1))
    got = fetch(users(server))
    held(got)
    assert fetch(users(server)).digest == RIGHT


def test_questions_without_an_answer_hold_up_nobody_else(
    hub: LoopbackHub, server: Server, users: Users, repo: Repo
) -> None:
    """What is here is given by its commit, however many wait for the root about something else."""
    user, path = users(server), f"/org/m/resolve/{repo.head}/config.json"
    right = user.get(path)
    asked, may_answer = threading.Semaphore(0), threading.Event()

    def keep(_: Request, reply: Reply) -> Reply:
        asked.release()
        may_answer.wait(60)
        return reply

    hub.rewrite(keep)
    asking = [user.start("curl", "-sS", f"{user.url}/org/other-{number}/resolve/main/a") for number in range(20)]
    assert asked.acquire(timeout=20)
    assert user.get(path) == right
    may_answer.set()
    together(asking)


@clients
def test_a_root_that_goes_away_in_the_middle(fetch: Fetch, machine: Machine, hub: LoopbackHub, users: Users) -> None:
    """A mirror has the rest."""
    mirror = hub.mirror("near")
    hub.faces["cdn"].shape = Shape(total_rate=4e6)
    mirror.face.shape = Shape(total_rate=4e6)
    server = Server.start(machine, "--mirror", mirror.url)
    user = users(server)
    head = users(server).start("curl", "-sS", "-o", "got", url(user))
    assert until(lambda: hub.log.bytes_sent(file=BIG) > 1 << 20, 20)
    hub.stop_face("hub")
    hub.stop_face("cdn")
    got = fetch(user)
    head.communicate(timeout=60)
    server.stop()
    assert (got.code, got.digest) == (0, RIGHT), got


def test_a_client_that_has_wrong_bytes_starts_over(lying: Server, hub: LoopbackHub, users: Users) -> None:
    """Its first request is broken off; the second, for the rest, is answered with the whole."""
    user = users(lying)
    agent = "huggingface-cli/2.4.0; hf_hub/2.4.0"
    done = user.run("curl", "-sS", "-N", "-A", agent, "-o", "got", url(user))
    if done.returncode == 0:
        pytest.skip("the lie was found before a byte of it went out")
    size = (user.folder / "got").stat().st_size
    assert 0 < size < len(FILES[BIG])
    words = ("-A", agent, "-r", f"{size}-", "-D", "head", "--retry", "20", "--fail")
    done = user.run("curl", "-sS", *words, "-o", "rest", url(user))
    assert done.returncode == 0, done.stdout
    assert (user.folder / "rest").read_bytes() == FILES[BIG]
