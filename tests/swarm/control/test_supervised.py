"""What a scheduler and a node tell a service manager."""

from __future__ import annotations

from pathlib import Path

from tests.machine.machine import Machine
from tests.servers.manager import managed
from tests.swarm.control.processes import SchedulerProcess, belong


def test_both_say_that_they_are_ready_live_and_stop(machine: Machine, tmp_path: Path) -> None:
    belong(machine)
    with managed(tmp_path / "of-scheduler") as first, managed(tmp_path / "of-node") as second:
        scheduler = SchedulerProcess.start(machine, env=first.env)
        first.until("READY=1", "WATCHDOG=1", "STATUS=0 nodes connected, 0 tasks under way")
        words = ("node", "--scheduler", scheduler.address, "--listen", "127.0.0.1:0", "--no-mirrors")
        node = machine.start(*words, "--root", "http://127.0.0.1:9", env=second.env)
        second.until("READY=1", "WATCHDOG=1", "STATUS=waits for tasks, 0 tasks done", "WATCHDOG=1")
        first.until("STATUS=1 node connected, 0 tasks under way")
        node.signal(15)
        second.until("STOPPING=1")
        node.end(20).ended(0)
        scheduler.stop()
        first.until("STOPPING=1")
