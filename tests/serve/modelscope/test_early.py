"""Bytes before their proof, for the real client of ModelScope: they come, and none of them ends as a wrong file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from tests.clients.installs import python_of
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.hub.shaping import Shape
from tests.machine.machine import Machine, until
from tests.serve.conftest import Users
from tests.serve.servers import Client, Server, together

BIG = "model.safetensors"
SIZE = 12 * MIB
FILES = {BIG: generate(SIZE, 5), "config.json": b"{}"}
FACES = ("cdn", "modelscope-cdn", "near")
SLOW = Shape(total_rate=1.5e6)
PARTS = {
    "MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB": "1",
    "MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS": "4",
    "MODELSCOPE_DOWNLOAD_PART_SIZE_MB": "2",
}
GET = "import modelscope_hub as m; print(m.HubApi().download_file('org/m', 'model', {path!r}, local_dir='out'{more}))"


@pytest.fixture
def server(machine: Machine, hub: LoopbackHub) -> Iterator[Server]:
    hub.mirror("near")
    scope = hub.modelscope()
    made = Server.start(machine, "--mirror", hub.faces["near"].url, "--mirror", f"modelscope+{scope.url}")
    yield made
    made.stop()


def slow(hub: LoopbackHub, shape: Shape = SLOW) -> None:
    for face in FACES:
        hub.faces[face].shape = shape


@contextmanager
def half_way(hub: LoopbackHub) -> Iterator[None]:
    """Inside, half of the file has come, and the rest does not."""
    with ExitStack() as held:
        assert hub.log.wait_for(lambda log: log.bytes_sent(file=BIG) > SIZE // 2, timeout_s=60)
        for face in FACES:
            held.enter_context(hub.held(face))
        yield


def download(user: Client, **env: str):  # type: ignore[no-untyped-def]
    command = str(Path(sys.executable).with_name("modelscope"))
    return user.start(command, "download", "org/m", "--local-dir", "out", MODELSCOPE_ENDPOINT=user.url, **env)


def part(user: Client) -> int:
    """Bytes of the file that the client has written."""
    path = user.folder / "out" / f"{BIG}.incomplete"
    return path.stat().st_size if path.exists() else 0


def is_right(user: Client) -> bool:
    path = user.folder / "out" / BIG
    return path.exists() and path.read_bytes() == FILES[BIG]


def test_it_gets_bytes_while_they_arrive(hub: LoopbackHub, server: Server, users: Users) -> None:
    """Before the whole is proven, and in the cache."""
    slow(hub, Shape(total_rate=2e5))
    user = users(server)
    running = download(user)
    assert until(lambda: part(user) > 0, 60)
    assert not (server.machine.cache / "models--org--m" / "blobs" / sha256(FILES[BIG]).hexdigest()).exists()
    slow(hub, Shape())
    (done,) = together([running])
    assert done.returncode == 0, done.stdout
    assert is_right(user)


@pytest.mark.parametrize("more", ["", f", file_size={SIZE}"], ids=["alone", "with its size"])
@pytest.mark.parametrize("parts", [{}, PARTS], ids=["stream", "parts"])
def test_a_file_of_which_it_has_no_listing(
    parts: dict[str, str], more: str, hub: LoopbackHub, server: Server, users: Users
) -> None:
    """It has no digest but the one in the headers, and joins parts without any."""
    slow(hub)
    hub.fault(Fault("bit_flip", BIG, after_bytes=3 * MIB), face="near")
    user = users(server)
    done = user.python(GET.format(path=BIG, more=more), MODELSCOPE_ENDPOINT=user.url, **parts)
    assert done.returncode == 0, done.stdout
    assert is_right(user)


@pytest.mark.parametrize("parts", [{}, PARTS], ids=["stream", "parts"])
def test_one_that_was_killed_with_wrong_bytes_goes_on(
    parts: dict[str, str], hub: LoopbackHub, server: Server, users: Users
) -> None:
    """What it has kept is wrong, and it asks for the rest when it is run again, without a listing."""
    slow(hub)
    hub.fault(Fault("substitute", BIG), face="near")
    user = users(server)
    running = download(user, **parts)
    until(lambda: part(user) > 2 * MIB, 5 if parts else 30)
    running.kill()
    running.communicate(timeout=10)
    slow(hub, Shape())
    done = user.python(GET.format(path=BIG, more=f", file_size={SIZE}"), MODELSCOPE_ENDPOINT=user.url, **parts)
    assert done.returncode == 0, done.stdout
    assert is_right(user)


def test_one_with_a_downloader_of_its_own_waits(hub: LoopbackHub, server: Server, users: Users) -> None:
    slow(hub)
    hub.fault(Fault("bit_flip", BIG, after_bytes=3 * MIB), face="near")
    user = users(server)
    command = str(python_of("modelscope-1.37").with_name("modelscope"))
    words = ("download", "--model", "org/m", "--local_dir", "out", "--endpoint", user.url)
    running = user.start(command, *words)
    with half_way(hub):
        assert [path for path in (user.folder / "out").rglob(f"{BIG}*") if path.stat().st_size] == []
    (done,) = together([running])
    assert done.returncode == 0, done.stdout
    assert is_right(user)
