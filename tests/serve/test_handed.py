"""A server on the socket that systemd opened, by the real program that does it."""

from __future__ import annotations

import re
import shutil
import signal
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.hub.repos import Repo
from tests.machine.fixtures import MakeHub
from tests.machine.machine import Machine, until
from tests.servers.ports import free_port, listens

ACTIVATE = "systemd-socket-activate"


def test_systemd_opens_the_socket_and_the_first_client_starts_the_server(machine: Machine, make_hub: MakeHub) -> None:
    if shutil.which(ACTIVATE) is None:
        pytest.skip(f"there is no {ACTIVATE}")
    repo = Repo("model", "org/tiny", {"config.json": b"{}\n"})
    make_hub(repo)
    port = free_port()
    words = ("serve", "--root", machine.root, "--no-mirrors", "--listen", "fd://")
    kept = [word for name in machine.env for word in ("-E", name)]
    running = machine.start(*words, under=[ACTIVATE, "-l", f"127.0.0.1:{port}", *kept])
    assert until(lambda: listens(port), 20)
    asked = f"http://127.0.0.1:{port}/org/tiny/resolve/main/config.json"
    with build_opener(ProxyHandler({})).open(asked, timeout=60) as answer:
        assert answer.read() == b"{}\n"
    running.signal(signal.SIGINT)
    ended = running.end(20).ended(0)
    assert f"export HF_ENDPOINT=http://127.0.0.1:{port}\n" in ended.out


def test_without_a_socket_it_says_how_to_get_one(machine: Machine) -> None:
    ended = machine.run("serve", "--listen", "fd://").ended(2)
    assert re.search(r"glm-aria render glm-aria-serve\.socket", ended.err)
