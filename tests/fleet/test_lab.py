"""The lab itself: lines are as slow as they say, sides are apart, and nothing stays when its process is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.keeper import members
from tests.fleet.lab import ROOT, Lab, Node, egress
from tests.hub.models import one_big
from tests.hub.repos import Repo

MIB = 1 << 20
GROUP = "224.0.0.251"
HEAR = f"""
import socket, struct
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(("", 5353))
member = struct.pack("4s4s", socket.inet_aton("{GROUP}"), bytes(4))
heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
print("listening", flush=True)
print(heard.recv(100).decode())
"""
SAY = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('{GROUP}', 5353))"
OPEN = """
import json, sys, time
from tests.fleet.lab import Lab
with Lab.open(2) as lab:
    running = lab.nodes[0].start("sh", "-c", "echo ready; exec sleep 1000")
    while not running.stdout.read_text():
        time.sleep(0.01)
    print(json.dumps([running.pid, lab.origin.pid, str(lab.folder)]), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.open(4) as lab:
        yield lab


def reaches(a: Node, b: Node) -> tuple[bool, bool]:
    """By IPv4 and by IPv6, within seconds: who was away is looked for once a second."""
    words = ("ping", "-c", "1", "-W", "4")
    pings = [a.start(*words, b.address), a.start(*words, "-6", b.address6)]
    return (pings[0].wait().code == 0, pings[1].wait().code == 0)


def runs(pid: int) -> bool:
    """False for a process that waits for its parent to ask how it ended, too."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_what_the_origin_sent_is_counted_and_no_faster_than_its_line(lab: Lab, tmp_path: Path) -> None:
    lab.origin.shape(200e6)
    for node in lab.nodes:
        node.shape(1e9)
    repo = Repo("model", "org/m", one_big(8 * MIB, tmp_path))
    with lab.hub([repo]) as hub:
        url = f"{hub.url}/org/m/resolve/main/model.safetensors"
        began = time.monotonic()
        running = [node.start("curl", "-sSfL", "-o", "model", url) for node in lab.nodes]
        assert all(each.wait().code == 0 for each in running)
        assert time.monotonic() - began >= 4 * 8 * MIB * 8 / 200e6 * 0.9
        assert {(node.folder / "model").read_bytes() for node in lab.nodes} == {
            (tmp_path / "big-0-8388608.bin").read_bytes()
        }
        assert egress(hub, repo) == pytest.approx(4, abs=0.01)
    _, sent = lab.origin.wire()
    assert 4 * 8 * MIB < sent < 4 * 8 * MIB * 1.1


def test_a_machine_is_slow_in_both_directions(lab: Lab) -> None:
    slow, other = lab.nodes[:2]
    (slow.folder / "some").write_bytes(bytes(MIB))
    (other.folder / "some").write_bytes(bytes(MIB))
    slow.shape(8e6)
    curl = ("curl", "-sSf", "--retry", "9", "--retry-connrefused", "-o", os.devnull, "-w", "%{time_total}")
    for sender, receiver in ((slow, other), (other, slow)):
        serving = sender.start(sys.executable, "-m", "http.server", "8000")
        assert float(receiver.run(*curl, f"http://{sender.address}:8000/some")) >= 8 * MIB / 8e6 * 0.8
        serving.kill()
    slow.shape(1e9)


def test_a_message_to_many_comes_to_all(lab: Lab) -> None:
    hearing = [node.start(sys.executable, "-uc", HEAR) for node in lab.nodes[1:]]
    while not all("listening" in each.stdout.read_text() for each in hearing):
        time.sleep(0.01)
    lab.nodes[0].run(sys.executable, "-c", SAY)
    assert [each.wait(10).stdout.split() for each in hearing] == [["listening", "hello"]] * 3


def test_sides_are_apart_and_the_origin_is_near_to_all(lab: Lab) -> None:
    one, two, three, four = lab.nodes
    lab.part((one, two), (three, four))
    assert [reaches(one, two), reaches(three, four), reaches(one, three)] == [
        (True, True),
        (True, True),
        (False, False),
    ]
    assert [reaches(node, lab.origin) for node in lab.nodes] == [(True, True)] * 4
    lab.join()
    assert reaches(one, three) == (True, True)
    one.unplug()
    assert [reaches(one, two), reaches(one, lab.origin)] == [(False, False)] * 2
    lab.join()
    assert [reaches(one, two), reaches(one, lab.origin)] == [(True, True)] * 2


def test_machines_pull_each_by_itself(lab: Lab) -> None:
    repo = Repo("model", "org/m", {"config.json": b"{}", "model.safetensors": b"w" * 3 * MIB})
    # What is on its way when a range changes hands is sent for nothing: one connection has nobody to give it to.
    words = ("pull", repo.name, "--no-mirrors", "--json", "--connections", "1")
    with lab.hub([repo]) as hub:
        running = [node.glm_aria(*words, root=hub.url) for node in lab.nodes]
        ended = [each.wait() for each in running]
        assert [each.code for each in ended] == [0] * 4, ended[0].stderr
        assert [each.document["status"] for each in ended] == ["success"] * 4
        assert not any(node.wrong(repo) for node in lab.nodes)
        assert egress(hub, repo) == pytest.approx(4, abs=0.01)
        assert all(each.cpu_s > 0 for each in ended)


def test_a_command_has_a_home_of_its_own(lab: Lab) -> None:
    ended = lab.nodes[0].start("sh", "-c", 'echo "{\\"home\\": \\"$HOME\\"}"; exit 3').wait()
    assert (ended.code, ended.document) == (3, {"home": str(lab.folder / "node-1")})


def test_all_ends_with_the_process_that_opened_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", OPEN]
    opener = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert opener.stdout
    running, origin, folder = json.loads(opener.stdout.readline())
    assert running not in members([origin])
    assert runs(running)
    opener.kill()
    opener.communicate()
    deadline = time.monotonic() + 30
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(folder).exists()
    assert not [pid for pid in (running, origin) if runs(pid)]
