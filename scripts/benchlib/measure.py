"""Running one command: wall time, CPU time, and the peak memory of its whole process tree."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_SAMPLE_S = 0.02
_LIMIT_S = 1800.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds of wall and CPU time, and peak memory in MB (10**6 bytes); 0 where there is no /proc.

    `end` is when it ended, by the monotonic clock that all processes of a machine share. `cpu_by` are the CPU seconds
    of each program that was seen, by its name, short of what it used after the last look. `is_whole` is false when it
    was stopped before it was done.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    end: float = 0.0
    cpu_by: Mapping[str, float] = field(default_factory=dict)
    is_whole: bool = True


def run(argv: list[str], env: dict[str, str], log: Path, stop_after_s: float = 0) -> Run:
    """Run to the end, output to `log`; or stop it after so many seconds, if any are given.

    Raises RuntimeError with the log's end when it fails, or takes far too long by itself.
    """
    tree, is_whole = _Tree(os.getpid()), True
    before = os.times()
    with log.open("wb") as output:
        begin = time.monotonic()
        process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        tree.members.add(process.pid)
        try:
            # wait(timeout) polls with growing sleeps, which would round the times of short runs up.
            while not _has_ended(process):
                tree.sample()
                if stop_after_s and time.monotonic() - begin > stop_after_s:
                    process.terminate()
                    process.wait(60)
                    is_whole = False
                    break
                if time.monotonic() - begin > _LIMIT_S:
                    raise RuntimeError(f"{argv[0]} did not end within {_LIMIT_S:.0f} s")
        except BaseException:
            process.terminate()
            process.wait(60)
            raise
        wall = time.monotonic() - begin
    after = os.times()
    if process.returncode and is_whole:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {log.read_text(errors='replace')[-600:]}")
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(wall, cpu, tree.peak_bytes / 1e6, begin + wall, tree.cpu_by, is_whole)


def cpu_of(pid: int) -> float:
    """The CPU seconds of a process so far. Raises OSError without a /proc, or when it is gone."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Wait for one sample's time at most; a process that ends wakes us at once."""
    if hasattr(os, "pidfd_open"):
        import select

        with suppress(OSError):
            fd = os.pidfd_open(process.pid)
            try:
                select.select([fd], [], [], _SAMPLE_S)
            finally:
                os.close(fd)
            return process.poll() is not None
    time.sleep(0.005)
    return process.poll() is not None


@dataclass(slots=True)
class _Tree:
    """Processes that descend from the measured one, and the sum of the most that each has held (VmHWM).

    The sum of the peaks is never less than the peak of the sums, so it errs against the measured command.
    """

    parent: int
    members: set[int] = field(default_factory=set)
    _strangers: set[int] = field(default_factory=set)
    _most: dict[int, int] = field(default_factory=dict)
    _cpu: dict[tuple[int, str], float] = field(default_factory=dict)

    @property
    def cpu_by(self) -> dict[str, float]:
        by_name: dict[str, float] = {}
        for (_, name), seconds in self._cpu.items():
            by_name[name] = by_name.get(name, 0.0) + seconds
        return by_name

    @property
    def peak_bytes(self) -> int:
        return sum(self._most.values())

    def sample(self) -> None:
        with suppress(OSError):
            for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
                if pid not in self.members and pid not in self._strangers:
                    (self.members if _parent(pid) in self.members else self._strangers).add(pid)
        for pid in self.members:
            # A process that was just forked shows its parent's pages until it executes; the last look counts it right.
            with suppress(OSError, ValueError, IndexError):
                text = Path(f"/proc/{pid}/status").read_text()
                self._most[pid] = int(text.split("VmHWM:")[1].split()[0]) * 1024
                before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
                user, system = after.split()[11:13]
                self._cpu[pid, before.partition("(")[2]] = (int(user) + int(system)) / _TICKS


def _parent(pid: int) -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
