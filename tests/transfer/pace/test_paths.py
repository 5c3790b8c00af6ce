"""What the kernel's numbers say of a line."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.system.tcp_info import TcpPath
from orchestrator.transfer.pace.paths import Paths, Signs

FAR = bytes(16)


def path(port: int, *, packets: int, late: int, queue: float = 0.0, least: float = 0.2, peer: bytes = FAR) -> TcpPath:
    return TcpPath(4, port, peer, least, least + queue, 1000 * packets, packets, late)


class Kernel:
    """Gives what it is told to give, at a time that goes on by a second with each look."""

    def __init__(self) -> None:
        self.paths: Sequence[TcpPath] = ()
        self.now = 0.0
        self.asked = 0

    def read(self) -> Sequence[TcpPath]:
        self.asked += 1
        return self.paths

    def clock(self) -> float:
        self.now += 0.5
        return self.now


def signs(before: Sequence[TcpPath], after: Sequence[TcpPath]) -> Signs:
    kernel = Kernel()
    paths = Paths(kernel.read, kernel.clock)
    for kernel.paths in (before, after):
        kernel.now += 60
        paths.look()
    return paths.signs


@pytest.mark.parametrize(
    ("late", "queue", "expected"),
    [
        (0, 0.0, Signs.NONE),
        (0, 0.1, Signs.NONE),  # nothing is lost: the queue may be somebody else's
        (10, 0.0, Signs.LOSES),
        (10, 0.01, Signs.LOSES),
        (10, 0.025, Signs.NONE),  # jitter, or a little queue
        (10, 0.1, Signs.FULL),
    ],
)
def test_loss_without_a_queue_and_with_one(late: int, queue: float, expected: Signs) -> None:
    before = [path(port, packets=100, late=50) for port in range(8)]
    after = [path(port, packets=1100, late=50 + late, queue=queue) for port in range(8)]
    assert signs(before, after) is expected


def test_connections_that_are_new_or_stand_still_say_nothing() -> None:
    assert signs([path(1, packets=100, late=50)], [path(1, packets=100, late=50), path(2, packets=90, late=9)]) is (
        Signs.NONE
    )


def test_each_server_has_a_round_trip_of_its_own() -> None:
    near = b"\1" * 16
    before = [path(1, packets=100, late=0), path(2, packets=100, late=0, least=0.01, peer=near)]
    after = [path(1, packets=900, late=9), path(2, packets=900, late=9, least=0.01, peer=near)]
    assert signs(before, after) is Signs.LOSES
    kernel = Kernel()
    kernel.paths = before
    paths = Paths(kernel.read, kernel.clock)
    paths.look()
    assert paths.round_trip == 0.2
    assert paths.family == 4


def test_asking_takes_a_small_part_of_the_time() -> None:
    kernel = Kernel()
    paths = Paths(kernel.read, kernel.clock)
    for _ in range(20):
        paths.look()
    assert kernel.asked == 1, "each look took half a second"
