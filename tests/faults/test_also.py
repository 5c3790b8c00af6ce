"""The line below the table: other programs, people at a terminal, and whatever else is on the machine."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.faults.table import Victim
from tests.faults.world import NAME, World
from tests.hub.content import MIB, generate
from tests.hub.faults import Fault
from tests.hub.repos import Repo
from tests.hub.shaping import Shape
from tests.machine.machine import until
from tests.servers.proxy import forward_proxy

pytestmark = pytest.mark.sampled(5)


def slow(world: World) -> World:
    """Give the world a model of 16 MiB that takes a while to arrive."""
    world.repo = Repo("model", NAME, {"big.safetensors": generate(16 * MIB, 8), "config.json": b"{}"})
    world.hub.faces["cdn"].shape = Shape(total_rate=8 * MIB)
    return world


def arrived(world: World, size: int) -> None:
    assert world.hub.log.wait_for(lambda log: log.bytes_sent(face="cdn") > size, 20)


# -- other programs on the cache


def test_huggingface_hub_prunes_during_a_pull(world: World) -> None:
    running = slow(world).machine.start_pull(NAME)
    arrived(world, 4 * MIB)
    pruned = world.machine.hf("cache", "prune", "-y")
    assert pruned.returncode == 0, pruned.stderr
    world.begin()
    world.hub.faces["cdn"].shape = Shape()
    done = world.watch(running)
    # A snapshot that no ref names yet is nobody's to it: what it took away is missed, not passed over.
    world.ended(done, 75 if done.code else 0)
    world.ended(world.pull(), 0)


PLANTED = {
    "the model's folder": ("models--org--m", "", 80),
    "its blobs": ("models--org--m/blobs", "", 80),
    "its snapshots": ("models--org--m/snapshots", "", 80),
    "its refs": ("models--org--m/refs", "", 80),
    "a ref": ("models--org--m/refs/main", "precious", 0),
    "a blob": ("models--org--m/blobs/{blob}", "precious", 0),
    "a snapshot": ("models--org--m/snapshots/{commit}", "", 80),
    "a folder in a snapshot": ("models--org--m/snapshots/{commit}/sub", "", 80),
    "a file in a snapshot": ("models--org--m/snapshots/{commit}/config.json", "precious", 0),
    "the listings": ("models--org--m/trees", "", 80),
}


@pytest.mark.variants("what", PLANTED)
def test_a_planted_symlink_is_not_followed(world: World, what: str) -> None:
    name, target, code = PLANTED[what]
    commit = world.repo.resolve("main")
    assert commit is not None
    blob = world.random.choice(list(commit.files.values())).etag
    path = world.machine.cache / name.format(blob=blob, commit=world.repo.head)
    path.parent.mkdir(parents=True)
    path.symlink_to(world.decoy / target)
    done = world.ended_elsewhere(world.pull(), code, str(path))
    if code == 0:
        world.check_cache(whole=True)
    assert done.code == code


# -- people at a terminal


def test_ctrl_c_twice(world: World) -> None:
    slow(world).begin()
    running = world.machine.start_pull(NAME)
    arrived(world, 4 * MIB)
    running.signal(signal.SIGINT)
    until(lambda: running.process.poll() is not None, world.random.uniform(0, 0.3))
    if running.process.poll() is None:
        running.signal(signal.SIGINT)
    done = running.end()
    assert done.code in (130, -signal.SIGINT)
    assert world.machine.aria2_ended()
    world.hub.faces["cdn"].shape = Shape()
    world.ended(world.pull(), 0)
    assert list(world.machine.stage.iterdir()) == []


def test_a_terminal_that_is_resized(world: World) -> None:
    slow(world).begin()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.cli.main", "pull", "--root", world.hub.url, NAME],
        env={**world.machine.env, "TERM": "xterm"},
        cwd=world.machine.work,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 65536):
                shown.extend(data)
        except OSError:
            return  # what a terminal says when the last program on it has ended

    reader = threading.Thread(target=read)
    reader.start()
    sizes = [(24, 80), (1, 1), (3, 7), (0, 0), (200, 500), (24, 20)]
    try:
        arrived(world, MIB)
        while process.poll() is None:
            rows, columns = world.random.choice(sizes)
            fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            process.send_signal(signal.SIGWINCH)
            until(lambda: process.poll() is not None, 0.05)
    finally:
        process.kill()
        process.wait(10)
        reader.join(10)
        os.close(ours)
    assert process.returncode == 0, shown.decode(errors="replace")
    assert b"Traceback" not in shown
    world.check_cache(whole=True)


# -- redirects that lead away


@pytest.mark.variants("size", ["big", "small"])
def test_a_redirect_to_ftp(world: World, size: str) -> None:
    victim = Victim({"big": "model-1.safetensors", "small": "sub/small.bin"}[size], 0, is_lfs=True)
    world.hub.fault(Fault("redirect", victim.path, location="ftp://127.0.0.1:9/file"))
    world.ended(world.pull(), 76, victim.path)


@pytest.mark.variants("where", ["listing", "big"])
def test_a_redirect_to_an_internal_address(world: World, where: str) -> None:
    path = {"listing": f"/api/models/{NAME}/*", "big": "model-1.safetensors"}[where]
    inside = world.hub.mirror("inside")
    address = world.random.choice(
        [inside.url, inside.url.replace("127.0.0.1", "127.1"), "http://169.254.169.254/latest"]
    )
    world.hub.fault(Fault("redirect", path, location=f"{address}/{NAME}/resolve/{world.repo.head}/{path}"))
    world.hub.faces["hub"].host, world.hub.faces["cdn"].host = "hub.example.test", "cdn.example.test"
    world.machine.root = world.hub.url
    with forward_proxy() as proxy:
        done = world.pull("--proxy", proxy.url)
    world.ended(done, 76, "hub.example.test" if where == "listing" else path)
    assert world.hub.log.requests(face="inside") == [], "the redirect was followed"
    assert "169.254.169.254" not in [host for _, host, _ in proxy.asked]


def test_a_redirect_of_a_small_file_to_an_internal_address_carries_no_secret(world: World) -> None:
    """aria2 follows it once by itself (decision 2), with nothing of the user; the bytes are not believed."""
    path = "sub/small.bin"
    inside = world.hub.mirror("inside")
    target = f"{inside.url}/{NAME}/resolve/{world.repo.head}/config.json"
    world.hub.fault(Fault("redirect", path, location=target))
    world.hub.faces["hub"].host, world.hub.faces["cdn"].host = "hub.example.test", "cdn.example.test"
    world.machine.root = world.hub.url
    with forward_proxy() as proxy:
        world.ended(world.pull("--proxy", proxy.url), 76, path)
    assert world.hub.log.tokens(face="inside") == set()


# -- our aria2c among strangers


def test_the_rpc_secret_cannot_be_guessed(world: World) -> None:
    slow(world).begin()
    world.hub.faces["cdn"].shape = Shape(total_rate=MIB)
    running = world.machine.start_pull(NAME)
    arrived(world, MIB // 2)
    conf = next(world.machine.runtime.rglob("aria2.conf")).read_text()
    (port,) = re.findall(r"rpc-listen-port=(\d+)", conf)
    (secret,) = re.findall(r"rpc-secret=(\S+)", conf)
    assert len(secret) >= 22, "128 bits, whatever the alphabet"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    # aria2 takes its time over each wrong one.
    for guess in ([], ["token:"], ["token:" + secret[:-1]]):
        body = json.dumps({"jsonrpc": "2.0", "id": "x", "method": "aria2.shutdown", "params": guess}).encode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(f"http://127.0.0.1:{port}/jsonrpc", body, timeout=10)
        assert b"Unauthorized" in refused.value.read()
    assert listens_on_loopback_only(int(port))
    running.signal(signal.SIGINT)
    world.ended(world.watch(running), 130)


def listens_on_loopback_only(port: int) -> bool:
    """True when no socket listens on `port` of another address than 127.0.0.1 and ::1 (proc(5), /proc/net/tcp)."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        rows = [line.split() for line in Path(table).read_text().splitlines()[1:]] if Path(table).exists() else []
        found += [
            row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port
        ]
    return bool(found) and set(found) <= {"0100007F", "00000000000000000000000001000000"}


def test_a_foreign_aria2_conf_and_a_netrc(world: World) -> None:
    machine = world.machine
    hook = machine.home / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {machine.home}/hooked\n")
    hook.chmod(0o755)
    events = ("start", "complete", "error", "stop", "pause")
    lines = [*(f"on-download-{event}={hook}" for event in events), "all-proxy=http://127.0.0.1:9", "header=X-Theirs: 1"]
    for folder in (machine.home / ".aria2", machine.home / ".config" / "aria2", machine.folder / "config" / "aria2"):
        folder.mkdir(parents=True)
        (folder / "aria2.conf").write_text("\n".join(lines))
    (machine.home / ".netrc").write_text(
        "machine 127.0.0.1 login me password theirs\ndefault login me password theirs\n"
    )
    (machine.home / ".netrc").chmod(0o600)
    world.ended(world.pull(), 0)
    assert not (machine.home / "hooked").exists()
    for seen in world.hub.log.requests():
        assert "x-theirs" not in seen.headers
        assert seen.authorization in (None, f"Bearer {machine.token}")
