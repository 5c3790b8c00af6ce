"""A real scheduler with many streams: the processor time that it takes, and how soon it answers. The nodes are in one
process.

Each node says once a second which pieces it has, a little more each time, and does what it is leased as fast as its
share of the origin allows. Latencies are those of the whole way, the asking process included.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.core.files import Algorithm, Digest
from orchestrator.core.refs import parse_ref
from orchestrator.core.trust import Trust
from orchestrator.lists.lockfile import Lock, LockedFile, LockedModel, render_lock
from orchestrator.rpc.credentials import TlsFiles
from orchestrator.swarm.control import messages
from orchestrator.swarm.control.access import sealed, with_key
from orchestrator.swarm.control.line import RemoteScheduler, SchedulerLine
from orchestrator.swarm.control.messages import Assign, BlobProgress, HeldUnit, Hello, Join, LeaseProgress, Progress
from orchestrator.swarm.tickets import FleetKeys
from orchestrator.swarm.units import Bits, piece_count, pieces_within
from scripts.benchlib.measure import cpu_of
from tests.servers.redis import RedisServer

SIZE = 8 << 30
FILES = 4
RATE = 200 << 20
"""Bytes per second that the origin sends to all nodes together."""


@dataclass
class Figures:
    """What was measured, in seconds."""

    welcomes: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    leases: int = 0
    said: int = 0
    told: int = 0

    def row(self, name: str, times: list[float]) -> str:
        """The middle and the tail of these times."""
        found = sorted(times)
        if not found:
            return f"{name}: none"
        return (
            f"{name}: p50 {1000 * found[len(found) // 2]:.0f} ms, p99 {1000 * found[int(len(found) * 0.99)]:.0f} ms, "
            f"most {1000 * found[-1]:.0f} ms, of {len(found)}"
        )


def lock() -> str:
    """The lock of a model of some large files."""
    files = tuple(LockedFile.of_lfs(f"model-{n}.safetensors", SIZE, f"{n:064x}") for n in range(1, FILES + 1))
    model = LockedModel(parse_ref("org/name@main"), "a" * 40, Trust("root", "https://huggingface.co"), files)
    return render_lock(Lock((model,)))


class Stream:
    """A node of the measurement."""

    def __init__(self, name: str, scheduler: RemoteScheduler, figures: Figures) -> None:
        self._name = name
        self._scheduler = scheduler
        self._figures = figures
        self._seq = 0
        self._leases: dict[str, tuple[Assign, float]] = {}
        self._have = {Digest(Algorithm.SHA256, f"{n:064x}"): Bits(piece_count(SIZE)) for n in range(1, FILES + 1)}
        self._freed = 0.0

    async def run(self, task: str, until: float) -> None:
        """Take part until then."""
        begin = time.monotonic()
        hello = Hello(self._name, 1, f"http://{self._name}:8092", f"rack-{hash(self._name) % 16}")
        async with self._scheduler.line(hello) as line:
            heard = line.heard()
            await anext(heard)
            self._figures.welcomes.append(time.monotonic() - begin)
            await self._say(line, Join(task))
            listening = asyncio.create_task(self._listen(heard))
            try:
                await asyncio.sleep(random.random())
                while time.monotonic() < until:
                    await self._beat(line)
                    await asyncio.sleep(1)
            finally:
                listening.cancel()

    async def _say(self, line: SchedulerLine, said: messages.FromNode) -> None:
        self._seq += 1
        self._figures.said += 1
        await line.say(self._seq, said)

    async def _listen(self, heard) -> None:  # type: ignore[no-untyped-def]
        async for _, told in heard:
            self._figures.told += 1
            if isinstance(told, Assign):
                if self._freed:
                    self._figures.answers.append(time.monotonic() - self._freed)
                    self._freed = 0.0
                self._figures.leases += 1
                self._leases[told.lease] = (told, time.monotonic())
            elif isinstance(told, messages.RevokedLease):
                self._leases.pop(told.lease, None)

    async def _beat(self, line: SchedulerLine) -> None:
        now, leases = time.monotonic(), []
        for lease, (given, since) in list(self._leases.items()):
            size = given.end - given.start
            done = min(size, int((now - since) * RATE / 32))
            if done < size or given.digest is None:
                leases.append(LeaseProgress(lease, done, RATE // 32))
                continue
            self._have[given.digest] |= pieces_within(SIZE, [(given.start, given.end)])
            del self._leases[lease]
            await self._say(line, HeldUnit(lease))
            self._freed = time.monotonic()
        digest = random.choice(list(self._have))
        count = piece_count(SIZE)
        some = Bits.of(count, (random.randrange(count) for _ in range(8)))
        self._have[digest] |= some
        blob = BlobProgress(digest, bytes(self._have[digest]))
        await self._say(line, Progress((blob,), tuple(leases)))


@contextlib.contextmanager
def scheduler(key: str, redis: str | None) -> Iterator[tuple[int, str]]:
    """A scheduler as a process: its pid, and its address."""
    with tempfile.TemporaryDirectory() as home:
        environment = {
            **os.environ,
            "HOME": home,
            "HF_HOME": home,
            "GLM_ARIA_FLEET_KEY": key,
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        words = ["scheduler", "--listen", "127.0.0.1:0", *(["--redis", redis] if redis else [])]
        program = "from orchestrator.cli.main import program; program()"
        process = subprocess.Popen(
            [sys.executable, "-c", program, *words], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            yield process.pid, process.stdout.readline().strip()
        finally:
            process.terminate()
            process.wait(20)


async def measure(pid: int, address: str, key: str, nodes: int, seconds: float) -> None:
    """Open the streams, and print what came of it."""
    keys, figures, files = FleetKeys((key.encode(),)), Figures(), TlsFiles()

    def reached(name: str) -> RemoteScheduler:
        return RemoteScheduler(address, files, with_key(keys, name))

    async with reached("operator").calls() as calls:
        task = await calls.submit(sealed(keys, messages.Submission("bench", "org/name", "", 0, lock())))
        begin, used = time.monotonic(), cpu_of(pid)
        streams = [Stream(f"node-{n}", reached(f"node-{n}"), figures) for n in range(nodes)]
        until = begin + seconds + 5
        running = [asyncio.create_task(one.run(task.id, until)) for one in streams]
        while len(figures.welcomes) < nodes and not any(one.done() for one in running):
            await asyncio.sleep(0.1)
        print(f"{nodes} streams opened in {time.monotonic() - begin:.1f} s, {cpu_of(pid) - used:.2f} s of a processor")
        print(figures.row("  welcome", figures.welcomes))
        begin, used, said, told = time.monotonic(), cpu_of(pid), figures.said, figures.told
        asked: list[float] = []
        while time.monotonic() < until - 1:
            then = time.monotonic()
            await calls.tasks()
            asked.append(time.monotonic() - then)
            await asyncio.sleep(0.1)
        took, used = time.monotonic() - begin, cpu_of(pid) - used
        each = 1000 * used / max(1, figures.said - said)
        print(
            f"then, in {took:.0f} s: {used / took:.2f} of a core, {each:.2f} ms of it for each message that was heard"
        )
        print(f"  messages: {(figures.said - said) / took:.0f}/s heard, {(figures.told - told) / took:.0f}/s told")
        print(figures.row("  a call", asked))
        print(figures.row(f"  a lease after one is done ({figures.leases} leases)", figures.answers))
        ended = [str(one) for one in await asyncio.gather(*running, return_exceptions=True) if one is not None]
        for reason, count in Counter(ended).items():
            print(f"  {count} streams ended: {reason}")


def main() -> None:
    """The measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--redis", action="store_true", help="over a Redis of its own, instead of in memory")
    found = parser.parse_args()
    key = secrets.token_urlsafe(24)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(RedisServer(folder)).url if found.redis else None
        pid, address = stack.enter_context(scheduler(key, redis))
        asyncio.run(measure(pid, address, key, found.nodes, found.seconds))


if __name__ == "__main__":
    main()
