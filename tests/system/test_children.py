"""A child that ends with its parent, at once, also when that is killed."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from orchestrator.aria2.program import find_aria2c
from orchestrator.system.children import TiedChild
from orchestrator.system.processes import started
from tests.servers.ports import free_port

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="SIGIO ends a process on Linux only")

REPOSITORY = Path(__file__).parents[2]
PARENT = """
    import subprocess, sys, threading
    from orchestrator.system.children import TiedChild
    children = []
    # In a thread that ends before its process does.
    thread = threading.Thread(target=lambda: children.append(TiedChild(sys.argv[1:], stdout=subprocess.DEVNULL)))
    thread.start()
    thread.join()
    print(children[0].pid, flush=True)
    sys.stdin.read()
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_it_ends_with_a_parent_that_is_killed() -> None:
    port = free_port()
    options = ("--no-conf", "--enable-rpc", f"--rpc-listen-port={port}", "--quiet", "--enable-dht=false")
    command = [str(find_aria2c()), *options]
    words = [sys.executable, "-c", textwrap.dedent(PARENT), *command]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while not listens(port):
            assert started(child) not in ("", "zombie")
            time.sleep(0.005)
        parent.kill()
        deadline = time.monotonic() + 0.5
        while started(child) not in ("", "zombie"):
            assert time.monotonic() < deadline, "the child outlives its parent"
            time.sleep(0.002)


def test_it_lives_as_long_as_it_likes() -> None:
    with TiedChild(["true"]) as child:
        assert child.wait(5) == 0
    child = TiedChild(["cat"])
    assert child.poll() is None
    child.kill()
    assert child.wait(5) < 0


def test_it_leaves_no_descriptor() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    child = TiedChild(["true"])
    child.wait(5)
    with pytest.raises(FileNotFoundError):
        TiedChild(["/nowhere/at-all"])
    del child
    assert set(Path("/proc/self/fd").iterdir()) == before
