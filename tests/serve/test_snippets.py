"""Small ranges of files that are not here: they cost what was asked for, and come from the root alone."""

from __future__ import annotations

import json
import struct
import sys
from typing import Any

from tests.hub.content import generate
from tests.hub.faults import Fault
from tests.hub.loopback import LoopbackHub
from tests.machine.machine import Machine
from tests.serve.conftest import Users
from tests.serve.servers import Server, together

MIB = 1 << 20
SIZE = 32 * MIB
BIG = "model.safetensors"
HEADER = json.dumps({"weight": {"dtype": "F32", "shape": [SIZE // 4], "data_offsets": [0, SIZE]}}).encode()
CONTENT = struct.pack("<Q", len(HEADER)) + HEADER + generate(SIZE, 5)
FILES: dict[str, Any] = {"config.json": b"{}", BIG: CONTENT}

ASKS_FOR_A_HEADER = """
import huggingface_hub as h
found = h.get_safetensors_metadata("org/m")
print(found.parameter_count)
"""
READS_THE_END = f"""
import huggingface_hub as h
with h.HfFileSystem().open("org/m/{BIG}", "rb", block_size=4096) as file:
    file.seek(-10000, 2)
    print(file.read().hex())
"""


def sent(hub: LoopbackHub) -> int:
    """The bytes of large files that the hub's faces sent."""
    hub.log.settle()
    return sum(seen.bytes_sent for seen in hub.log.requests(method="GET") if seen.file == BIG)


def test_the_header_of_a_safetensors_file_costs_a_header(server: Server, hub: LoopbackHub, users: Users) -> None:
    done = together([users(server).start(sys.executable, "-c", ASKS_FOR_A_HEADER) for _ in range(3)])
    for one in done:
        assert one.returncode == 0, one.stdout
        assert str(SIZE // 4) in one.stdout
    assert 100_000 <= sent(hub) <= 110_000


def test_the_end_of_a_file_is_read_through_a_file_system(server: Server, hub: LoopbackHub, users: Users) -> None:
    done = users(server).python(READS_THE_END)
    assert done.returncode == 0, done.stdout
    assert CONTENT[-10000:].hex() in done.stdout
    assert 10_000 <= sent(hub) <= 11_000


def test_who_wants_more_than_a_little_gets_the_proven_file(server: Server, hub: LoopbackHub, users: Users) -> None:
    user = users(server)
    for start in range(0, 6 * MIB, MIB):
        got = user.get(f"/org/m/resolve/main/{BIG}", "-r", f"{start}-{start + MIB - 1}")
        assert got == CONTENT[start : start + MIB]
    assert sent(hub) > SIZE


def test_a_large_range_is_proven(server: Server, hub: LoopbackHub, users: Users) -> None:
    assert users(server).get(f"/org/m/resolve/main/{BIG}", "-r", f"0-{5 * MIB - 1}") == CONTENT[: 5 * MIB]
    assert sent(hub) >= SIZE


def test_no_mirror_sends_unproven_bytes(machine: Machine, hub: LoopbackHub, users: Users) -> None:
    mirror = hub.mirror("liar", faults=(Fault("substitute", BIG),))
    server = Server.start(machine, "--mirror", mirror.url)
    assert users(server).get(f"/org/m/resolve/main/{BIG}", "-r", "0-99999") == CONTENT[:100_000]
    hub.log.settle()
    assert not [seen for seen in hub.log.requests(method="GET") if seen.file == BIG and seen.face.startswith("liar")]
    server.stop()


def test_where_the_root_cannot_send_them_a_mirror_sends_the_file(
    machine: Machine, hub: LoopbackHub, users: Users
) -> None:
    mirror = hub.mirror("near")
    server = Server.start(machine, "--mirror", mirror.url)
    user = users(server)
    assert user.get("/org/m/resolve/main/config.json") == b"{}"
    hub.stop_face("hub")
    assert user.get(f"/org/m/resolve/main/{BIG}", "-r", "0-99999") == CONTENT[:100_000]
    server.stop()
