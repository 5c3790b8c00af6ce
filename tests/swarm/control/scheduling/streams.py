"""A scheduler in a process of its own, with many streams of nodes that report each second: a measurement, not a test.

python -m tests.swarm.control.scheduling.streams NODES [SECONDS]

Every node says each second what it has (bits that grow as a swarm's do), and what it brought of its leases. Answers are
those to calls for the tasks; the first words of a stream are counted for themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import grpc.aio

from orchestrator.swarm.board.redis import RedisBoard
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.access import FleetDoor, sealed, with_key
from orchestrator.swarm.control.credentials import TlsFiles
from orchestrator.swarm.control.line import RemoteScheduler, SchedulerLine
from orchestrator.swarm.control.scheduling.listing import TaskListing
from orchestrator.swarm.control.scheduling.scheduler import Scheduler
from orchestrator.swarm.control.server import listening
from orchestrator.swarm.control.service import FleetService
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.units import Bits, piece_count, pieces_within
from tests.servers.redis import RedisServer
from tests.swarm.control.scheduling.simulated import MB, lock_of

KEYS = FleetKeys.parse("a-key-of-a-fleet-for-measurements-only")
MODEL = (*[1024 * MB] * 8, *[100_000] * 60)
RATE = 40 * MB
"""Bytes per second that a node brings of its leases."""


async def serve(url: str) -> None:
    """Be the scheduler, until a line comes; then print the processor seconds of each second."""
    scheduler = Scheduler(RedisBoard(url, "load", KEYS), "s1", lambda _: None)
    running = asyncio.create_task(scheduler.run())
    async with listening(FleetService(scheduler, FleetDoor(KEYS)), "127.0.0.1:0", TlsFiles(), lambda _: None) as port:
        print(port, flush=True)
        while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(used.ru_utime + used.ru_stime, used.ru_maxrss >> 10, word, flush=True)
    running.cancel()


class Crowd:
    """The nodes, and what the fleet has got from the origin."""

    def __init__(self, listing: TaskListing) -> None:
        self.listing = listing
        self.there = dict.fromkeys(listing.large, 0)
        self.welcomes: list[float] = []
        self.told = 0

    async def node(self, scheduler: RemoteScheduler, name: str) -> None:
        """One node, until it is cancelled."""
        leases: dict[str, messages.Assign] = {}
        begin = time.monotonic()
        hello = messages.Hello(name, 1, f"http://{name}:1", takes_tasks=True)
        async with scheduler.line(hello) as line:
            heard = line.heard()
            await anext(heard)
            self.welcomes.append(time.monotonic() - begin)
            listening = asyncio.create_task(self._listen(heard, leases))
            try:
                await self._speak(line, leases)
            finally:
                listening.cancel()

    async def _listen(
        self, heard: AsyncIterator[tuple[int, messages.FromScheduler | None]], leases: dict[str, messages.Assign]
    ) -> None:
        async for _, told in heard:
            self.told += told is not None
            if isinstance(told, messages.Assign):
                leases[told.lease] = told
            elif isinstance(told, messages.RevokedLease):
                leases.pop(told.lease, None)

    async def _speak(self, line: SchedulerLine, leases: dict[str, messages.Assign]) -> None:
        have = dict.fromkeys(self.there, 0)
        await asyncio.sleep(random.random())
        for seq in range(1, 1 << 30, 32):
            numbers = iter(range(seq, seq + 32))
            done = list(leases.values())[:2]
            for lease in done:
                del leases[lease.lease]
                if lease.digest is not None:
                    size = self.listing.sizes[lease.digest]
                    mine = pieces_within(size, ((lease.start, lease.end),)).mask
                    have[lease.digest] |= mine
                    self.there[lease.digest] |= mine
                await line.say(next(numbers), messages.HeldUnit(lease.lease))
            digest = random.choice(self.listing.large)
            have[digest] |= self.there[digest] & random.getrandbits(piece_count(self.listing.sizes[digest]))
            checked = bytes(Bits(piece_count(self.listing.sizes[digest]), have[digest]))
            blobs = (messages.BlobProgress(digest, checked),)
            moved = tuple(messages.LeaseProgress(id_, 1, RATE) for id_ in leases)
            await line.say(next(numbers), messages.Progress(blobs, moved))
            await asyncio.sleep(1)


async def measure(nodes: int, seconds: float, url: str) -> None:
    """Have so many nodes for so long, and print what it cost."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, "--serve", url,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    assert process.stdout

    async def used() -> tuple[float, int]:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"used\n")
        cpu, memory, _ = (await process.stdout.readline()).split()
        return float(cpu), int(memory)

    address = f"127.0.0.1:{int(await process.stdout.readline())}"
    crowd = Crowd(TaskListing.of("task", lock_of(MODEL)))
    operator = RemoteScheduler(address, TlsFiles(), with_key(KEYS, "operator"))
    answers: list[float] = []
    async with operator.calls() as calls:
        await calls.submit(sealed(KEYS, messages.Submission("key", "org/name", "*", 0, lock_of(MODEL))))
        names = [f"n{index:04}" for index in range(nodes)]
        running = [
            asyncio.create_task(crowd.node(RemoteScheduler(address, TlsFiles(), with_key(KEYS, name)), name))
            for name in names
        ]
        while len(crowd.welcomes) < nodes:
            for task in running:
                if task.done():
                    task.result()
            await asyncio.sleep(0.1)
        begin, (cpu, _) = time.monotonic(), await used()
        told = crowd.told
        while time.monotonic() - begin < seconds:
            asked = time.monotonic()
            await calls.tasks()
            answers.append(time.monotonic() - asked)
            await asyncio.sleep(0.05)
        took = time.monotonic() - begin
        after, memory = await used()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    process.stdin.close()
    await process.wait()
    answers.sort()
    welcomes = sorted(crowd.welcomes)
    print(f"{nodes} streams, a message a node and second, {(crowd.told - told) / took / nodes:.2f} back")
    print(f"scheduler  {(after - cpu) / took:.0%} of a core, {memory} MB")
    print(
        f"answers    p50 {answers[len(answers) // 2] * 1e3:.0f} ms, "
        f"p99 {answers[len(answers) * 99 // 100] * 1e3:.0f} ms; "
        f"first words p99 {welcomes[len(welcomes) * 99 // 100] * 1e3:.0f} ms, all opened at once"
    )


def own_channel(address: str, _: TlsFiles) -> grpc.aio.Channel:
    """A channel with a connection of its own, as nodes have: in one process channels share one."""
    return grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))


def main() -> None:
    """See the module."""
    if sys.argv[1] == "--serve":
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(sys.argv[2]))
        return
    with (
        RedisServer(Path(tempfile.mkdtemp())) as server,
        patch("orchestrator.swarm.control.line.channel_to", own_channel),
    ):
        asyncio.run(measure(int(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 20.0, server.url))


if __name__ == "__main__":
    main()
