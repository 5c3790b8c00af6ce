"""The emulator does what it is asked: held by ping, by numbered packets, and by the kernel's own TCP."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.lines.emulator import CLIENT, Lines, Server, Shape

TRAFFIC = Path(__file__).with_name("traffic.py")


def ping(lines: Lines, server: Server, count: int = 20) -> tuple[float, float]:
    """The share that was lost, and the shortest round trip in seconds (0 when none came back)."""
    words = [*lines.at_client, "ping", "-q", "-c", str(count), "-i", "0.02", "-W", "2", server.address]
    text = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    lost, shortest = re.search(r"([\d.]+)% packet loss", text), re.search(r"= ([\d.]+)/", text)
    assert lost
    return float(lost[1]) / 100, float(shortest[1]) / 1000 if shortest else 0.0


def sent_through(lines: Lines, server: Server, count: int, rate: float) -> list[int]:
    """The numbers of the packets that came to the client, of `count` from a server at `rate` bits per second."""
    receiver = subprocess.Popen(
        [*lines.at_client, sys.executable, str(TRAFFIC), "receive", "1.5"], stdout=subprocess.PIPE, text=True
    )
    assert receiver.stdout
    try:
        assert receiver.stdout.readline() == "listening\n"
        words = [*server.within, sys.executable, str(TRAFFIC), "send", CLIENT, str(count), repr(rate)]
        subprocess.run(words, check=True)
        return [int(number) for number in json.loads(receiver.communicate(timeout=60)[0])]
    finally:
        receiver.kill()
        receiver.wait()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.11])
def test_a_round_trip_takes_the_delay_of_both_ways(lines: Lines, delay: float) -> None:
    lines.shape(0, Shape(delay_s=delay))
    lost, shortest = ping(lines, lines.servers[0])
    assert lost == 0
    assert 2 * delay <= shortest <= 2 * delay + 0.005


def test_packets_are_lost_in_runs_and_as_many_as_asked(lines: Lines) -> None:
    lines.shape(0, Shape(loss=0.02, run=3))
    count = 20_000
    came = sent_through(lines, lines.servers[0], count, 60e6)
    gaps = [after - before - 1 for before, after in pairwise([-1, *came, count])]
    runs = [gap for gap in gaps if gap]
    assert 0.013 <= sum(runs) / count <= 0.027
    assert 2 <= sum(runs) / len(runs) <= 4


def test_jitter_keeps_the_order(lines: Lines) -> None:
    lines.shape(0, Shape(delay_s=0.01, jitter_s=0.03))
    came = sent_through(lines, lines.servers[0], 500, 2e6)
    assert came == list(range(500))


def test_a_full_queue_drops_what_is_too_much(lines: Lines) -> None:
    lines.shape(0, Shape(rate=8e6, queue_s=0.05))
    came = sent_through(lines, lines.servers[0], 3000, 12e6)
    assert 0.27 <= 1 - len(came) / 3000 <= 0.36


def test_a_line_that_is_stopped_passes_nothing_until_it_is_let_go(lines: Lines) -> None:
    lines.stop(0)
    assert ping(lines, lines.servers[0], 5) == (1.0, 0.0)
    lines.stop(0, dead=False)
    assert ping(lines, lines.servers[0], 5)[0] == 0


def test_connections_that_went_black_stay_so_and_new_ones_pass(lines: Lines) -> None:
    server = lines.servers[0]
    serve = (
        "import socket\ns = socket.create_server(('0.0.0.0', 5001))\nprint('up', flush=True)\n"
        "held = []\nwhile True: held.append(s.accept()[0]); held[-1].send(b'x')"
    )
    listening = subprocess.Popen([*server.within, sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True)
    ask = (
        "import socket, sys\ndef new(): return socket.create_connection((sys.argv[1], 5001), 5)\n"
        "old = new(); old.recv(1); print('got', flush=True); sys.stdin.readline()\n"
        "old.send(b'x'); fresh = new(); print(fresh.recv(1).decode()); old.settimeout(1)\n"
        "try: old.shutdown(1); old.recv(1); print('alive')\n"
        "except TimeoutError: print('black')"
    )
    words = [*lines.at_client, sys.executable, "-c", ask, server.address]
    try:
        assert listening.stdout
        assert listening.stdout.readline() == "up\n"
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            assert asking.stdout
            assert asking.stdin
            assert asking.stdout.readline() == "got\n"
            lines.blacken(0)
            assert asking.communicate("\n", timeout=20)[0].split() == ["x", "black"]
    finally:
        listening.kill()
        listening.wait()


def test_lines_share_the_access_line(make_lines: Callable[[int], Lines]) -> None:
    lines = make_lines(2)
    lines.shape(None, Shape(rate=8e6, queue_s=0.05))
    for number in (0, 1):
        lines.shape(number, Shape(rate=8e6, delay_s=0.001 * number, queue_s=0.05))
    for server in lines.servers:
        subprocess.run([*server.within, sys.executable, str(TRAFFIC), "send", CLIENT, "1", "1e6"], check=True)
    words = [sys.executable, str(TRAFFIC), "send", CLIENT, "1000", "7.5e6"]
    sending = [subprocess.Popen([*server.within, *words]) for server in lines.servers]
    assert [process.wait(30) for process in sending] == [0, 0]
    found = lines.stats()
    assert found["0.down"]["overflowed"] + found["1.down"]["overflowed"] == 0
    assert 0.4 <= found["access.down"]["overflowed"] / 2000 <= 0.5


def test_one_cubic_connection_obeys_the_law_of_loss(lines: Lines) -> None:
    """Mathis' law: a connection brings MSS / RTT * 1.22 / sqrt(p), however fast the line is."""
    shape = Shape(rate=100e6, delay_s=0.02, loss=0.01, run=1)
    lines.shape(0, shape)
    server = lines.servers[0]
    serve = (
        "import socket, time\ns = socket.create_server(('0.0.0.0', 5001))\nprint('up', flush=True)\nc = s.accept()[0]\n"
        "c.setsockopt(6, 13, b'cubic')\nend = time.monotonic() + 8\nwhile time.monotonic() < end: c.send(bytes(65536))"
    )
    read = (
        "import socket, sys, time\nc = socket.create_connection((sys.argv[1], 5001))\nn, begin = 0, time.monotonic()\n"
        "while data := c.recv(1 << 16):\n    n += len(data) if time.monotonic() - begin > 2 else 0\nprint(n / 6)"
    )
    with subprocess.Popen([*server.within, sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        assert serving.stdout.readline() == "up\n"
        words = [*lines.at_client, sys.executable, "-c", read, server.address]
        rate = float(subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout)
    law = 1448 / shape.round_trip_s * 1.22 / 0.01**0.5
    assert 0.4 * law <= rate <= 2 * law
    assert rate * 8 < shape.rate / 2
