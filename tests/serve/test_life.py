"""The size of the cache behind a server: what makes room for what, and what a client is told where nothing may."""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.hub.content import generate
from tests.hub.loopback import LoopbackHub
from tests.hub.repos import Repo
from tests.machine.machine import Machine
from tests.serve.admin.test_commands import of
from tests.serve.conftest import Users
from tests.serve.servers import Server

MIB = 1 << 20
FILES = {"model.safetensors": generate(4 * MIB, 1)}
OTHERS = {name: {"model.safetensors": generate(4 * MIB, seed)} for seed, name in enumerate(("org/b", "org/c"), 2)}


def path(name: str) -> str:
    return f"/{name}/resolve/main/model.safetensors"


def is_here(machine: Machine, name: str) -> bool:
    """Whether the cache has the bytes of a model."""
    folder = machine.cache / f"models--{name.replace('/', '--')}" / "blobs"
    return folder.is_dir() and any(folder.iterdir())


def age(machine: Machine, name: str, seconds: float) -> None:
    """Let the last use of a model be so long ago, for a server that starts after this."""
    (note,) = (machine.hf_home / "glm-aria" / "on-demand" / f"models--{name.replace('/', '--')}").iterdir()
    os.utime(note, (time.time() - seconds,) * 2)


@pytest.fixture
def full(machine: Machine, repo: Repo, hub: LoopbackHub, users: Users) -> Machine:
    """A cache with org/m and org/b that clients of an earlier server asked for, org/m longer ago."""
    for name, files in OTHERS.items():
        hub.add(Repo("model", name, files))
    server = Server.start(machine, "--no-mirrors")
    for name in ("org/m", "org/b"):
        users(server).get(path(name))
    server.stop()
    age(machine, "org/m", 3000)
    age(machine, "org/b", 2000)
    return machine


def test_the_model_that_was_unused_longest_makes_room(full: Machine, users: Users) -> None:
    server = Server.start(full, "--no-mirrors", "--max-size", "10M", "--progress", "json")
    user = users(server)
    assert user.get(path("org/c")) == OTHERS["org/c"]["model.safetensors"]
    assert not is_here(full, "org/m")
    assert is_here(full, "org/b")
    assert user.get(path("org/m")) == FILES["model.safetensors"]
    assert '"event":"evicted"' in server.stop().err.replace(" ", "")
    assert full.run("verify").code == 0


def test_a_model_that_somebody_reads_stays_and_its_bytes_are_right(full: Machine, users: Users) -> None:
    server = Server.start(full, "--no-mirrors", "--max-size", "10M")
    parts = urlsplit(server.url)
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect((parts.hostname, parts.port))
        reader.sendall(f"GET {path('org/m')} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        got = reader.recv(1000)
        assert users(server).get(path("org/c")) == OTHERS["org/c"]["model.safetensors"]
        assert is_here(full, "org/m")
        assert not is_here(full, "org/b")
        while data := reader.recv(1 << 16):
            got += data
    assert got.partition(b"\r\n\r\n")[2] == FILES["model.safetensors"]
    server.stop()


def test_what_was_pulled_stays_and_the_client_is_told_why_there_is_no_room(full: Machine, users: Users) -> None:
    for name in ("org/m", "org/b"):
        full.pull(name, "--no-mirrors").ended(0)
    server = Server.start(full, "--no-mirrors", "--max-size", "10M")
    user = users(server)
    done = user.run("curl", "-sS", "-i", server.url + path("org/c"))
    assert " 507 " in done.stdout.splitlines()[0]
    assert "serve.max_size" in done.stdout
    hf = user.hf("download", "org/c")
    assert hf.returncode != 0
    assert is_here(full, "org/m")
    assert is_here(full, "org/b")
    assert not is_here(full, "org/c")
    assert not [one for one in (full.hf_home / "glm-aria" / "stage").iterdir() if one.stat().st_size]
    server.stop()


def test_commands_of_the_user(full: Machine, users: Users) -> None:
    server = Server.start(full, "--no-mirrors")
    user = users(server)
    word = f"Authorization: Bearer {of(full).token}"

    def post(call: str, ref: str) -> str:
        url = f"{server.url}/api/admin/{call}"
        body = f'{{"ref":"{ref}"}}'
        return user.run("curl", "-sS", "-o", "got", "-w", "%{http_code}", "-H", word, "-d", body, url).stdout

    assert post("pin", "org/m") == "200"
    assert post("evict", "org/m") == "409"
    assert post("unpin", "org/m@main") == "200"
    assert post("unpin", "org/m") == "200"
    assert post("evict", "org/m@main") == "200"
    assert not is_here(full, "org/m")
    assert post("evict", "org/m") == "404"
    assert post("evict", "..") == "400"
    assert user.get(path("org/m")) == FILES["model.safetensors"]
    server.stop()
    assert full.run("cache", "gc", "--yes").code == 0
