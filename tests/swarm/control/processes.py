"""Schedulers of a fleet as processes."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from tests.machine.machine import Machine, Result, Running

KEY = "canary-of-the-fleet-0123456789abcdef"
"""The key of the fleet, which must go nowhere."""


def belong(machine: Machine) -> None:
    """Give a machine the key of the fleet."""
    file = machine.folder / "config" / "glm-aria" / "fleet.key"
    file.parent.mkdir(exist_ok=True)
    file.write_text(KEY)
    file.chmod(0o600)


@dataclass
class SchedulerProcess:
    """A scheduler that listens at `address`."""

    running: Running
    address: str

    @classmethod
    def start(cls, machine: Machine, *words: str, env: dict[str, str] | None = None) -> SchedulerProcess:
        """Start one, on a free port unless told otherwise, and wait until it listens."""
        where = () if "--listen" in words else ("--listen", "127.0.0.1:0")
        running = machine.start("scheduler", *where, *words, env=env)
        assert running.process.stdout
        line = running.process.stdout.readline()
        if not line:
            running.end()
            raise AssertionError(machine.results[-1])
        return cls(running, line.strip())

    def stop(self) -> Result:
        """End it in good order."""
        self.running.signal(signal.SIGTERM)
        return self.running.end(20).ended(0)

    def kill(self) -> None:
        """End it as a power loss would."""
        self.running.signal(signal.SIGKILL)
        self.running.process.wait(10)
